"""Optimizers over a stack: each scheme gets the update that it would get alone.

Schemes that share optimizer and learning rate are neighbours in the stack, so PyTorch's own fused
optimizers work on contiguous slices of the stacked parameters.
"""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from kancore.schemes import Scheme

# The published code's optimizers: plain SGD, SGD with Nesterov momentum, and AdamW where the paper
# says Adam, each with PyTorch's other defaults.
_MAKE = {
    "sgd": lambda groups: torch.optim.SGD(groups, fused=True),
    "sgd_momentum": lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True),
    "adam": lambda groups: torch.optim.AdamW(groups, fused=True),
}


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
        self._slices: list[tuple[slice, list[nn.Parameter]]] = []
        groups: dict[str, list[dict]] = {}
        start = 0
        for (name, rate), members in groupby(schemes, lambda s: (s.optimizer, s.learning_rate)):
            part = slice(start, start := start + len(list(members)))
            views = [nn.Parameter(p.detach()[part]) for p in self.parameters]
            self._slices.append((part, views))
            groups.setdefault(name, []).append({"params": views, "lr": rate})
        self._optimizers = {name: _MAKE[name](group) for name, group in groups.items()}

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the stacked parameters in place from gradients of the same shapes."""
        # The fused kernels walk memory, and would read a gradient of another layout wrongly.
        gradients = [gradient.contiguous() for gradient in gradients]
        for part, views in self._slices:
            for view, gradient in zip(views, gradients, strict=True):
                view.grad = gradient[part]
        for optimizer in self._optimizers.values():
            optimizer.step()

    def state_dict(self) -> dict:
        """State of all optimizers, of tensors and plain values."""
        return {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()}

    def load_state_dict(self, state: dict) -> None:
        """Take over a state made by `state_dict` for the same schemes."""
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state[name])

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
        for number, (part, views) in enumerate(chosen._slices):
            members = keep[part]
            for position, view in enumerate(views):
                chosen._state_of(number)[view] = self._pick(members, position)
        return chosen

    def _state_of(self, number: int) -> dict:
        """State of the optimizer that slice `number` belongs to."""
        return self._optimizers[self.schemes[self._slices[number][0].start].optimizer].state

    def _pick(self, members: Sequence[int], position: int) -> dict:
        """State of parameter `position` for some schemes of one slice."""
        for number, (part, views) in enumerate(self._slices):
            if part.start <= members[0] < part.stop:
                local = [member - part.start for member in members]
                state = self._state_of(number).get(views[position], {})
                return {
                    key: value[local] if torch.is_tensor(value) and value.dim() else value
                    for key, value in state.items()
                }
        raise IndexError(f"no scheme {members[0]} in a stack of {len(self.schemes)}")
