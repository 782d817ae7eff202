"""Multilayer perceptrons, and the wide ones that match a KAN in parameters."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from kancore.activations import FUNCTIONS
from kancore.layers.linear import BatchNorm, Linear
from kancore.networks.network import Network, check_batch_norm, check_widths, common_options
from kancore.schemes import BATCH_NORMS, Architecture

# A KAN has 10 parameters an edge (grid 5, degree 3), so ten times the hidden width matches it.
WIDE_FACTOR = 10


class _Hidden(nn.Module):
    """A linear layer and its activation, with batch normalization before, after or without."""

    def __init__(self, linear: Linear, activation: str, before: nn.Module, after: nn.Module):
        super().__init__()
        self.linear, self.before, self.after = linear, before, after
        self.activation = FUNCTIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.activation(self.before(self.linear(x))))


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
        uniform_biases: bool = False,
        initialization: str = "kaiming_uniform",
        stack: int | None = None,
        **published,
    ):
        size = 1 if stack is None else stack
        check_batch_norm(batch_norm)

        def normalization(place: str, width: int) -> nn.Module:
            if batch_norm != place:
                return nn.Identity()
            return BatchNorm(width, size, batch_norm_momentum)

        *hidden, last = (
            Linear(*pair, size, uniform_biases) for pair in pairwise(check_widths(widths))
        )
        stages = [
            _Hidden(
                linear,
                activation,
                *(normalization(place, linear.weight.shape[1]) for place in BATCH_NORMS),
            )
            for linear in hidden
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
