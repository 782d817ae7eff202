"""Measure speed and accuracy beside other layers, and speed beside dense products; print tables.

On a CPU with one thread, as the workflow's jobs train; or with ``--device cuda`` on a GPU.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from math import exp, log
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from kancore.bench import accuracy, hsic, kernels, ours, peers
from kancore.bench.measure import interleaved
from kancore.layers import local_support
from kancore.machine.files import write_atomically
from kancore.machine.memory import keep_freed_memory
from kancore.machine.program import program
from kancore.networks.kan import KAN
from kancore.objectives.hsic_bottleneck import losses
from kancore.schemes import OPTIMIZERS
from kancore.training.loop import Training

Table = Literal["kernels", "steps", "sweeps", "trained", "wide", "hsic", "memory", "accuracy"]
# Geometric means are over these; the second entry of each says what the inputs are.
MEAN_OF = ("784-256-10", "784-256-256-10", "3072-512-10", "5000-64-2", "28-256-256-2")
STEPS = (*MEAN_OF, "784-32-10", "784-128-64-32-10", "3072-256-10", "5000-32-2", "28-256-2")
SWEEPS = (
    ("784-32-10", "normal"),
    ("784-128-64-32-10", "normal"),
    ("784-256-10", "normal"),
    ("784-64-10", "pixels"),
    ("784-256-10", "pixels"),
    ("3072-256-10", "normal"),
    ("5000-32-2", "words"),
    ("5000-64-2", "words"),
    ("28-256-2", "normal"),
)
TRAINED = ("784-32-10", "784-256-10", "784-128-64-32-10")
WIDE = ("784-320-10", "784-1280-640-320-10", "3072-2560-10", "28-2560-2")
# A step of pykan takes seconds and gigabytes with larger batches.
PYKAN_BATCH = 128


def widths_of(network: str) -> list[int]:
    """Widths of a network named like ``784-32-10``."""
    return [int(width) for width in network.split("-")]


def batch_of(data, device: str) -> tuple[Tensor, Tensor]:
    """All examples of a data set as peers take them: standardized and dense."""
    data = data.to(device)
    x = data.standardize(data.x_train)
    return (x.to_dense() if data.sparse else x), data.y_train


def steps(batch: int, seconds: float, device: str) -> Iterator[dict]:
    """One training step of one KAN, by AdamW: rows of times in milliseconds."""
    for network in STEPS:
        widths = widths_of(network)
        data = ours.inputs("normal", widths[0], widths[-1], batch)
        x, y = batch_of(data, device)
        todo = {"ours": ours.step_of(ours.training("kan", widths, data, device=device))}
        todo["products"] = peers.products_of(ours.product_shapes(widths), batch, ["adam"], device)
        for name, make in peers.steps(widths, "adam", x, y).items():
            if name != "pykan" or batch <= PYKAN_BATCH:
                todo[name] = make()
        yield {"network": network, "batch": batch, **interleaved(todo, seconds, device)}


def sweeps(batch: int, seconds: float, device: str) -> Iterator[dict]:
    """One step of a sweep of 27, against nine times a step of each optimizer alone."""
    for network, kind in SWEEPS:
        widths = widths_of(network)
        data = ours.inputs(kind, widths[0], widths[-1], batch)
        training = ours.training("kan", widths, data, ours.ALL_SCHEMES, device)
        times = beside_peers(training, widths, batch_of(data, device), seconds, device)
        yield {"network": network, "inputs": kind, "batch": batch, **times}


def trained(batch: int, seconds: float, device: str) -> Iterator[dict]:
    """Measure the same of networks that have been trained, on images of MNIST.

    Their inputs lie elsewhere than normal numbers: most pixels of an image are black, and inputs of
    hidden layers leave the grid.
    """
    for network in TRAINED:
        widths = widths_of(network)
        training = ours.trained(widths, batch, device)
        x, y = ours.batch_of(training)
        stack = training.state.network
        assert isinstance(stack, KAN)
        share = f"{100 * stack.outside_grid(x).mean():.0f}%"
        times = beside_peers(training, widths, (x, y), seconds, device)
        yield {"network": network, "outside the grid": share, "batch": batch, **times}


def beside_peers(
    training: Training,
    widths: Sequence[int],
    batch: tuple[Tensor, Tensor],
    seconds: float,
    device: str,
) -> dict[str, float]:
    """Time of a step of a sweep, and of nine steps by each optimizer of each peer but pykan."""
    todo: dict[str, Callable[[], object]] = {"ours": ours.step_of(training)}
    made = {optimizer: peers.steps(widths, optimizer, *batch) for optimizer in OPTIMIZERS}
    names = [name for name in made[OPTIMIZERS[0]] if name != "pykan"]
    for optimizer, name in product(OPTIMIZERS, names):
        todo[f"{name} {optimizer}"] = made[optimizer][name]()
    times = interleaved(todo, seconds, device)
    alone = {
        name: 9 * sum(times[f"{name} {optimizer}"] for optimizer in OPTIMIZERS) for name in names
    }
    return {"ours": times["ours"], **alone}


def wide(batch: int, seconds: float, device: str) -> Iterator[dict]:
    """One step of a sweep of 27 wide MLPs, against its products and updates."""
    for network in WIDE:
        widths = widths_of(network)
        data = ours.inputs("normal", widths[0], widths[-1], batch)
        training = ours.training("mlp", widths, data, ours.ALL_SCHEMES, device)
        shapes = [(after, before) for before, after in pairwise(widths)]
        optimizers = [name for name in OPTIMIZERS for _ in range(9)]
        todo = {
            "ours": ours.step_of(training),
            "products": peers.products_of(shapes, batch, optimizers, device),
        }
        yield {"network": network, "batch": batch, **interleaved(todo, seconds, device)}


def layerwise(batch: int, seconds: float, device: str) -> Iterator[dict]:
    """One training step of one MLP by the HSIC bottleneck, against the naive form of its losses."""
    todo = {"ours": losses, "naive": hsic.naive_losses}
    network = "-".join(map(str, hsic.WIDTHS))
    for term in ("n", "x"):
        steps = {name: hsic.step_of(each, batch, term, device) for name, each in todo.items()}
        row = {"network": network, "term": term, "batch": batch}
        yield {**row, **interleaved(steps, seconds, device)}


def memory(batch: int) -> Iterator[dict]:
    """Peak memory of a sweep of 27, beside what it cannot do without, in MB."""
    for network, kind in SWEEPS:
        # A process of its own: a peak is never forgotten.
        with get_context("spawn").Pool(1) as pool:
            peak, state = pool.apply(ours.memory_of, (widths_of(network), kind, batch))
        row = {"network": network, "inputs": kind, "batch": batch}
        yield row | {"peak": peak / 2**20, "state": state / 2**20, "peak / state": peak / state}


def by_precision(batches: Sequence[int], seconds: float, device: str) -> Iterator[str]:
    """Give the table of kernels with products in PyTorch's own precision, and in TF32."""
    for precision, name in (("highest", "float32"), ("high", "TF32")):
        torch.set_float32_matmul_precision(precision)
        try:
            rows = [row for batch in batches for row in kernels.measured(batch, seconds, device)]
        finally:
            torch.set_float32_matmul_precision("highest")
        table = kernels.markdown(pd.DataFrame(rows))
        yield f"## A step of a sweep of 27 KANs, products in {name}\n\n{table}"


