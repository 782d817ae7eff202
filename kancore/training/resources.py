"""What a training job needs of a machine, estimated before it runs: memory and time.

Of memory it is the peak, within a quarter of what is measured; of time it is generous, since a
scheduler ends a job that takes longer than it asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from kancore.networks.parts import (
    CACHED,
    EVALUATION_BATCH,
    LINEAR_KERNELS,
    Needs,
    evaluation_batch,
    networks_at_once,
)
from kancore.schemes import Scheme, Trained

# MB of a process that has imported PyTorch; of one that uses CUDA: 1,220 were measured on an H200
# with all libraries, and compiling kernels takes more.
BASE_MB, CUDA_BASE_MB = 640, 1600
# Minutes to start, read the data and write the tables.
BASE_MINUTES = 10
# Jobs that need more are put back into the queue at their checkpoint; partitions often allow a day.
MAX_MINUTES = 24 * 60
# Floating-point operations a second, and seconds a step beyond them. A quarter or less of what was
# measured (72 GFLOP/s a core; in float32 on an H200 at least 11 TFLOP/s where a step takes as long
# as its products, and 6 ms where it does not): machines differ, small networks are slow and GPUs
# are shared.
CORE_RATE, GPU_RATE = 1.5e10, 2e12
STEP_SECONDS = 0.02
# Numbers that an optimizer keeps for each weight; one of the user's own as many as AdamW.
_MOMENTS = {"sgd": 0, "sgd_momentum": 1, "adam": 2}
# What freed activations of a part of a stack take up beside those of the next.
_PIECES = 2.5
# Whether this machine has a GPU; PyTorch would take seconds to tell.
GPU_HERE = Path("/dev/nvidiactl").exists()
# Whether KANs may train by kernels on a GPU.
TRITON = find_spec("triton") is not None
# Whether KANs train by compiled kernels on a CPU, which need less memory.
KERNELS = any(Path(__file__).parents[1].glob("layers/_local_support_*"))


@dataclass(frozen=True)
class Shape:
    """Size of a data set: inputs, outputs and examples, and the bytes that store an input.

    With it goes what networks of the user's own need that are trained on it.
    """

    features: int
    classes: int
    train: int
    test: int
    bytes: float = 4
    own: Needs | None = None


# The paper, section 4.
SHAPES = {
    "mnist": Shape(784, 10, 60_000, 10_000, 1),
    "fashion_mnist": Shape(784, 10, 60_000, 10_000, 1),
    "cifar10": Shape(3072, 10, 50_000, 10_000, 1),
    "imdb": Shape(5000, 2, 25_000, 25_000),
    "higgs": Shape(28, 2, 50_000, 50_000),
    "digits": Shape(64, 10, 1438, 359, 1),
    "breast_cancer": Shape(30, 2, 455, 114),
    "mnist_sample": Shape(784, 10, 4000, 1000, 1),
}
# One of the user's own is taken to be as large as the largest of these, but of the fewest classes:
# networks may be told to have fewer outputs than that one has classes.
_UNKNOWN = replace(SHAPES["cifar10"], classes=2)
# Of the words of a review 2.6% are among the most frequent; each takes a number and its place.
_SPARSE_BYTES = 0.026 * 12


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
        if data["imdb"]["weighting"] == "svd":
            return Shape(data["imdb"]["components"], 2, 25_000, 25_000)
        return Shape(data["imdb"]["words"], 2, 25_000, 25_000, _SPARSE_BYTES)
    if dataset == "higgs":
        return Shape(28, 2, data["higgs"]["train_rows"], data["higgs"]["test_rows"])
    return SHAPES.get(dataset, _UNKNOWN)


def needs_of_unknown(widths: Sequence[int]) -> Needs:
    """Guess, on the safe side, what a network of the user's own needs that was not tried."""
    edges = sum(before * after for before, after in pairwise(widths))
    return Needs(parameters=20 * edges, buffers=0, activations=20 * sum(widths), together=True)


def _numbers_an_edge(sweep: Trained) -> int:
    """Numbers stored and multiplied for each edge of a network."""
    if sweep.architecture.model != "kan":
        return 1
    grid_size, degree, _ = sweep.architecture.grid
    return grid_size + degree + 2


def _layers(sweep: Trained, size: Shape) -> list[int]:
    """Weights of each layer of a network, with those of the projection around it.

    One of the user's own counts as a single layer.
    """
    if size.own is not None:
        return [size.own.parameters]
    widths = sweep.architecture.widths(size.features, size.classes)
    edges, last = _numbers_an_edge(sweep), len(widths) - 2
    return [
        (edges + (sweep.architecture.residual and before != after and place < last))
        * (before * after)
        for place, (before, after) in enumerate(pairwise(widths))
    ]


