"""Measure speed and accuracy beside other layers, and speed beside dense products; print tables.

On a CPU with one thread, as the workflow's jobs train; or with ``--device cuda`` on a GPU.
"""

import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from math import exp, inf, log
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import torch
import yaml
from torch import Tensor

from kancore.bench import accuracy, compilation, hsic, kernels, on_gpu, ours, peers
from kancore.bench.measure import interleaved
from kancore.layers import local_support
from kancore.layers.triton_operators import PRECISIONS
from kancore.machine.files import write_atomically
from kancore.machine.processor import prepare_process
from kancore.machine.program import program
from kancore.networks.kan import KAN
from kancore.objectives.hsic_bottleneck import losses
from kancore.schemes import OPTIMIZERS
from kancore.studies.config import resolve
from kancore.training.loop import Training

# On a GPU what is needed most comes first.
Table = Literal[
    "limits",
    "study",
    "passes",
    "compiled",
    "kernels",
    "steps",
    "sweeps",
    "trained",
    "wide",
    "hsic",
    "memory",
    "accuracy",
    "registers",
    "tilings",
]
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


def kernel_steps(batch: int, seconds: float, device: str) -> Iterator[dict]:
    """Give the rows of `kernels.measured` with products in float32, and in TF32."""
    for name in ("highest", "high"):
        with on_gpu.precision(name):
            for row in kernels.measured(batch, seconds, device):
                yield {"precision": PRECISIONS[name], **row}