def with_ratios(rows: Iterator[dict]) -> pd.DataFrame:
    """Put rows of seconds into a table of milliseconds, with ratios to ours."""
    table = pd.DataFrame(rows)
    if {"inkan", "inkan dense"} <= set(table):  # it has two modes, of which a user takes the better
        table["inkan, better"] = table[["inkan", "inkan dense"]].min(axis=1)
    names = [name for name in table if table[name].dtype == float and name != "ours"]
    for name in names:
        table[f"{name} / ours"] = table[name] / table["ours"]
    times = ["ours", *names]
    table[times] *= 1000
    return table.rename(columns={name: f"{name}, ms" for name in times})


def mean_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Geometric means of the ratios over the networks of `MEAN_OF`, for each batch size."""
    chosen = table[table["network"].isin(MEAN_OF)]
    ratios = [column for column in table if column.endswith("/ ours")]
    means = chosen.groupby("batch")[ratios].agg(lambda values: exp(values.map(log).mean()))
    return means.reset_index()


def machine(device: str) -> str:
    """Say in a line what is measured, and where."""
    absent = ", ".join(peers.missing()) or "none"
    if device == "cuda":
        place = torch.cuda.get_device_name()
    else:
        place = f"{platform.machine()}, {torch.get_num_threads()} thread, CPU time"
        place += f", kernels: {local_support.FORM}"
    return f"{place}; torch {torch.__version__}; float32; peers not installed: {absent}"


def main(
    batch: Sequence[int] = (128,),
    seconds: float = 3.0,
    device: Literal["cpu", "cuda"] = "cpu",
    tables: Sequence[Table] = get_args(Table),
    out: Path | None = None,
) -> None:
    """Measure one table after the other.

    Parameters
    ----------
    batch
        Batch sizes.
    seconds
        For each row, at least.
    out
        Markdown file to write, too.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    parts = [machine(device)]
    print(parts[0], flush=True)

    def add(title: str, table: pd.DataFrame) -> None:
        text = table.to_string(index=False, float_format=lambda value: f"{value:.2f}", na_rep="")
        parts.append(f"## {title}\n\n```\n{text}\n```")
        print(f"\n{parts[-1]}", flush=True)

    for name in tables:
        if name == "kernels":
            if device == "cuda":
                for part in by_precision(batch, seconds, device):
                    parts.append(part)
                    print(f"\n{part}", flush=True)
            continue
        if name == "accuracy":
            if device == "cpu":
                table = pd.DataFrame(accuracy.accuracies())
                add("Best test accuracy in four epochs, 4,000 images of MNIST, 3 seeds", table)
            continue
        if name == "memory":
            if device == "cpu":
                table = pd.DataFrame([row for size in batch for row in memory(size)])
                add("Memory of a sweep of 27, MB", table)
            continue
        measure = {
            "steps": steps,
            "sweeps": sweeps,
            "trained": trained,
            "wide": wide,
            "hsic": layerwise,
        }[name]
        rows = (row for size in batch for row in measure(size, seconds, device))
        table = with_ratios(rows)
        title = {
            "steps": "One step of a KAN",
            "sweeps": "A step of a sweep of 27 KANs, beside 27 separate steps",
            "trained": "The same of trained KANs, on images of MNIST",
            "wide": "A step of a sweep of 27 wide MLPs",
            "hsic": "A step of an MLP by the HSIC bottleneck",
        }[name]
        add(title, table)
        if name == "steps":
            add("Geometric means over " + ", ".join(MEAN_OF), mean_ratios(table))
    if out:
        text = "\n\n".join(parts) + "\n"
        write_atomically(out, lambda part: part.write_text(text))


if __name__ == "__main__":
    program(main, planned=False)