def memory_mb(
    sweep: Trained, size: Shape, schemes: Sequence[Scheme] | None = None, cuda: bool = False
) -> int:
    """Estimate the most memory that the process that trains a sweep takes.

    Parameters
    ----------
    sweep, size
        What it trains, and on how much.
    schemes
        Those that it trains side by side; ``None`` for all of the sweep.
    cuda
        Whether it trains on a GPU, where only data and checkpoints are in the machine's memory.

    Returns
    -------
    int
        MB of the process, of the data, of weights and moments of all networks, and of the largest
        of what only a step, an evaluation, the start of a network or a selection of them needs.
    """
    schemes = sweep.schemes if schemes is None else schemes
    kept = _kept(sweep, size, schemes)
    if cuda:
        return CUDA_BASE_MB + round((_data_bytes(sweep, size) + 4 * kept) / 1e6)
    passing = max(
        _of_a_step(sweep, size, len(schemes)),
        _of_an_evaluation(sweep, size, len(schemes)),
        5 * max(_layers(sweep, size)),  # drawn for one network
        _moments(sweep, size, schemes),  # copied where a network has diverged
    )
    return BASE_MB + round((_data_bytes(sweep, size) + 4 * (kept + passing)) / 1e6)


def gpu_mb(sweep: Trained, size: Shape, schemes: Sequence[Scheme], gpu_bytes: int) -> int:
    """Estimate the most memory of a GPU that a stack takes, beside what CUDA takes for itself.

    Parameters
    ----------
    sweep, size, schemes
        As of `memory_mb`.
    gpu_bytes
        Memory of the GPU, which batches of evaluations go by.
    """
    networks = len(schemes)
    examples = evaluation_batch(sweep, networks, size.features, gpu_bytes)
    passing = max(
        _of_a_step(sweep, size, networks, cuda=True),
        _of_an_evaluation(sweep, size, networks, examples),
        _moments(sweep, size, schemes),
    )
    numbers = _kept(sweep, size, schemes) + passing
    return round((_data_bytes(sweep, size) + 4 * numbers) / 1e6)


def _moments(sweep: Trained, size: Shape, schemes: Sequence[Scheme]) -> int:
    """Numbers that the optimizers of a stack keep."""
    return sum(_layers(sweep, size)) * sum(_MOMENTS.get(scheme.optimizer, 2) for scheme in schemes)


def _kept(sweep: Trained, size: Shape, schemes: Sequence[Scheme]) -> int:
    """Numbers that a stack keeps from step to step: weights, moments, buffers."""
    weights = sum(_layers(sweep, size))
    # Of a warm start: networks to start from, and those that the next are to start from.
    copies = 3 if sweep.warm_start else 1
    buffers = 0 if size.own is None else size.own.buffers
    return (copies * weights + buffers) * len(schemes) + _moments(sweep, size, schemes)


def _of_an_evaluation(
    sweep: Trained, size: Shape, schemes: int, examples: int = EVALUATION_BATCH
) -> int:
    """Numbers that an evaluation of a stack, so many examples at once, needs beside weights."""
    if size.own is not None:  # of as many networks as the cache has room for, or one
        return 3 * max(CACHED, examples * size.own.activations)
    return 3 * schemes * examples * max(sweep.architecture.hidden_widths)


def _data_bytes(sweep: Trained, size: Shape) -> float:
    """Bytes of a data set as stored, of the examples taken of it, and of these once divided."""
    stored = size.train + size.test
    used = (sweep.train_examples or size.train) + (sweep.test_examples or size.test)
    examples = stored + (2 * used if used < stored else used)
    return examples * (size.bytes * size.features + 8)


def _of_a_step(sweep: Trained, size: Shape, schemes: int, cuda: bool = False) -> float:
    """Numbers that a training step of a stack needs beside weights and moments.

    Counted are what all layers save for the backward pass, all gradients, and what passes in the
    largest layer. Little of it takes the place of what is free by then, which is of other sizes.
    """
    architecture, layers = sweep.architecture, _layers(sweep, size)
    # The smaller, last batch is left out, unless it is the only one.
    batch = min(sweep.batch_size, sweep.train_examples or size.train)
    if (own := size.own) is not None:
        # Three times what is kept: as much passes in functions and in their gradients.
        of_batch = batch * size.features + 3 * schemes * batch * own.activations
        return of_batch + 2 * schemes * own.parameters
    at_once = None if cuda else networks_at_once(sweep, sum(layers))
    together = min(schemes, at_once or schemes)
    hidden, largest = sum(architecture.hidden_widths), max(architecture.hidden_widths)
    save_input, save, pass_by = _of_an_activation(sweep, cuda)
    activations = batch * (save * hidden + pass_by * largest)
    numbers: float = batch * size.features * save_input + together * activations
    if cuda or not _fused(sweep):
        numbers += _of_gradients(sweep, cuda) * schemes * sum(layers)
    if together < schemes:  # where parts follow one another, memory is left in pieces
        numbers += (_PIECES - 1) * together * activations + together * sum(layers)
    if sweep.hsic is not None:
        terms = len(architecture.hidden_widths) * (1 if sweep.hsic.term == "n" else 3)
        numbers += (terms + 6) * schemes * batch**2
    return numbers


def _fused(sweep: Trained) -> bool:
    """Whether weights are updated in the backward pass, which then gives no gradients of them."""
    kernels = KERNELS if sweep.architecture.model == "kan" else LINEAR_KERNELS
    own = sweep.architecture.own or any(":" in scheme.optimizer for scheme in sweep.schemes)
    of_pytorch = sweep.architecture.bfloat16 or sweep.clip_norm is not None
    return kernels and not own and not of_pytorch


