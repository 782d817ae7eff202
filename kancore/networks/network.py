"""What MLPs and KANs share: a chain of layers over a stack, initialization, selection, counts."""

import operator
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from kancore.layers import transforms
from kancore.layers.compiled import KernelLayer
from kancore.layers.initialization import check as check_initialization
from kancore.layers.linear import BatchNorm, Dropout, LayerNorm, Linear
from kancore.schemes import PLACES, Architecture


@runtime_checkable
class _Drawn(Protocol):
    """A layer that begins with random weights."""

    def initialize(self, index: int, initialization: str, generator: Generator) -> None: ...


def random_generator(device: torch.device) -> Generator:
    """Give the generator that PyTorch draws from on a device."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    return torch.default_generator


class Stack(nn.Module):
    """Networks side by side: each parameter and buffer is ``[S, ...]``."""

    def initialize(self, index: int, initialization: str, generator: Generator) -> None:
        """Draw network `index` from `generator`."""
        raise NotImplementedError

    def expect(self, background: Tensor | None) -> None:
        """Say which inputs, ``[in]``, most examples have; this changes the speed alone."""

    def move_grids(self, x: Tensor) -> None:
        """Move the grids that there are to their inputs, from those of the network."""

    def divided(self, size: int) -> Sequence["Stack"]:
        """Divide the stack into parts of at most `size`, where that can be done; else give it."""
        return [self]

    @property
    def num_parameters(self) -> int:
        """Numbers of one network that optimizers train: not those of frozen parameters.

        That is what the paper counts, but for KANs with batch normalization: the published counts
        add one of their output layer, two numbers an output, which has no effect there.
        """
        trained = (parameter for parameter in self.parameters() if parameter.requires_grad)
        return sum(parameter.shape[1:].numel() for parameter in trained)

    @torch.no_grad()
    def select(self, keep: Sequence[int]) -> None:
        """Keep the networks with these indices, ascending, and drop all others from the stack.

        They stay in the memory that they have: a copy may not fit.
        """
        for tensor in (*self.parameters(), *self.buffers()):
            for place, index in enumerate(keep):
                tensor.data[place] = tensor.data[index]
            tensor.data = tensor.data[: len(keep)]


class Network(Stack):
    """A chain of stages over a stack of networks; each stage ends in a layer's output.

    Parameters
    ----------
    stages
        One module a layer; the first takes ``[batch, in]``, all give ``[S, batch, out]``.
    dropout
        Probability of dropping an input of the last layer.
    stack
        Number of networks, S, left to `initialize`; or ``None`` for a single one without the
        leading axis, initialized from PyTorch's global random state (on the device meta, not at
        all).
    initialization
        Initialization of a single network.
    hidden_initialization, output_initialization
        Initialization of all layers but the last, and of the last, where they are to be others.
    relu_logits
        Whether a rectifier follows the last layer.
    """

    def __init__(
        self,
        stages: Iterable[nn.Module],
        dropout: float,
        stack: int | None,
        initialization: str,
        hidden_initialization: str | None = None,
        output_initialization: str | None = None,
        relu_logits: bool = False,
    ):
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout!r}")
        self.stages = nn.ModuleList(stages)
        self.dropout = Dropout(dropout)
        self.hidden_initialization = hidden_initialization
        self.output_initialization = output_initialization
        self.relu_logits = relu_logits
        self.stacked = stack is not None
        for each in (initialization, hidden_initialization, output_initialization):
            if each is not None:
                check_initialization(each)
        if not self.stacked and not transforms.without_numbers(next(self.parameters())):
            seed = int(torch.randint(2**63 - 1, (), device="cpu"))
            self.initialize(0, initialization, Generator().manual_seed(seed))

    def initialize(self, index: int, initialization: str, generator: Generator) -> None:
        """Draw all layers of network `index` of the stack from `generator`, in order."""
        *hidden, output = self.stages
        for stage in hidden:
            _initialize(stage, index, self.hidden_initialization or initialization, generator)
        _initialize(output, index, self.output_initialization or initialization, generator)

    def divided(self, size: int) -> list["Network"]:
        """Divide the stack: networks of at most `size` each, which share this one's memory.

        They share its dropout too, and how layers update their weights. Parameters that `select`
        replaces are no longer shared.
        """
        stack = next(self.parameters()).shape[0]
        parts = []
        for start in range(0, stack, size):
            rows = slice(start, start + size)
            shared: dict[int, object] = {id(self.dropout): self.dropout}
            for parameter in self.parameters():
                shared[id(parameter)] = nn.Parameter(parameter.data[rows])
            for buffer in self.buffers():
                shared[id(buffer)] = buffer[rows]
            for layer in self.modules():
                if isinstance(layer, KernelLayer) and layer.update is not None:
                    shared[id(layer.update)] = layer.update.part(start, size)
            parts.append(deepcopy(self, shared))
        return parts

    def layerwise(self, x: Tensor) -> list[Tensor]:
        """Give all layers' outputs, ``[S, batch, width]`` each, from inputs without gradient."""
        outputs = []
        for stage in self.stages[:-1]:
            x = stage(x.detach())
            outputs.append(x)
        return [*outputs, self._last(x.detach())]

    def _last(self, x: Tensor) -> Tensor:
        logits = self.stages[-1](self.dropout(x))
        return logits.relu() if self.relu_logits else logits

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs to logits.

        Parameters
        ----------
        x
            ``[..., in]`` for a single network, as `torch.nn.Linear` takes it; for a stack
            ``[batch, in]``, or ``[S, batch, in]`` with a batch for each network.

        Returns
        -------
        Tensor
            ``[..., out]``, or ``[S, batch, out]`` for a stack.

        Raises
        ------
        ValueError
            If `x` has another shape.
        """
        if self.stacked:
            return self._chain(x)
        logits = self._chain(x.reshape(-1, x.shape[-1])).squeeze(0)
        return logits.view(*x.shape[:-1], logits.shape[-1])

    def _chain(self, x: Tensor) -> Tensor:
        for stage in self.stages[:-1]:
            x = stage(x)
        return self._last(x)


def _initialize(stage: nn.Module, index: int, initialization: str, generator: Generator) -> None:
    """Draw the layers of a stage that have something to draw."""
    for module in stage.modules():
        if isinstance(module, _Drawn):
            module.initialize(index, initialization, generator)


def check_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Return `widths` as a tuple of Python's numbers.

    Raises
    ------
    ValueError
        Unless there are at least an input and an output width, all of them positive whole numbers.
    """
    widths = tuple(widths)
    whole = all(hasattr(width, "__index__") and width >= 1 for width in widths)
    if len(widths) < 2 or not whole:
        raise ValueError(f"widths must be two or more positive numbers, got {widths!r}")
    return tuple(map(operator.index, widths))


