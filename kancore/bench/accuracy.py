"""The accuracy of KANs of all implementations, trained alike on a tenth of MNIST."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from kancore.bench import peers
from kancore.bench.peers import optimizer_of
from kancore.data import mnist_sample
from kancore.data.dataset import Dataset
from kancore.schemes import Architecture, Gain, Optimizer, SplineScale, Sweep
from kancore.training.loop import Training

HIDDEN = (32, 8)
# Optimizers, with rates that show how robust training is.
SCHEMES: tuple[tuple[Optimizer, float], ...] = (
    ("adam", 0.005),
    ("sgd_momentum", 0.05),
    ("adam", 0.0005),
)
SEEDS = range(3)
EPOCHS, BATCH = 4, 64
# Ours, by the gain of the initialization that peers have one of.
GAINS: tuple[Gain, ...] = ("leaky", "rectifier")


def of_ours(
    images: Dataset,
    hidden: int,
    gain: Gain,
    optimizer: Optimizer,
    rate: float,
    seed: int,
    spline_scale: SplineScale = "trained",
) -> float:
    """Best test accuracy of our KAN after each of four epochs."""
    architecture = Architecture(
        *("kan", (hidden,), "silu"),
        degree=peers.DEGREE,
        grid_size=peers.GRID_SIZE,
        grid_range=(-1.0, 1.0),
        spline_scale=spline_scale,
        gain=gain,
    )
    sweep = Sweep(
        *(images.name, "backprop", architecture, seed),
        optimizers=(optimizer,),
        learning_rates=(rate,),
        initializations=("kaiming_uniform",),
        epochs=EPOCHS,
        batch_size=BATCH,
        validation_fraction=0.0,
    )
    return max(row["test_accuracy"] for row in Training(sweep, images).run())


def of_peer(
    images: Dataset,
    build: Callable[[Sequence[int]], nn.Module],
    hidden: int,
    optimizer: str,
    rate: float,
    seed: int,
) -> float:
    """Best test accuracy of another implementation, as it initializes itself."""
    torch.manual_seed(seed)
    x, x_test = (images.standardize(part) for part in (images.x_train, images.x_test))
    network = build([images.features, hidden, images.classes])
    update = optimizer_of([p for p in network.parameters() if p.requires_grad], optimizer, rate)
    best = 0.0
    for _ in range(EPOCHS):
        for index in torch.randperm(len(x)).split(BATCH):
            peers.train_step(network, update, x[index], images.y_train[index])
        best = max(best, _accuracy(network, x_test, images.y_test))
    return best


@torch.no_grad()
def _accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    return (network(x).argmax(1) == y).float().mean().item()


def accuracies() -> Iterator[dict]:
    """Give rows of a network and a scheme, with lowest to highest accuracy of each implementation.

    All of them train on the same 4,000 images, standardized alike; each has its own order of
    minibatches, and three seeds.
    """
    images = mnist_sample.prepare()
    for hidden in HIDDEN:
        for optimizer, rate in SCHEMES:
            scheme = optimizer, rate
            network = f"{images.features}-{hidden}-{images.classes}"
            row = {"network": network, "optimizer": optimizer, "rate": f"{rate:g}"}
            for gain in GAINS:
                found = [of_ours(images, hidden, gain, *scheme, seed) for seed in SEEDS]
                row[f"ours, {gain}"] = _range(found)
            for name, build in peers.installed().items():
                found = [of_peer(images, build, hidden, *scheme, seed) for seed in SEEDS]
                row[name] = _range(found)
            yield row


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.3f} to {max(values):.3f}"
