"""What a GPU does: its limits, our kernels alone, and steps and evaluations of a study's sweeps."""

import gc
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import pandas as pd
import torch

from kancore import networks
from kancore.bench import ours
from kancore.bench.measure import interleaved
from kancore.bench.work import step_work
from kancore.layers.dense import Edges
from kancore.layers.triton_operators import PRECISIONS
from kancore.machine.memory import resident_mb
from kancore.schemes import Sweep
from kancore.studies.study import Study
from kancore.training.builder import Builder
from kancore.training.evaluation import evaluate
from kancore.training.loop import Training
from kancore.training.optimizers import StackedOptimizer
from kancore.training.resources import Shape, shape
from kancore.training.state import State

# Layers of the study: stack, batch, inputs, outputs, and whether networks share their inputs.
LAYERS = (
    (27, 4096, 784, 32, True),
    (27, 4096, 784, 128, True),
    (27, 4096, 128, 64, False),
    (27, 4096, 32, 10, False),
    (27, 2048, 3072, 256, True),
    (27, 20_000, 28, 256, True),
    (27, 20_000, 256, 2, False),
)
GRID = (5, 3, (-1.0, 1.0))
# Numbers of a square matrix's side, and bytes, that are long enough for a GPU to be at its limits.
SIDE, COPIED = 8192, 2**31


def limits(seconds: float) -> Iterator[dict]:
    """Give what the device does at most: bytes, products, launches; and what it takes by itself."""
    free, total = torch.cuda.mem_get_info()
    held = total - free - torch.cuda.memory_reserved()
    yield {"what": "GPU memory", "value": total / 1e9, "unit": "GB"}
    yield {"what": "of it taken by contexts", "value": held / 1e6, "unit": "MB"}
    yield {"what": "memory of this process", "value": resident_mb(), "unit": "MB"}
    a, b = torch.randn(2, SIDE, SIDE, device="cuda")
    for name, take in (("float32", "highest"), ("TF32", "high")):
        with precision(take):
            (found,) = interleaved({"": lambda: torch.mm(a, b)}, seconds / 4, "cuda").values()
        yield {"what": f"products in {name}", "value": 2e-12 * SIDE**3 / found, "unit": "TFLOP/s"}
    a, b = a.bfloat16(), b.bfloat16()
    (found,) = interleaved({"": lambda: torch.mm(a, b)}, seconds / 4, "cuda").values()
    yield {"what": "products in bfloat16", "value": 2e-12 * SIDE**3 / found, "unit": "TFLOP/s"}
    source = torch.ones(COPIED, dtype=torch.uint8, device="cuda")
    (found,) = interleaved({"": lambda: source.clone()}, seconds / 4, "cuda").values()
    yield {"what": "bytes copied", "value": 2e-9 * COPIED / found, "unit": "GB/s"}
    yield {"what": "memory of this process, with cuBLAS", "value": resident_mb(), "unit": "MB"}
    number = torch.zeros(1, device="cuda")
    x, edges, _ = _drawn(1, 16, 16, 16, True)
    arguments = x, *edges, "gelu", 5, 3, *GRID[2], False
    for name, launch in (
        ("an operation of PyTorch", lambda: number.add_(1)),
        ("an operation of ours", lambda: torch.ops.kancore.ka_product(*arguments)),
    ):
        (found,) = interleaved({"": launch}, seconds / 4, "cuda").values()
        yield {"what": f"launch of {name}", "value": 1e6 * found, "unit": "microseconds"}
    yield {"what": "memory of this process, with Triton", "value": resident_mb(), "unit": "MB"}


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Set the precision of products, by a name of PyTorch's, in a block."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _drawn(
    stack: int, batch: int, inputs: int, outputs: int, shared: bool
) -> tuple[torch.Tensor, Edges, torch.Tensor]:
    """Draw inputs, parameters and gradients of a layer."""
    x = torch.randn(*(() if shared else (stack,)), batch, inputs, device="cuda")
    coefficients = torch.randn(stack, inputs, GRID[0] + GRID[1], outputs, device="cuda")
    edges = Edges(coefficients, *torch.randn(2, stack, inputs, outputs, device="cuda"))
    return x, edges, torch.randn(stack, batch, outputs, device="cuda")


def passes(
    seconds: float,
    layers: Sequence[tuple] | None = None,
    precisions: Sequence[str] = tuple(PRECISIONS),
) -> Iterator[dict]:
    """Time each kernel alone, in milliseconds, beside a product of its factors."""
    from kancore.layers import triton_kernels

    for layer in layers or LAYERS:
        stack, batch, inputs, outputs, shared = layer
        x, edges, gradient = _drawn(*layer)
        functions = inputs * (GRID[0] + GRID[1] + 1)
        features = torch.randn(1 if shared else stack, batch, functions, device="cuda")
        columns = stack * outputs if shared else outputs
        weights = torch.randn(len(features), functions, columns, device="cuda")
        flops = 2 * stack * batch * functions * outputs
        for name in precisions:
            digits = PRECISIONS[name]
            how = edges, "gelu", GRID, digits
            todo: dict[str, Callable[[], object]] = {
                "product": partial(triton_kernels.product, x, *how),
                "weight_gradient": partial(triton_kernels.weight_gradient, x, gradient, *how),
            }
            if not shared:
                todo["input_gradient"] = partial(triton_kernels.input_gradient, x, gradient, *how)
            with precision(name):
                factors = features, weights
                if name == "medium":  # which PyTorch's own products take as TF32
                    factors = features.bfloat16(), weights.bfloat16()
                todo["product alone"] = partial(torch.bmm, *factors)
                times = interleaved(todo, seconds / 6, "cuda")
            alone = times.pop("product alone")
            for kernel, found in times.items():
                yield {
                    "kernel": kernel,
                    "layer": f"{stack} x {inputs}-{outputs}{', shared' if shared else ''}",
                    "batch": batch,
                    "precision": digits,
                    "ms": 1e3 * found,
                    "TFLOP/s": 1e-12 * flops / found,
                    "product alone, ms": 1e3 * alone,
                }


