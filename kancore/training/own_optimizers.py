"""Optimizers of the user's own, as a function makes them, for the networks of a stack.

The function gives a `torch.optim.Optimizer` for parameters and a learning rate. One of them has the
parameters of a whole group of networks, where that does to each what it would do to it alone; else
each network has its own, over its part of the stacked parameters.
"""

import io
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from kancore.machine import own_code

# What optimizers are tried on: a linear layer's matrix and vector and a KAN's coefficients, of so
# many networks, for so many steps, of which the second half is after a stop, and without one.
_SHAPES = (4, 3), (5,), (3, 4, 2)
_NETWORKS, _STEPS = 3, 8
_KEPT = [0, 2]


def _make(name: str, parameters: list[nn.Parameter], rate: float, decay: float | None) -> Any:
    options = {} if decay is None else {"weight_decay": decay}
    return own_code.load(name)(parameters, lr=rate, **options)


class OwnGroup:
    """Neighbouring schemes with one optimizer of the user's own and one learning rate.

    Parameters
    ----------
    part
        Their places in the stack.
    optimizer
        ``module:function``.
    learning_rate, weight_decay
        Which it is called with; without a weight decay where that is ``None``.
    values
        Views of the stacked parameters, ``[len(part), ...]``, which steps change.
    together
        Whether one optimizer has the parameters of all networks; ``None`` to try whether that does
        the same.
    """

    def __init__(
        self,
        part: slice,
        optimizer: str,
        learning_rate: float,
        weight_decay: float | None,
        values: list[Tensor],
        together: bool | None = None,
    ):
        self.part = part
        options = optimizer, learning_rate, weight_decay
        if together is None:
            together = _can_stack(*options, values[0].device.type)
        self._together = together
        places = [slice(None)] if together else range(part.stop - part.start)
        self._parameters = [[nn.Parameter(value[place]) for value in values] for place in places]
        self._optimizers = [_make(optimizer, own, *options[1:]) for own in self._parameters]
        self._rates = [[group["lr"] for group in each.param_groups] for each in self._optimizers]

    def update(self, gradients: Sequence[Tensor | None], steps: Tensor, factor: float) -> None:
        """Step by the gradients of the whole stack; `factor` is of the learning rates."""
        for place, (own, optimizer, rates) in enumerate(
            zip(self._parameters, self._optimizers, self._rates, strict=True)
        ):
            rows = self.part if self._together else self.part.start + place
            for parameter, gradient in zip(own, gradients, strict=True):
                parameter.grad = None if gradient is None else gradient[rows]
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = factor * rate
            optimizer.step()
            for parameter in own:  # which frees the memory
                parameter.grad = None

    def state(self) -> list[dict]:
        """States of the optimizers."""
        return [optimizer.state_dict() for optimizer in self._optimizers]

    def load(self, state: list[dict], members: Sequence[int], size: int) -> None:
        """Take over what `state` gave of a group of `size` members, of which these are here."""
        own = state
        if self._together and len(members) < size:
            own = [{**each, "state": _rows(each["state"], members, size)} for each in state]
        elif not self._together:
            own = [state[member] for member in members]
        for optimizer, each in zip(self._optimizers, own, strict=True):
            optimizer.load_state_dict(deepcopy(each))  # which would share its tensors


def _rows(state: Any, members: Sequence[int], size: int) -> Any:
    if isinstance(state, dict):
        return {key: _rows(value, members, size) for key, value in state.items()}
    stacked = isinstance(state, Tensor) and state.dim() > 0 and len(state) == size
    return state[list(members)] if stacked else state


@cache
def _can_stack(name: str, rate: float, decay: float | None, device: str) -> bool:
    """Whether one optimizer of all networks does, bit for bit, what one of each does."""
    options = name, rate, decay
    try:
        found = _in_a_stack(*options, device, together=True)
    except Exception:  # of an optimizer that is for matrices, say
        return False
    return all(map(torch.equal, found, _in_a_stack(*options, device, together=False)))