def normalization(
    place: str | None,
    width: int,
    stack: int,
    batch_norm: str | None,
    layer_norm: str | None,
    momentum: float,
    affine: bool,
) -> nn.Module:
    """Make the normalization of a hidden layer that belongs in a place, or the identity.

    Parameters
    ----------
    place
        One of `PLACES`.
    width, stack
        Units, and networks.
    batch_norm, layer_norm
        Where each is wanted: in one of `PLACES`, or ``None`` for nowhere.
    momentum, affine
        As for `BatchNorm`.

    Raises
    ------
    ValueError
        If one is wanted where there is no such place, or both are wanted.
    """
    wanted = {"batch_norm": batch_norm, "layer_norm": layer_norm}
    for name, value in wanted.items():
        if value not in (None, *PLACES):
            expected = ", ".join(map(repr, PLACES))
            raise ValueError(f"{name} is {value!r}, expected None, {expected}")
    if None not in wanted.values():
        raise ValueError(f"batch_norm {batch_norm!r}, layer_norm {layer_norm!r}: expected one")
    if place is not None and batch_norm == place:
        return BatchNorm(width, stack, momentum, affine)
    if place is not None and layer_norm == place:
        return LayerNorm(width, stack, affine)
    return nn.Identity()


def shortcut(inputs: int, outputs: int, stack: int) -> nn.Module:
    """Make the skip connection of a hidden layer: the identity, or a projection to its width.

    He et al. 2016 (section 3.2); the projection is a linear layer of gain 1.
    """
    if inputs == outputs:
        return nn.Identity()
    return Linear(inputs, outputs, stack, gain="linear")


def common_options(architecture: Architecture, stack: int) -> dict:
    """Options of all models, for a stack of networks of one architecture."""
    names = (
        *("activation", "dropout", "batch_norm", "batch_norm_momentum", "layer_norm", "residual"),
        *("normalization_affine", "hidden_initialization", "output_initialization", "relu_logits"),
    )
    return {"stack": stack, **{name: getattr(architecture, name) for name in names}}