def with_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Give a table of seconds in milliseconds, with ratios to ours."""
    table = table.copy()
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
        place = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    else:
        place = f"{platform.machine()}, {torch.get_num_threads()} thread, CPU time"
        place += f", kernels: {local_support.FORM}"
    return f"{place}; torch {torch.__version__}; float32; peers not installed: {absent}"


class Report:
    """Tables that are printed, and written to a file, as they are measured.

    Parameters
    ----------
    out
        Markdown file, or ``None`` for none.
    """

    def __init__(self, out: Path | None):
        self._out = out
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        """Print a part, and write it below the others."""
        print(f"{text}\n", flush=True)
        self._write([*self._parts, text])
        self._parts.append(text)

    def add_table(
        self,
        title: str,
        rows: Iterator[dict | str],
        present: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
        most: float = inf,
    ) -> pd.DataFrame | None:
        """Measure a table; what is there of it is written after each row.

        Parameters
        ----------
        title
            Its title.
        rows
            Its rows, measured one by one; a line where one could not be measured.
        present
            Makes of rows what is to be read.
        most
            Seconds after which no other row is begun.

        Returns
        -------
        DataFrame or None
            What is to be read, of the rows that there are; ``None`` where there are none.
        """
        found: list[dict] = []
        note, began = "", time.monotonic()
        try:
            for row in rows:
                if isinstance(row, str):
                    note += f"\n\nWithout {row}"
                    self.failed = True
                else:
                    found.append(row)
                    self._write([*self._parts, _markdown(title, present(pd.DataFrame(found)))])
                if time.monotonic() - began > most:
                    note += f"\n\nStopped after {most:.0f} seconds."
                    break
        except Exception as error:  # of any kind: the other tables are to be measured
            note += f"\n\nStopped by an error: {type(error).__name__}: {error}"
            traceback.print_exc()
            self.failed = True
        table = present(pd.DataFrame(found)) if found else None
        self.add((f"## {title}" if table is None else _markdown(title, table)) + note)
        return table

    # Whether a table was stopped by an error.
    failed = False

    def _write(self, parts: list[str]) -> None:
        if self._out:
            text = "\n\n".join(parts) + "\n"
            write_atomically(self._out, lambda part: part.write_text(text))


def _markdown(title: str, table: pd.DataFrame) -> str:
    return f"## {title}\n\n{kernels.markdown(table)}"


# Where tables are measured that are not of both.
ONLY_CPU = "memory", "accuracy", "registers", "tilings"
ONLY_GPU = "limits", "passes", "study", "compiled", "kernels"


def main(
    batch: Sequence[int] = (128,),
    seconds: float = 3.0,
    device: Literal["cpu", "cuda"] = "cpu",
    tables: Sequence[Table] = (),
    out: Path | None = None,
    most: float = inf,
    config: Path = Path("config.yaml"),
    study: str = "paper",
    precisions: Sequence[Literal["highest", "high", "medium"]] = ("high", "medium", "highest"),
) -> None:
    """Measure one table after the other.

    Parameters
    ----------
    batch
        Batch sizes, of tables other than those of a study.
    seconds
        For each row, at least.
    tables
        Which tables; by default all that there are for the device.
    out
        Markdown file to write, too, as rows are measured.
    most
        Seconds after which a table begins no other row.
    config, study
        Configuration and name of the study whose steps are measured on a GPU.
    precisions
        Of its products, as `torch.set_float32_matmul_precision` takes them.
    """
    prepare_process(threads=1)
    report = Report(out)
    report.add(machine(device))
    elsewhere = ONLY_GPU if device == "cpu" else ONLY_CPU
    sizes = tuple(batch)

    def of(measure: Callable[[int, float, str], Iterator[dict]]) -> Iterator[dict]:
        return (row for size in sizes for row in measure(size, seconds, device))

    def of_study(digits: str, compiled: bool) -> Iterator[dict | str]:
        settings = yaml.safe_load(config.read_text()) | {"study": study}
        sweeps = on_gpu.distinct(resolve(settings))
        if digits == "medium":  # in which PyTorch's own products are those of high
            sweeps = [each for each in sweeps if each[0].architecture.model == "kan"]
        if compiled:  # which takes up to a minute each, so the largest of each model
            sweeps = list({each[0].architecture.model: each for each in sweeps}.values())
        return on_gpu.study_rows(sweeps, digits, seconds, compiled)

    for name in tables or [each for each in get_args(Table) if each not in elsewhere]:
        match name:
            case "limits":
                report.add_table("Limits of the device", on_gpu.limits(seconds), most=most)
            case "passes":
                rows = on_gpu.passes(seconds, precisions=precisions)
                report.add_table("Each kernel alone", rows, most=most)
            case "study" | "compiled":
                compiled = name == "compiled"
                for digits in precisions:
                    title = f"Sweeps of study {study}, one seed, products in {PRECISIONS[digits]}"
                    title += ", compiled" if compiled else ""
                    table = report.add_table(title, of_study(digits, compiled), most=most)
                    if table is not None and not compiled:
                        report.add(_markdown("Minutes of all these", on_gpu.totals(table)))
            case "kernels":
                report.add_table("A step of a sweep of 27 KANs", of(kernel_steps), most=most)
            case "accuracy":
                title = "Best test accuracy in four epochs, 4,000 images of MNIST, 3 seeds"
                report.add_table(title, accuracy.accuracies(), most=most)
            case "registers":
                title = "Kernels as NVIDIA's assembler reports them"
                report.add_table(title, compilation.registers(), most=most)
            case "tilings":
                title = "Tilings of the kernels for the widest layers, products in TF32"
                rows = compilation.registers(
                    layers=on_gpu.LAYERS[1:3], precisions=("high",), others=True
                )
                report.add_table(title, rows, most=most)
            case "memory":
                rows = (row for size in sizes for row in memory(size))
                report.add_table("Memory of a sweep of 27, MB", rows, most=most)
            case _:
                title, measure = {
                    "steps": ("One step of a KAN", steps),
                    "sweeps": ("A step of a sweep of 27 KANs, beside 27 separate steps", sweeps),
                    "trained": ("The same of trained KANs, on images of MNIST", trained),
                    "wide": ("A step of a sweep of 27 wide MLPs", wide),
                    "hsic": ("A step of an MLP by the HSIC bottleneck", layerwise),
                }[name]
                table = report.add_table(title, of(measure), with_ratios, most)
                if name == "steps" and table is not None:
                    title = "Geometric means over " + ", ".join(MEAN_OF)
                    report.add(_markdown(title, mean_ratios(table)))
    if report.failed:
        raise SystemExit("not all tables were measured")


if __name__ == "__main__":
    program(main, planned=False)
