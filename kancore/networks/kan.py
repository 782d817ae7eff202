"""Kolmogorov-Arnold networks."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from kancore.layers.kolmogorov_arnold import KALayer
from kancore.layers.linear import BatchNorm
from kancore.networks.network import Network, check_widths
from kancore.schemes import Architecture


class _Stage(nn.Module):
    """A Kolmogorov-Arnold layer and its optional batch normalization."""

    def __init__(self, layer: KALayer, batch_norm: bool, stack: int):
        super().__init__()
        self.layer = layer
        self.batch_norm = BatchNorm(layer.outputs, stack) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.batch_norm(self.layer(x))


class KAN(Network):
    """Kolmogorov-Arnold network, or a stack of them.

    Parameters
    ----------
    widths
        Input, hidden and output widths, such as ``[784, 32, 10]``.
    grid_size
        Intervals of the spline grid.
    degree
        Degree of the B-splines, 1 to 5.
    grid_range
        Ends of the grid; inputs beyond its extension reach the base branch only.
    activation
        Base activation.
    dropout
        Probability of dropping an input of the output layer, while training.
    batch_norm
        Whether every layer, the output layer included, is followed by batch normalization, as in
        the published runs on CIFAR-10 and HIGGS.
    initialization
        ``kaiming_normal``, ``kaiming_uniform`` or ``orthogonal``, of base weights and spline
        scales; a stack is left to `initialize`.
    stack
        Number of networks trained side by side; ``None`` for a plain module.
    **published
        `hidden_initialization` and `relu_logits` of `Network`: what the published code does.
    """

    def __init__(
        self,
        widths: Sequence[int],
        grid_size: int = 5,
        degree: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        activation: str = "gelu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        initialization: str = "kaiming_uniform",
        stack: int | None = None,
        **published,
    ):
        widths = check_widths(widths)
        size = 1 if stack is None else stack
        layers = [
            KALayer(inputs, outputs, grid_size, degree, grid_range, activation, size)
            for inputs, outputs in pairwise(widths)
        ]
        stages = [_Stage(layer, batch_norm, size) for layer in layers]
        super().__init__(stages, dropout, stack, initialization, **published)


def from_architecture(architecture: Architecture, widths: Sequence[int], stack: int) -> KAN:
    """Build a stack for an architecture."""
    return KAN(
        widths,
        grid_size=architecture.grid_size,
        degree=architecture.degree,
        grid_range=architecture.grid_range,
        activation=architecture.activation,
        dropout=architecture.dropout,
        batch_norm=architecture.batch_norm,
        stack=stack,
        hidden_initialization=architecture.hidden_initialization,
        relu_logits=architecture.relu_logits,
    )
