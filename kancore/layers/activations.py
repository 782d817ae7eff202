"""The activations of the study: pointwise functions, and base activations of KANs.

At infinity each has its limit, on every device. PyTorch's own GELU and SiLU have NaN there or the
limit, as the processor's vectors and the place of a number in its batch have it.
"""

from collections.abc import Callable
from math import inf, nan

import torch
import torch.nn.functional as F
from torch import Tensor

# At finite numbers; at infinity as PyTorch has them.
AT_FINITE: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
    "relu": F.relu,
    "cosine": torch.cos,
}


def _gelu(x: Tensor) -> Tensor:
    return _with_limits(F.gelu, x)


def _silu(x: Tensor) -> Tensor:
    return _with_limits(F.silu, x)


def _with_limits(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Evaluate GELU or SiLU, also at infinity; a finite number changes by no bit.

    Both exceed ``x - 1`` everywhere, and round to `x` or 0 long before the numbers end.
    """
    return torch.maximum(function(_finite(x)), x - 1)


def _finite(x: Tensor) -> Tensor:
    far = torch.finfo(x.dtype).max / 4
    return x.clamp(-far, far)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {**AT_FINITE, "gelu": _gelu, "silu": _silu}


# At minus and plus infinity.
LIMITS = {
    "gelu": (0.0, inf),
    "silu": (0.0, inf),
    "elu": (-1.0, inf),
    "relu": (0.0, inf),
    "cosine": (nan, nan),
}


def check(name: str) -> None:
    """Raise a ValueError unless there is an activation of this name."""
    if not (isinstance(name, str) and name in FUNCTIONS):
        raise ValueError(f"activation is {name!r}; expected one of {', '.join(FUNCTIONS)}")


def slope(name: str, x: Tensor) -> Tensor:
    """Differentiate an activation at `x`; at a kink from the left.

    PyTorch's own backward functions give it at once, where autograd would first record a graph.
    """
    check(name)
    match name:
        case "gelu":
            return torch.ops.aten.gelu_backward(torch.ones_like(x), _finite(x))
        case "silu":
            return torch.ops.aten.silu_backward(torch.ones_like(x), _finite(x))
        case "elu":
            return torch.ops.aten.elu_backward(torch.ones_like(x), 1.0, 1.0, 1.0, False, x)
        case "relu":
            return (x > 0).to(x)
        case _:
            return -x.sin()
