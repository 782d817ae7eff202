"""Kolmogorov-Arnold networks."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from kancore.layers.kolmogorov_arnold import KALayer
from kancore.networks.network import (
    Network,
    check_widths,
    common_options,
    normalization,
    shortcut,
)
from kancore.schemes import Architecture


class _Hidden(nn.Module):
    """A Kolmogorov-Arnold layer, its optional normalization, and a skip connection past both."""

    def __init__(self, layer: KALayer, normalization: nn.Module, shortcut: nn.Module | None):
        super().__init__()
        self.layer, self.normalization, self.shortcut = layer, normalization, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.normalization(self.layer(x))
        return y if self.shortcut is None else y + self.shortcut(x)


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
    output_activation
        Base activation of the output layer, where it is another one.
    spline_scale
        ``trained``, or ``folded`` into the coefficients; see `KALayer`.
    dropout
        Probability of dropping an input of the output layer, while training.
    batch_norm
        ``before_activation`` or ``after_activation``: hidden layers are followed by batch
        normalization, which is before the next layer's activation and after this layer's.
    batch_norm_momentum
        As for `kancore.layers.linear.BatchNorm`.
    layer_norm
        The same for layer normalization, in its place.
    normalization_affine
        As `affine` of both.
    residual
        Whether inputs of hidden layers are added to their outputs; see `network.shortcut`.
    initialization
        ``kaiming_normal``, ``kaiming_uniform`` or ``orthogonal``, of base weights and spline
        scales; a stack is left to `initialize`.
    gain, moving_grid
        As for `KALayer`.
    stack
        Number of networks trained side by side; ``None`` for a plain module.
    **published
        `hidden_initialization`, `output_initialization` and `relu_logits` of `Network`: what the
        published code does.
    """

    def __init__(
        self,
        widths: Sequence[int],
        grid_size: int = 5,
        degree: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        activation: str = "gelu",
        output_activation: str | None = None,
        spline_scale: str = "trained",
        dropout: float = 0.0,
        batch_norm: str | None = None,
        batch_norm_momentum: float = 0.1,
        layer_norm: str | None = None,
        normalization_affine: bool = True,
        residual: bool = False,
        initialization: str = "kaiming_uniform",
        gain: str = "rectifier",
        moving_grid: bool = False,
        stack: int | None = None,
        **published,
    ):
        size = 1 if stack is None else stack
        place = batch_norm or layer_norm
        how_normalized = size, batch_norm, layer_norm, batch_norm_momentum, normalization_affine

        def layer(inputs: int, outputs: int, activation: str) -> KALayer:
            how = activation, spline_scale, gain, moving_grid, size
            return KALayer(inputs, outputs, grid_size, degree, grid_range, *how)

        *hidden, (last, outputs) = pairwise(check_widths(widths))
        stages: list[nn.Module] = [
            _Hidden(
                layer(*pair, activation),
                normalization(place, pair[1], *how_normalized),
                shortcut(*pair, size) if residual else None,
            )
            for pair in hidden
        ]
        stages.append(layer(last, outputs, output_activation or activation))
        super().__init__(stages, dropout, stack, initialization, **published)

    @property
    def layers(self) -> list[KALayer]:
        """The Kolmogorov-Arnold layers, in order."""
        return [module for module in self.stages.modules() if isinstance(module, KALayer)]

    def expect(self, background: Tensor | None) -> None:
        """Say which inputs, ``[in]``, most examples have; this changes the speed alone."""
        self.layers[0].background = background

    @torch.no_grad()
    def outside_grid(self, x: Tensor) -> Tensor:
        """Share of each layer's inputs beyond its extended grid, ``[S, layers]``; in evaluation."""
        shares = []
        for stage, layer in zip(self.stages, self.layers, strict=True):
            shares.append(layer.outside_grid(x))
            x = stage(x)
        return torch.stack(shares, dim=1)

    @torch.no_grad()
    def move_grids(self, x: Tensor) -> None:
        """Move the grids of all layers in turn to their inputs, from those of the network.

        Raises
        ------
        ValueError
            If grids cannot be moved, or there are no inputs.
        """
        for stage, layer in zip(self.stages, self.layers, strict=True):
            layer.move_grid(x)
            x = stage(x)


def from_architecture(architecture: Architecture, widths: Sequence[int], stack: int) -> KAN:
    """Build a stack for an architecture."""
    return KAN(
        widths,
        *architecture.grid,
        output_activation=architecture.output_activation,
        spline_scale=architecture.spline_scale,
        gain=architecture.gain,
        moving_grid=architecture.moving_grid,
        **common_options(architecture, stack),
    )
