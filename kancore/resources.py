"""What a training job needs of a machine, estimated before it runs: memory and time.

Generous on purpose: a scheduler ends a job that needs more than it asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kancore.schemes import Sweep

# MB of a process that has imported PyTorch with CUDA, and of what starts it.
BASE_MB = 2500
# Minutes to start, read the data and write the tables.
BASE_MINUTES = 10
# Jobs that need more are put back into the queue at their checkpoint; partitions often allow a day.
MAX_MINUTES = 24 * 60
# Floating-point operations a second, and seconds a step beyond them. A quarter or less of what was
# measured (72 GFLOP/s a core): machines differ, small networks are slow and GPUs are shared.
CORE_RATE, GPU_RATE = 1.5e10, 2e12
STEP_SECONDS = 0.02


@dataclass(frozen=True)
class Shape:
    """Size of a data set: inputs, outputs and examples."""

    features: int
    classes: int
    train: int
    test: int


# The paper, section 4. One of the user's own is taken to be as large as the largest of these.
_SHAPES = {
    "mnist": Shape(784, 10, 60_000, 10_000),
    "fashion_mnist": Shape(784, 10, 60_000, 10_000),
    "cifar10": Shape(3072, 10, 50_000, 10_000),
    "imdb": Shape(5000, 2, 25_000, 25_000),
    "higgs": Shape(28, 2, 50_000, 50_000),
    "digits": Shape(64, 10, 1438, 359),
    "breast_cancer": Shape(30, 2, 455, 114),
    "mnist_sample": Shape(784, 10, 4000, 1000),
}


def shape(dataset: str, data: Mapping[str, Any]) -> Shape:
    """Size of a data set.

    Parameters
    ----------
    dataset
        Its name.
    data
        The study's settings of data.
    """
    if dataset == "imdb":
        svd = data["imdb"]["weighting"] == "svd"
        return Shape(data["imdb"]["components" if svd else "words"], 2, 25_000, 25_000)
    if dataset == "higgs":
        return Shape(28, 2, data["higgs"]["train_rows"], data["higgs"]["test_rows"])
    return _SHAPES.get(dataset, _SHAPES["cifar10"])


def _coefficients(sweep: Sweep) -> int:
    """Numbers stored and multiplied for each edge of a network."""
    architecture = sweep.architecture
    kan = architecture.model == "kan"
    return architecture.grid_size + architecture.degree + 2 if kan else 1


def _edges(sweep: Sweep, size: Shape) -> int:
    widths = sweep.architecture.widths(size.features, size.classes)
    return sum(before * after for before, after in pairwise(widths))


def memory_mb(sweep: Sweep, size: Shape) -> int:
    """Estimate the memory of the job that trains a sweep.

    Returns
    -------
    int
        MB of the data set twice, of every parameter with its gradient and two moments, and of a
        batch's activations and their gradients in all networks.
    """
    schemes, batch = len(sweep.schemes), sweep.batch_size
    per_edge = _coefficients(sweep)
    numbers = 2 * size.features * (size.train + size.test)
    numbers += 4 * schemes * _edges(sweep, size) * per_edge
    hidden = schemes * (sum(sweep.architecture.hidden_widths) + size.classes)
    numbers += 3 * batch * (1 + per_edge) * (size.features + hidden)
    if sweep.hsic is not None:
        numbers += 6 * schemes * batch**2  # kernels of a layer
    return BASE_MB + round(4 * numbers / 1e6)


def runtime_minutes(sweep: Sweep, size: Shape, threads: int, gpu: bool) -> int:
    """Estimate the time of the job that trains a sweep.

    Parameters
    ----------
    sweep, size
        What it trains, and on how much.
    threads
        Threads on the CPU.
    gpu
        Whether it gets a GPU.

    Returns
    -------
    int
        Minutes, at most a day.
    """
    train = sweep.train_examples or size.train
    evaluated = train + (sweep.test_examples or size.test)
    evaluations = sweep.epochs / sweep.evaluate_every + 1
    schemes, steps = len(sweep.schemes), sweep.epochs * max(1, train // sweep.batch_size)
    work = 2 * schemes * _edges(sweep, size) * _coefficients(sweep)
    work *= 3 * train * sweep.epochs + evaluated * evaluations
    if sweep.hsic is not None:
        layers = len(sweep.architecture.hidden_widths)
        work += 8 * schemes * layers * steps * sweep.batch_size**3
    seconds = work / (GPU_RATE if gpu else CORE_RATE * threads) + STEP_SECONDS * steps
    return min(MAX_MINUTES, BASE_MINUTES + round(seconds / 60))
