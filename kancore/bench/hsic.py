"""A training step by nHSIC, and the naive form: two inverses and ``m x m`` products a layer."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from kancore.networks.mlp import from_architecture
from kancore.networks.network import Network
from kancore.objectives.hsic import EPSILON
from kancore.schemes import Architecture, HsicBottleneck, Scheme, Sweep
from kancore.training.optimizers import StackedOptimizer

WIDTHS = (784, 128, 64, 32, 10)
_SCHEME = Scheme("sgd_momentum", 0.0005, "kaiming_normal")


def sweep(batch: int, term: Literal["n", "x", "h"] = "x") -> Sweep:
    """Describe the training of one MLP on batches of a size, with a `HsicBottleneck.term`."""
    return Sweep(
        dataset="made here",
        objective="hsic",
        architecture=Architecture("mlp", WIDTHS[1:-1]),
        optimizers=(_SCHEME.optimizer,),
        learning_rates=(_SCHEME.learning_rate,),
        initializations=(_SCHEME.initialization,),
        seed=0,
        epochs=1,
        batch_size=batch,
        hsic=HsicBottleneck(term=term),
    )


def examples(batch: int) -> tuple[Tensor, Tensor]:
    """Make clusters, one a class: ``[batch, in]`` and labels ``[batch]``."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(WIDTHS[-1], (batch,), generator=generator)
    centres = torch.randn(WIDTHS[-1], WIDTHS[0], generator=generator)
    return 0.3 * centres[y] + torch.randn(batch, WIDTHS[0], generator=generator), y


def network() -> Network:
    """Build the MLP as it begins."""
    built = from_architecture(sweep(1).architecture, WIDTHS, 1)
    built.initialize(0, _SCHEME.initialization, torch.Generator().manual_seed(0))
    return built


def naive_losses(network: Network, x: Tensor, y: Tensor, sweep: Sweep) -> Tensor:
    """Compute the losses the reference implementation's way: ``sum(R_z * R_y^T)``, by inverses.

    Parameters and result are those of `kancore.objectives.hsic_bottleneck.losses`. The term is that
    of the labels alone, or that of the network's inputs too.
    """
    settings, m = sweep.hsic, len(y)
    assert settings is not None  # as of all sweeps of this objective
    identity = torch.eye(m).to(x)
    centring = identity - 1 / m

    def normalized(z: Tensor) -> Tensor:
        norms = z.square().sum(1)
        distances = norms.unsqueeze(1) + norms.unsqueeze(0) - 2 * z @ z.T
        kernel = torch.exp(-distances / (2 * settings.sigma**2 * z.shape[1])) @ centring
        return kernel @ torch.inverse(kernel + EPSILON * m * identity)

    *hidden, (logits,) = network.layerwise(x)
    total = cross_entropy(logits, y)
    for (z,) in hidden:
        labels = one_hot(y, logits.shape[-1]).to(x)
        total = total - settings.weight * (normalized(z) * normalized(labels).T).sum()
        if settings.term == "x":
            total = total + (normalized(z) * normalized(x).T).sum()
    return total.unsqueeze(0)


def step_of(
    objective: Callable[[Network, Tensor, Tensor, Sweep], Tensor],
    batch: int,
    term: Literal["n", "x", "h"],
    device: str,
) -> Callable[[], None]:
    """Give a step of training with one way to find the losses."""
    trained, (x, y) = network().to(device), examples(batch)
    x, y, chosen = x.to(device), y.to(device), sweep(batch, term)
    optimizer = StackedOptimizer(list(trained.parameters()), [_SCHEME])

    def step() -> None:
        found = objective(trained, x, y, chosen)
        optimizer.step(torch.autograd.grad(found.sum(), optimizer.parameters))

    return step
