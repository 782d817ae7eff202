"""Initializations of weight matrices, drawn for one network of a stack at a time."""

from collections.abc import Callable, Sequence
from functools import partial
from math import sqrt

import torch
from torch import Generator, Tensor, nn

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
    if not (isinstance(initialization, str) and initialization in _FILL):
        raise ValueError(
            f"initialization is {initialization!r}, expected {', '.join(map(repr, _FILL))}"
        )


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
        al. 2014, gain 1), or ``pytorch``, which is what `torch.nn.Linear` begins with.
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
        If there is no such initialization.
    """
    check(initialization)
    kwargs = {"a": _SLOPES[gain]} if initialization.startswith("kaiming") else {}
    return _FILL[initialization](weight, generator=generator, **kwargs)
