"""Optimizers over a stack: each scheme gets the update that it would get alone.

Schemes that share optimizer and learning rate are neighbours in the stack, so PyTorch's fused
kernels update contiguous slices of the stacked parameters. The kernels are called directly:
``torch.optim`` takes seconds to import its compiler, more than many a sweep takes to train.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from math import cos, pi
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kancore.layers.compiled import Fused, KernelLayer
from kancore.schemes import Scheme
from kancore.training.own_optimizers import OwnGroup

# The published code's optimizers: plain SGD, SGD with Nesterov momentum, and AdamW where the paper
# says Adam, each with PyTorch's other defaults.
MOMENTUM = 0.9
BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
WEIGHT_DECAY = {"sgd": 0.0, "sgd_momentum": 0.0, "adam": 0.01}
# Added to norms that gradients are divided by, as in `torch.nn.utils.clip_grad_norm_`.
_NORM_EPSILON = 1e-6

_BUFFERS = {"sgd": (), "sgd_momentum": ("momentum",), "adam": ("mean", "square")}


class Optimizer(Protocol):
    """What trains a stack: one step for the networks of all its schemes."""

    schemes: tuple[Any, ...]

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Update the stacked parameters in place, from gradients of those that have one."""

    def fuse(self, network: nn.Module) -> None:
        """Let layers that have kernels for it update their weights in the backward pass."""

    def select(self, keep: Sequence[int], parameters: Sequence[Tensor]) -> "Optimizer":
        """Go on with the networks `keep` only, whose parameters are `parameters`."""

    def state_dict(self) -> dict:
        """State of all updates, of tensors and plain values."""

    def load_state_dict(self, state: dict, schemes: Sequence[Any], keep: Sequence[int]) -> None:
        """Take over a state made by `state_dict` for `schemes`, of which those `keep` are here."""


@dataclass
class _Group:
    """Neighbouring schemes with one optimizer and learning rate, and the state of their updates."""

    part: slice
    optimizer: str
    learning_rate: float
    weight_decay: float
    values: list[Tensor]  # views of the stacked parameters
    buffers: dict[str, list[Tensor]]

    def update(self, gradients: list[Tensor | None], steps: Tensor, factor: float) -> None:
        """Update the parameters that have a gradient, from those of the whole stack.

        `factor` is of the learning rate.
        """
        given = {place: each[self.part] for place, each in enumerate(gradients) if each is not None}
        if not given:
            return
        values = [self.values[place] for place in given]
        buffers = {key: [all_[place] for place in given] for key, all_ in self.buffers.items()}
        if self.optimizer == "adam":
            torch._fused_adamw_(
                values,
                list(given.values()),
                buffers["mean"],
                buffers["square"],
                [],
                [steps] * len(values),
                lr=factor * self.learning_rate,
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=self.weight_decay,
                eps=ADAM_EPSILON,
                amsgrad=False,
                maximize=False,
            )
        else:
            momentum = self.optimizer == "sgd_momentum"
            torch._fused_sgd_(
                values,
                list(given.values()),
                buffers.get("momentum", []),
                lr=factor * self.learning_rate,
                momentum=MOMENTUM if momentum else 0.0,
                nesterov=momentum,
                weight_decay=self.weight_decay,
                dampening=0.0,
                maximize=False,
                is_first_step=False,  # buffers begin as zeros
            )

    def state(self) -> dict[str, list[Tensor]]:
        """Buffers of the updates."""
        return self.buffers

    def load(self, state: dict[str, list[Tensor]], members: Sequence[int], size: int) -> None:
        """Take over what `state` gave of a group of `size` members, of which these are here."""
        rows = slice(None) if len(members) == size else list(members)
        for key, tensors in state.items():
            for buffer, saved in zip(self.buffers[key], tensors, strict=True):
                buffer.copy_(saved[rows])

    def describe(self, places: Sequence[int]) -> Iterator[dict]:
        """Describe the updates of a layer with parameters at these places, scheme by scheme."""
        buffers = [[tensors[place] for place in places] for tensors in self.buffers.values()]
        first, second, *_ = [*buffers, None, None]
        for scheme in range(self.part.stop - self.part.start):
            yield {
                "optimizer": self.optimizer,
                "rate": self.learning_rate,
                "momentum": BETAS[0] if self.optimizer == "adam" else MOMENTUM,
                "second_momentum": BETAS[1],
                "epsilon": ADAM_EPSILON,
                "decay": self.weight_decay,
                "first": first and [buffer[scheme] for buffer in first],
                "second": second and [buffer[scheme] for buffer in second],
            }