def check(name: str, rate: float, decay: float | None) -> None:
    """Try whether networks can be trained by an optimizer of the user's own.

    Parameters
    ----------
    name
        ``module:function``.
    rate, decay
        Learning rate and weight decay, as for `OwnGroup`.

    Raises
    ------
    ValueError
        In one sentence that names the function, if it cannot be imported or fails, gives no
        optimizer or one without learning rates; or if steps fail, draw random numbers, replace
        parameters, or do not go on from a saved state as without one.
    """
    file = own_code.source(name)
    own_code.load(name)

    def attempt(what: str, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as error:
            raise ValueError(f"{name}: {what} fails: {own_code.reason(error, file)}") from error

    given = {"lr": rate} if decay is None else {"lr": rate, "weight_decay": decay}
    words = ", ".join(f"{key}={value}" for key, value in given.items())
    make = partial(_make, name, [nn.Parameter(value[0]) for value in _values("cpu")], rate, decay)
    optimizer = attempt(f"{name.partition(':')[2]}(parameters, {words})", make)
    if not isinstance(optimizer, torch.optim.Optimizer):
        kind = type(optimizer).__name__
        raise ValueError(f"{name} gives {kind}; expected a torch.optim.Optimizer")
    if not all("lr" in group for group in optimizer.param_groups):
        raise ValueError(f"{name}: a group of its parameters has no lr; expected one in each")
    step = "a step, without a closure and with dense gradients,"
    alone = [attempt(step, partial(_alone, name, rate, decay, seed)) for seed in range(2)]
    if any(replaced for _, replaced in alone):
        raise ValueError(f"{name}: a step puts other tensors in the place of its parameters' own")
    first, second = (values for values, _ in alone)
    if not all(map(_same, first, second)):
        raise ValueError(f"{name}: its steps draw random numbers; expected the same each time")
    options = name, rate, decay, "cpu"
    found = attempt("going on from its state", partial(_in_a_stack, *options, together=False))
    if not all(map(_same, found, first)):
        raise ValueError(
            f"{name}: its steps change if its state is saved and loaded, or its lr set, meanwhile"
        )


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _values(device: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.randn(_NETWORKS, *shape, generator=generator) for shape in _SHAPES)
    return [values.to(device) for values in drawn]


def _gradients(step: int, device: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1 + step)
    # Of each network as large as of no other, as what tells them apart would not show else.
    sizes = [10.0**place for place in range(-1, _NETWORKS - 1)]
    drawn = (torch.randn(_NETWORKS, *shape, generator=generator) for shape in _SHAPES)
    return [
        torch.stack([size * each for size, each in zip(sizes, values, strict=True)]).to(device)
        for values in drawn
    ]


def _alone(name: str, rate: float, decay: float | None, seed: int) -> tuple[list[Tensor], bool]:
    """Parameters of the networks that are kept, each by an optimizer of its own; any replaced."""
    values, replaced = _values("cpu"), False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for member in _KEPT:
            own = [nn.Parameter(value[member]) for value in values]
            places = [parameter.data_ptr() for parameter in own]
            optimizer = _make(name, own, rate, decay)
            for step in range(_STEPS):
                for parameter, gradient in zip(own, _gradients(step, "cpu"), strict=True):
                    parameter.grad = gradient[member]
                optimizer.step()
            replaced |= places != [parameter.data_ptr() for parameter in own]
    return [value[_KEPT] for value in values], replaced


def _in_a_stack(
    name: str, rate: float, decay: float | None, device: str, together: bool
) -> list[Tensor]:
    """Parameters of those that are kept, which go on without the others, from a file."""
    values = _values(device)
    group = OwnGroup(slice(0, _NETWORKS), name, rate, decay, values, together)
    steps = torch.ones(())  # which no optimizer of the user's own reads
    for step in range(_STEPS // 2):
        group.update(_gradients(step, device), steps, 1.0)
    kept = [value[_KEPT] for value in values]
    rest = [OwnGroup(slice(0, len(_KEPT)), name, rate, decay, kept, together) for _ in range(2)]
    rest[0].load(group.state(), _KEPT, _NETWORKS)
    with io.BytesIO() as file:  # as checkpoints are written and read
        torch.save(rest[0].state(), file)
        file.seek(0)
        rest[1].load(torch.load(file, weights_only=True), range(len(_KEPT)), len(_KEPT))
    for step in range(_STEPS // 2, _STEPS):
        rest[1].update([each[_KEPT] for each in _gradients(step, device)], steps, 1.0)
    return kept