class _RandomWeights(Builder):
    """Builds stacks on the device and draws their weights there, which takes no time."""

    def build(self, schemes: Sequence[Any], device: torch.device) -> State:
        with torch.device(device):
            network = networks.build(
                self.sweep.architecture, self.shape.features, self.shape.classes, len(schemes)
            )
            network.expect(self._background)
            return State(network, StackedOptimizer(list(network.parameters()), schemes))

    def initialize(self, state: State) -> None:
        for parameter in state.network.parameters():
            parameter.data.normal_(std=0.02)


class _Begun(Training):
    builder = _RandomWeights


def distinct(study: Study, objective: str = "backprop") -> list[tuple[Sweep, Shape, str]]:
    """Sweeps of a study's first seed that differ in what they compute, smallest first.

    Returns
    -------
    list of tuple
        A sweep, the size of its data set, and the names of all data sets that it stands for.
    """
    data, seed = study.settings["data"], study.settings["seeds"][0]
    found: dict[tuple, tuple[Sweep, Shape, list[str]]] = {}
    for sweep in study.sweeps():
        if (sweep.seed, sweep.objective) == (seed, objective):
            size = shape(sweep.dataset, data)
            same = size, sweep.architecture, sweep.batch_size, sweep.epochs
            found.setdefault(same, (sweep, size, []))[2].append(sweep.dataset)
    moved = {same: step_work(*each[:2]).bytes for same, each in found.items()}
    ordered = sorted(found, key=lambda same: moved[same])
    return [(found[same][0], found[same][1], ", ".join(found[same][2])) for same in ordered]


def measured(
    sweep: Sweep, size: Shape, seconds: float, compiled: bool = False
) -> tuple[float, float, int]:
    """Time a step and an evaluation of a sweep, on made-up data: seconds, and the parts it takes.

    A sweep that does not fit the memory goes in parts, whose times add up.
    """
    schemes = tuple(1e-6 * (1 + place) for place in range(len(sweep.learning_rates)))
    batch = min(sweep.batch_size, size.train)
    chosen = replace(sweep, learning_rates=schemes, validation_fraction=0.0, batch_size=batch)
    kind = "words" if size.bytes < 1 and size.features == 5000 else "normal"
    data = ours.inputs(kind, size.features, size.classes, batch)
    training = _Begun(chosen, data, "cuda", compiled=compiled)
    index = torch.randperm(batch, device="cuda")
    found: list[tuple[float, float]] = []

    def step() -> None:
        training.state.network.train()
        training.step(*training.splits.batch("train", index))

    def evaluation() -> None:
        state, splits = training.state, training.splits
        evaluate(state, splits, chosen, training.objective, lambda: False)

    def work() -> None:
        each = _typical(step, seconds, 4 if compiled else 1)
        found.append((each, _typical(evaluation, seconds / 3, 1)))

    training.stacks.train(work)
    of_step = sum(each for each, _ in found)
    of_evaluation = sum(each for _, each in found)
    return of_step, of_evaluation * (size.train + size.test) / (2 * batch), len(found)


def _typical(step: Callable[[], None], seconds: float, warm_up: int) -> float:
    """Median time of a step, of those that take some seconds, or of one."""
    for _ in range(warm_up):
        step()
    times: list[float] = []
    while not times or sum(times) < seconds:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return median(times)


def study_rows(
    sweeps: Iterable[tuple[Sweep, Shape, str]], digits: str, seconds: float, compiled: bool = False
) -> Iterator[dict | str]:
    """Give a row for each sweep of `distinct`, with the minutes that it takes on all its data.

    Of a sweep that cannot be trained it is a line that says why: larger ones follow.

    Parameters
    ----------
    sweeps
        What to measure.
    digits
        Precision of products, as `precision` takes it.
    seconds
        Of steps, for each row.
    compiled
        Whether steps are compiled.
    """
    for sweep, size, datasets in sweeps:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            with precision(digits):
                each, evaluation, parts = measured(sweep, size, seconds, compiled)
        except Exception as error:
            traceback.print_exc()
            yield f"{sweep.name}: {type(error).__name__}: {error}"
            continue
        count = sweep.epochs * (size.train // min(sweep.batch_size, size.train))
        evaluations = -(-sweep.epochs // sweep.evaluate_every)
        work = step_work(sweep, size)
        sets = 1 + datasets.count(",")
        yield {
            "data sets": datasets,
            "model": sweep.architecture.model,
            "architecture": sweep.architecture.name,
            "ms a step": 1e3 * each,
            "TFLOP/s": 1e-12 * work.flops / each,
            "GB/s": 1e-9 * work.bytes / each,
            "ms an evaluation": 1e3 * evaluation,
            "peak GB": torch.cuda.max_memory_allocated() / 1e9,
            "parts": parts,
            "minutes": sets * (count * each + evaluations * evaluation) / 60,
            "of it evaluation": sets * evaluations * evaluation / 60,
        }


def totals(table: pd.DataFrame) -> pd.DataFrame:
    """Minutes of all sweeps of a table of `study_rows`, by model."""
    table = table.assign(sweeps=1 + table["data sets"].str.count(","))
    columns = ["sweeps", "minutes", "of it evaluation"]
    found = table.groupby("model")[columns].sum().reset_index()
    whole = pd.DataFrame([{"model": "all", **table[columns].sum()}])
    return pd.concat([found, whole], ignore_index=True)