class StackedOptimizer:
    """One optimizer step for all schemes of a stack.

    Parameters
    ----------
    parameters
        Parameters of the stack, each ``[S, ...]``.
    schemes
        The S schemes in stack order; those with one optimizer and learning rate side by side.
    weight_decay
        Of all parameters: decoupled from gradients in AdamW, added to them in SGD; in optimizers of
        the user's own as they have it. ``None`` for PyTorch's defaults, which are 0.01 and 0, and
        for theirs.
    clip_norm
        Norm that the gradients of a network by all its parameters together are scaled down to;
        ``None`` for none.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        schemes: Sequence[Scheme],
        weight_decay: float | None = None,
        clip_norm: float | None = None,
    ):
        self.parameters = list(parameters)
        self.schemes = tuple(schemes)
        self._options = weight_decay, clip_norm
        # Of all learning rates, at the step that comes next; and the layers that read it.
        self._factor = 1.0
        self._fused: list[Fused] = []
        self._groups: list[_Group | OwnGroup] = []
        for part in (slice(*bounds) for bounds in _parts(schemes)):
            name, rate = _shared(schemes[part.start])
            values = [parameter.detach()[part] for parameter in self.parameters]
            if ":" in name:
                self._groups.append(OwnGroup(part, name, rate, weight_decay, values))
                continue
            buffers = {key: [torch.zeros_like(value) for value in values] for key in _BUFFERS[name]}
            decay = WEIGHT_DECAY[name] if weight_decay is None else weight_decay
            self._groups.append(_Group(part, name, rate, decay, values, buffers))
        # 1-based number of the next step; fused layers read it during backward.
        self._steps = torch.ones((), device=self.parameters[0].device)

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Update the stacked parameters in place from gradients of the same shapes.

        Those of fused layers have no gradient: they are updated already.
        """
        # The fused kernels would copy what is not contiguous for each group of schemes.
        gradients = [None if each is None else each.contiguous() for each in gradients]
        _, clip_norm = self._options
        if clip_norm is not None:
            gradients = _clipped(gradients, clip_norm)
        for group in self._groups:
            group.update(gradients, self._steps, self._factor)
        self._steps += 1

    def scale_rates(self, factor: float) -> None:
        """Multiply all learning rates by `factor`, from the next step and its backward pass on."""
        self._factor = factor
        for fused in self._fused:
            fused.scale_rates(factor)

    def fuse(self, network: nn.Module) -> None:
        """Let layers that have kernels for it update their weights in the backward pass.

        Where gradients are clipped they cannot: the norm is known only when all gradients are. Nor
        where an optimizer is of the user's own, which takes gradients.

        Parameters
        ----------
        network
            The stack, whose parameters are those of this optimizer, in their order.
        """
        _, clip_norm = self._options
        groups = [group for group in self._groups if isinstance(group, _Group)]
        if clip_norm is not None or len(groups) < len(self._groups):
            return
        places = {id(parameter): place for place, parameter in enumerate(self.parameters)}
        for layer in network.modules():
            if isinstance(layer, KernelLayer):
                own = [places[id(parameter)] for parameter in layer.parameters()]
                updates = [u for group in groups for u in group.describe(own)]
                if (fused := layer.fuse(updates, self._steps)) is not None:
                    self._fused.append(fused)

    def state_dict(self) -> dict:
        """State of all updates, of tensors and plain values."""
        return {"steps": self._steps, "buffers": [group.state() for group in self._groups]}

    def load_state_dict(self, state: dict, schemes: Sequence[Scheme], keep: Sequence[int]) -> None:
        """Take over a state made by `state_dict`.

        Parameters
        ----------
        state, schemes
            The state, and the schemes that it was made for.
        keep
            Indices of those that are here, ascending.
        """
        self._steps.copy_(state["steps"])
        parts = _parts(schemes)
        for group in self._groups:
            members = keep[group.part]
            (place,) = (i for i, part in enumerate(parts) if members[0] in range(*part))
            start, stop = parts[place]
            own = [member - start for member in members]
            group.load(state["buffers"][place], own, stop - start)

    def select(self, keep: Sequence[int], parameters: Sequence[Tensor]) -> "StackedOptimizer":
        """Go on with some of the schemes only.

        Parameters
        ----------
        keep
            Indices of the schemes to keep, ascending.
        parameters
            The parameters of these schemes, each ``[len(keep), ...]``.

        Returns
        -------
        StackedOptimizer
            With the state that the kept schemes have here.
        """
        schemes = [self.schemes[index] for index in keep]
        chosen = StackedOptimizer(parameters, schemes, *self._options)
        chosen.load_state_dict(self.state_dict(), self.schemes, keep)
        return chosen


def _parts(schemes: Sequence[Scheme]) -> list[tuple[int, int]]:
    """Bounds of the neighbours that share optimizer and learning rate."""
    counts = (len(list(members)) for _, members in groupby(schemes, _shared))
    return [*pairwise(accumulate(counts, initial=0))]


def _shared(scheme: Scheme) -> tuple[str, float]:
    return scheme.optimizer, scheme.learning_rate


def _clipped(gradients: list[Tensor | None], most: float) -> list[Tensor | None]:
    """Scale the gradients of each network down to a norm of `most`, all parameters together."""
    given = [gradient for gradient in gradients if gradient is not None]
    squares = (gradient.flatten(1).square().sum(1) for gradient in given)
    norm = sum(squares, torch.zeros(())).sqrt()
    factor = (most / (norm + _NORM_EPSILON)).clamp(max=1)
    return [
        None if each is None else each * factor.view(-1, *(1,) * (each.dim() - 1))
        for each in gradients
    ]


def rate_factor(step: int, steps: int, warmup_steps: int = 0, decay: str | None = None) -> float:
    """Factor of learning rates at a step: they rise linearly, then stay or fall along a cosine.

    Parameters
    ----------
    step
        Number of the step, from 0.
    steps, warmup_steps
        Steps in all, and of these the first, over which rates rise (Goyal et al. 2017).
    decay
        ``cosine``, to zero after the last step (Loshchilov & Hutter 2017); or ``None``.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if decay is None:
        return 1.0
    return (1 + cos(pi * (step - warmup_steps) / (steps - warmup_steps))) / 2
