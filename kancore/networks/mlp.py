"""Multilayer perceptrons, and the wide ones that match a KAN in parameters."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from kancore.layers.activations import FUNCTIONS
from kancore.layers.activations import check as check_activation
from kancore.layers.linear import Linear
from kancore.networks.network import (
    Network,
    check_widths,
    common_options,
    normalization,
    shortcut,
)
from kancore.schemes import PLACES, WIDE_FACTOR, Architecture


class _Hidden(nn.Module):
    """A linear layer, its activation, normalization before or after that, a skip connection."""

    def __init__(
        self,
        linear: Linear,
        activation: str,
        normalizations: Iterable[nn.Module],
        shortcut: nn.Module | None,
    ):
        super().__init__()
        self.linear = linear
        self.before, self.after = normalizations
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.before, nn.Identity):
            y = self.linear(x, self.activation)
        else:
            y = FUNCTIONS[self.activation](self.before(self.linear(x)))
        y = self.after(y)
        return y if self.shortcut is None else y + self.shortcut(x)


class MLP(Network):
    """Multilayer perceptron, or a stack of them.

    Parameters
    ----------
    widths
        Input, hidden and output widths, such as ``[784, 32, 10]``.
    activation
        Activation of the hidden layers.
    dropout
        Probability of dropping an input of the output layer, while training.
    batch_norm
        Where hidden layers are normalized: ``before_activation`` or ``after_activation``.
    batch_norm_momentum
        As for `kancore.layers.linear.BatchNorm`.
    layer_norm
        The same for layer normalization, in its place.
    normalization_affine
        As `affine` of both.
    residual
        Whether inputs of hidden layers are added to their outputs; see `network.shortcut`.
    uniform_biases
        As `uniform_bias` of `kancore.layers.linear.Linear`, in all layers.
    initialization
        ``kaiming_normal``, ``kaiming_uniform`` or ``orthogonal``; a stack is left to `initialize`.
    stack
        Number of networks trained side by side; ``None`` for a plain module.
    **published
        `hidden_initialization`, `output_initialization` and `relu_logits` of `Network`: what the
        published code does.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str = "gelu",
        dropout: float = 0.0,
        batch_norm: str | None = None,
        batch_norm_momentum: float = 0.1,
        layer_norm: str | None = None,
        normalization_affine: bool = True,
        residual: bool = False,
        uniform_biases: bool = False,
        initialization: str = "kaiming_uniform",
        stack: int | None = None,
        **published,
    ):
        check_activation(activation)
        size = 1 if stack is None else stack
        how = size, batch_norm, layer_norm, batch_norm_momentum, normalization_affine
        *hidden, (inputs, outputs) = pairwise(check_widths(widths))
        last = Linear(inputs, outputs, size, uniform_biases)
        stages = [
            _Hidden(
                Linear(*pair, size, uniform_biases),
                activation,
                (normalization(place, pair[1], *how) for place in PLACES),
                shortcut(*pair, size) if residual else None,
            )
            for pair in hidden
        ]
        super().__init__([*stages, last], dropout, stack, initialization, **published)


class WideMLP(MLP):
    """MLP with every hidden width multiplied, by default to match a KAN in parameters.

    Parameters
    ----------
    widths
        Widths of the KAN to match, before the multiplication.
    factor
        Multiplier of the hidden widths.
    **options
        As for `MLP`.
    """

    def __init__(self, widths: Sequence[int], factor: int = WIDE_FACTOR, **options):
        inputs, *hidden, outputs = check_widths(widths)
        super().__init__([inputs, *(factor * width for width in hidden), outputs], **options)


def from_architecture(architecture: Architecture, widths: Sequence[int], stack: int) -> MLP:
    """Build a stack for an architecture, whose hidden widths are the widths as built."""
    options = common_options(architecture, stack)
    return MLP(widths, uniform_biases=architecture.uniform_biases, **options)
