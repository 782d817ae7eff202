"""Initializations of weight matrices, drawn for one network of a stack at a time.

Those of the user's own are functions ``module:function``, of a matrix ``[out, in]`` and a
generator; or of a layer and a generator, if their first parameter is named ``layer``.
"""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from math import sqrt

import torch
from torch import Generator, Tensor, nn

from kancore.machine import own_code

# Negative slope of the leaky rectifier whose gain Kaiming initializations take.
_SLOPES = {"rectifier": 0.0, "leaky": sqrt(5), "linear": 1.0}
_FILL: dict[str, Callable[..., Tensor]] = {
    "kaiming_normal": nn.init.kaiming_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "pytorch": partial(nn.init.kaiming_uniform_, a=_SLOPES["leaky"]),
}


def drawn(shape: Sequence[int]) -> Tensor:
    """Make room for numbers that are drawn: the same ones for every device and precision."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def check(initialization: str) -> None:
    """Raise a ValueError unless there is an initialization of this name."""
    if isinstance(initialization, str) and ":" in initialization:
        own_code.load(initialization)
    elif not (isinstance(initialization, str) and initialization in _FILL):
        known = ", ".join(map(repr, _FILL))
        raise ValueError(
            f"initialization is {initialization!r}, expected {known}, or module:function"
        )


def of_layers(initialization: str) -> Callable[[nn.Module, Generator], object] | None:
    """Give the function of the user's own that fills whole layers; ``None`` for all others."""
    if ":" not in initialization:
        return None
    function = own_code.load(initialization)
    return function if _takes_layers(function) else None


def _takes_layers(function: Callable) -> bool:
    try:
        return next(iter(signature(function).parameters), "") == "layer"
    except (TypeError, ValueError):  # of functions that are not Python's
        return False


def check_filled(initialization: str, name: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """Raise a ValueError unless a tensor still has its shape, and numbers that are finite."""
    if [*tensor.shape] != [*shape]:
        made = [*tensor.shape]
        raise ValueError(f"{initialization}: {name} has shape {made}, expected {[*shape]}")
    if not tensor.isfinite().all():
        raise ValueError(f"{initialization}: {name} is not filled with finite numbers")


def fill(
    weight: Tensor, initialization: str, generator: Generator, gain: str = "rectifier"
) -> Tensor:
    """Fill `weight` in place.

    Parameters
    ----------
    weight
        Shape ``[out, in]``; on the CPU, so that every device starts from the same numbers.
    initialization
        ``kaiming_normal`` or ``kaiming_uniform`` (He et al. 2015, fan in), ``orthogonal`` (Saxe et
        al. 2014, gain 1), ``pytorch``, which is what `torch.nn.Linear` begins with, or
        ``module:function`` of the user's own, which takes no gain.
    generator
        The source of randomness.
    gain
        Of Kaiming initializations: ``rectifier``, the square root of 2; ``leaky``, that of a leaky
        rectifier with negative slope a = sqrt 5, the square root of 1/3; or ``linear``, 1.

    Returns
    -------
    Tensor
        `weight`.

    Raises
    ------
    ValueError
        If there is no such initialization, or one of the user's own does not fill it.
    """
    if ":" in initialization:
        function, shape = own_code.load(initialization), weight.shape
        if _takes_layers(function):
            raise ValueError(f"{initialization}: fills layers of kancore, and here are matrices")
        function(weight.fill_(torch.nan), generator)
        check_filled(initialization, "a matrix", weight, shape)
        return weight
    check(initialization)
    kwargs = {"a": _SLOPES[gain]} if initialization.startswith("kaiming") else {}
    return _FILL[initialization](weight, generator=generator, **kwargs)