def _of_gradients(sweep: Trained, cuda: bool) -> int:
    """Numbers for each weight, where they are not updated in the backward pass."""
    rounded = 1 if sweep.architecture.bfloat16 else 0  # weights, and again in float32 on a CPU
    if sweep.architecture.model != "kan":
        return rounded + (2 if cuda else 1)  # and those of a product that is transposed
    # Dense products have scaled coefficients and theirs too.
    return 1 if cuda and _on_chip(sweep) else 3 + rounded


def _on_chip(sweep: Trained) -> bool:
    """Whether kernels multiply on a GPU, and keep no functions of inputs."""
    return TRITON and not sweep.architecture.moving_grid


def _of_an_activation(sweep: Trained, cuda: bool) -> tuple[float, float, float]:
    """Numbers for each input of a network, each activation, and each of the layer at work."""
    architecture = sweep.architecture
    normalized = 2 * ((architecture.batch_norm or architecture.layer_norm) is not None)
    if cuda and (architecture.model != "kan" or _on_chip(sweep)):
        return 3, 2 + normalized, 8  # activations pass over memory several times
    if architecture.model != "kan":
        return 3, 2 + normalized, 3
    grid_size, degree, _ = architecture.grid
    if KERNELS and not (cuda or architecture.bfloat16):
        # Values and slopes of the splines that are not zero, and of the base activation.
        functions = degree + 2
        return functions + 3, 2 * functions + 2.5 + normalized, 3
    functions = grid_size + degree + 1
    of_inputs = 6 if cuda else 2  # copies of them, as measured
    return of_inputs * functions + 3, functions + 2 + normalized, 6 * functions


def stack_sizes(
    sweep: Trained,
    size: Shape,
    schemes: Sequence[Scheme],
    limit_mb: float,
    gpu_bytes: int | None = None,
) -> list[int]:
    """Divide schemes into the fewest stacks, about equal, that each fit into memory.

    Parameters
    ----------
    sweep, size
        What is trained, and on how much.
    schemes
        The schemes that are left to train, in stack order.
    limit_mb
        MB that the process may take; with `gpu_bytes` it is MB of a GPU of this size.

    Returns
    -------
    list of int
        Schemes of each stack; 1 each where not even single networks fit, none of no schemes.
    """

    def needed(stack: Sequence[Scheme]) -> int:
        if gpu_bytes is None:
            return memory_mb(sweep, size, stack)
        return gpu_mb(sweep, size, stack, gpu_bytes)

    stacks: list[Sequence[Scheme]] = []
    for count in range(1, len(schemes) + 1):
        bounds = [len(schemes) * number // count for number in range(count + 1)]
        stacks = [schemes[start:end] for start, end in pairwise(bounds)]
        if all(needed(stack) <= limit_mb for stack in stacks):
            break
    return [len(stack) for stack in stacks]


def runtime_minutes(sweep: Trained, size: Shape, threads: int, gpu: bool) -> int:
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
    programs = 1 if size.own is None or size.own.together else len(sweep.schemes)
    seconds = work(sweep, size) / (GPU_RATE if gpu else CORE_RATE * threads)
    seconds += STEP_SECONDS * steps(sweep, size) * programs
    return min(MAX_MINUTES, BASE_MINUTES + round(seconds / 60))


def steps(sweep: Trained, size: Shape) -> int:
    """Count the optimizer steps of a sweep."""
    train = sweep.train_examples or size.train
    return sweep.epochs * max(1, train // sweep.batch_size)


def work(sweep: Trained, size: Shape) -> float:
    """Count the floating-point operations of a sweep, in training and in evaluations."""
    evaluated = (sweep.train_examples or size.train) + (sweep.test_examples or size.test)
    evaluations = sweep.epochs / sweep.evaluate_every + 1
    passes = evaluated * evaluations * _of_an_example(sweep, size)
    return steps(sweep, size) * work_of_step(sweep, size) + passes


def work_of_step(sweep: Trained, size: Shape) -> float:
    """Count the floating-point operations of a step of training."""
    batch = min(sweep.batch_size, sweep.train_examples or size.train)
    found: float = 3 * batch * _of_an_example(sweep, size)
    if sweep.hsic is not None:
        layers = len(sweep.architecture.hidden_widths)
        found += 8 * len(sweep.schemes) * layers * sweep.batch_size**3
    return found


def _of_an_example(sweep: Trained, size: Shape) -> int:
    """Operations of all networks' forward pass, for each example."""
    return 2 * len(sweep.schemes) * (sum(_layers(sweep, size)) + _passes(size))


def parameters(sweep: Trained, size: Shape) -> int:
    """Count the numbers of a network, within a hundredth."""
    return sum(_layers(sweep, size))


def _passes(size: Shape) -> int:
    """Operations that take as long as elementwise functions of a network of the user's own do.

    Of its layers only the numbers are known that they keep; each counts as ten.
    """
    return 10 * size.own.activations if size.own is not None else 0
