"""Optimizers over a stack: each scheme gets the update that it would get alone.

Schemes that share optimizer and learning rate are neighbours in the stack, so PyTorch's fused
kernels update contiguous slices of the stacked parameters. The kernels are called directly:
``torch.optim`` takes seconds to import its compiler, more than many a sweep takes to train.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from kancore.schemes import Scheme

# The published code's optimizers: plain SGD, SGD with Nesterov momentum, and AdamW where the paper
# says Adam, each with PyTorch's other defaults.
MOMENTUM = 0.9
BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
WEIGHT_DECAY = 0.01

_BUFFERS = {"sgd": (), "sgd_momentum": ("momentum",), "adam": ("mean", "square")}


@dataclass
class _Group:
    """Neighbouring schemes with one optimizer and learning rate, and the state of their updates."""

    part: slice
    optimizer: str
    learning_rate: float
    values: list[Tensor]  # views of the stacked parameters
    buffers: dict[str, list[Tensor]]

    def update(self, gradients: list[Tensor], part: slice, steps: Tensor) -> None:
        """Update the schemes that lie in `part` of the stack, as `gradients` do."""
        start = max(self.part.start, part.start)
        stop = min(self.part.stop, part.stop)
        if start >= stop:
            return
        gradients = [gradient[start - part.start : stop - part.start] for gradient in gradients]
        mine = slice(start - self.part.start, stop - self.part.start)
        values = [value[mine] for value in self.values]
        buffers = {key: [b[mine] for b in tensors] for key, tensors in self.buffers.items()}
        if self.optimizer == "adam":
            torch._fused_adamw_(
                values,
                gradients,
                buffers["mean"],
                buffers["square"],
                [],
                [steps] * len(values),
                lr=self.learning_rate,
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=WEIGHT_DECAY,
                eps=ADAM_EPSILON,
                amsgrad=False,
                maximize=False,
            )
        else:
            momentum = self.optimizer == "sgd_momentum"
            torch._fused_sgd_(
                values,
                gradients,
                buffers.get("momentum", []),
                lr=self.learning_rate,
                momentum=MOMENTUM if momentum else 0.0,
                nesterov=momentum,
                weight_decay=0.0,
                dampening=0.0,
                maximize=False,
                is_first_step=False,  # buffers begin as zeros
            )


class StackedOptimizer:
    """One optimizer step for all schemes of a stack.

    Parameters
    ----------
    parameters
        Parameters of the stack, each ``[S, ...]``.
    schemes
        The S schemes in stack order; those with one optimizer and learning rate side by side.
    """

    def __init__(self, parameters: Sequence[Tensor], schemes: Sequence[Scheme]):
        self.parameters = list(parameters)
        self.schemes = tuple(schemes)
        self._groups: list[_Group] = []
        start = 0
        for (name, rate), members in groupby(schemes, lambda s: (s.optimizer, s.learning_rate)):
            part = slice(start, start := start + len(list(members)))
            values = [parameter.detach()[part] for parameter in self.parameters]
            buffers = {key: [torch.zeros_like(value) for value in values] for key in _BUFFERS[name]}
            self._groups.append(_Group(part, name, rate, values, buffers))
        self._steps = torch.zeros((), device=self.parameters[0].device)

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the stacked parameters in place from gradients of the same shapes."""
        self.advance()
        self.update(gradients, slice(0, len(self.schemes)))

    def advance(self) -> None:
        """Begin a step; `update` then does it, part by part."""
        self._steps += 1

    def update(self, gradients: Sequence[Tensor], part: slice) -> None:
        """Update a part of the stack, from its gradients ``[schemes of the part, ...]``."""
        pairs = zip(gradients, self.parameters, strict=True)
        gradients = [_as_laid_out(gradient, parameter[part]) for gradient, parameter in pairs]
        for group in self._groups:
            group.update(gradients, part, self._steps)

    def state_dict(self) -> dict:
        """State of all updates, of tensors and plain values."""
        return {"steps": self._steps, "buffers": [group.buffers for group in self._groups]}

    def load_state_dict(self, state: dict) -> None:
        """Take over a state made by `state_dict` for the same schemes."""
        self._steps = state["steps"]
        for group, buffers in zip(self._groups, state["buffers"], strict=True):
            for key, tensors in buffers.items():
                pairs = zip(tensors, group.values, strict=True)
                group.buffers[key] = [_as_laid_out(saved, value) for saved, value in pairs]

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
        chosen = StackedOptimizer(parameters, [self.schemes[index] for index in keep])
        for group in chosen._groups:
            members = keep[group.part]
            (old,) = (g for g in self._groups if g.part.start <= members[0] < g.part.stop)
            local = [member - old.part.start for member in members]
            for key, buffers in old.buffers.items():
                for buffer, mine in zip(buffers, group.buffers[key], strict=True):
                    mine.copy_(buffer[local])
        chosen._steps = self._steps
        return chosen


def _as_laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """Give `tensor` with the strides of `like`; the fused kernels walk memory, not indices."""
    if tensor.stride() == like.stride():
        return tensor
    return torch.empty_like(like).copy_(tensor)
