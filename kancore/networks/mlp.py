"""Multilayer perceptrons, and the wide ones that match a KAN in parameters."""

from collections.abc import Sequence

from torch import Tensor, nn

from kancore.activations import FUNCTIONS
from kancore.layers.linear import BatchNorm, Linear
from kancore.networks.network import Network, check_widths
from kancore.schemes import Architecture

# A KAN has 10 parameters an edge (grid 5, degree 3), so ten times the hidden width matches it.
WIDE_FACTOR = 10


class _Hidden(nn.Module):
    """Linear, optional batch normalization, activation."""

    def __init__(self, inputs: int, outputs: int, activation: str, batch_norm: bool, stack: int):
        super().__init__()
        self.linear = Linear(inputs, outputs, stack)
        self.batch_norm = BatchNorm(outputs, stack) if batch_norm else nn.Identity()
        self.activation = FUNCTIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.batch_norm(self.linear(x)))


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
        Whether hidden layers are normalized before their activation.
    initialization
        ``kaiming_normal``, ``kaiming_uniform`` or ``orthogonal``; a stack is left to `initialize`.
    stack
        Number of networks trained side by side; ``None`` for a plain module.
    **published
        `hidden_initialization` and `relu_logits` of `Network`: what the published code does.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str = "gelu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        initialization: str = "kaiming_uniform",
        stack: int | None = None,
        **published,
    ):
        *before, last, outputs = check_widths(widths)
        size = 1 if stack is None else stack
        pairs = zip(before, [*before[1:], last], strict=True)
        hidden = [_Hidden(*pair, activation, batch_norm, size) for pair in pairs]
        stages = [*hidden, Linear(last, outputs, size)]
        super().__init__(stages, dropout, stack, initialization, **published)


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
    return MLP(
        widths,
        activation=architecture.activation,
        dropout=architecture.dropout,
        batch_norm=architecture.batch_norm,
        stack=stack,
        hidden_initialization=architecture.hidden_initialization,
        relu_logits=architecture.relu_logits,
    )
