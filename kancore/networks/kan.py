"""Kolmogorov-Arnold networks."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from kancore.layers.kolmogorov_arnold import KALayer
from kancore.layers.linear import BatchNorm
from kancore.networks.network import Network, check_batch_norm, check_widths, common_options
from kancore.schemes import Architecture


class _Hidden(nn.Module):
    """A Kolmogorov-Arnold layer and its optional batch normalization."""

    def __init__(self, layer: KALayer, batch_norm: nn.Module):
        super().__init__()
        self.layer, self.batch_norm = layer, batch_norm

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
    initialization
        ``kaiming_normal``, ``kaiming_uniform`` or ``orthogonal``, of base weights and spline
        scales; a stack is left to `initialize`.
    kaiming_gain
        As for `kancore.initialization.fill`.
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
        initialization: str = "kaiming_uniform",
        kaiming_gain: str = "rectifier",
        stack: int | None = None,
        **published,
    ):
        size = 1 if stack is None else stack
        check_batch_norm(batch_norm)

        def layer(inputs: int, outputs: int, activation: str) -> KALayer:
            grid = grid_size, degree, grid_range
            return KALayer(inputs, outputs, *grid, activation, spline_scale, kaiming_gain, size)

        def normalization(width: int) -> nn.Module:
            if batch_norm is None:
                return nn.Identity()
            return BatchNorm(width, size, batch_norm_momentum)

        *hidden, (last, outputs) = pairwise(check_widths(widths))
        stages = [_Hidden(layer(*pair, activation), normalization(pair[1])) for pair in hidden]
        stages.append(layer(last, outputs, output_activation or activation))
        super().__init__(stages, dropout, stack, initialization, **published)


def from_architecture(architecture: Architecture, widths: Sequence[int], stack: int) -> KAN:
    """Build a stack for an architecture."""
    return KAN(
        widths,
        grid_size=architecture.grid_size,
        degree=architecture.degree,
        grid_range=architecture.grid_range,
        output_activation=architecture.output_activation,
        spline_scale=architecture.spline_scale,
        kaiming_gain=architecture.kaiming_gain,
        **common_options(architecture, stack),
    )
