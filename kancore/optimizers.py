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
    steps: Tensor

    def update(self, gradients: list[Tensor]) -> None:
        if self.optimizer == "adam":
            self.steps += 1
            torch._fused_adamw_(
                self.values,
                gradients,
                self.buffers["mean"],
                self.buffers["square"],
                [],
                [self.steps] * len(self.values),
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
                self.values,
                gradients,
                self.buffers.get("momentum", []),
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
            steps = torch.zeros((), device=values[0].device)
            self._groups.append(_Group(part, name, rate, values, buffers, steps))

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the stacked parameters in place from gradients of the same shapes."""
        # The fused kernels walk memory, and would read a gradient of another layout wrongly.
        gradients = [gradient.contiguous() for gradient in gradients]
        for group in self._groups:
            group.update([gradient[group.part] for gradient in gradients])

    def state_dict(self) -> list[dict]:
        """State of all updates, of tensors and plain values."""
        return [{"steps": group.steps, "buffers": group.buffers} for group in self._groups]

    def load_state_dict(self, state: list[dict]) -> None:
        """Take over a state made by `state_dict` for the same schemes."""
        for group, saved in zip(self._groups, state, strict=True):
            group.steps, group.buffers = saved["steps"], saved["buffers"]

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
            group.steps = old.steps
            group.buffers = {key: [b[local] for b in bs] for key, bs in old.buffers.items()}
        return chosen
