"""The activations of the study: pointwise functions, and base activations of KANs."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
    "relu": F.relu,
    "cosine": torch.cos,
}


def slope(name: str, x: Tensor) -> Tensor:
    """Differentiate an activation at `x`; at a kink from the left.

    PyTorch's own backward functions give it at once, where autograd would first record a graph.
    """
    match name:
        case "gelu":
            return torch.ops.aten.gelu_backward(torch.ones_like(x), x)
        case "silu":
            return torch.ops.aten.silu_backward(torch.ones_like(x), x)
        case "elu":
            return torch.ops.aten.elu_backward(torch.ones_like(x), 1.0, 1.0, 1.0, False, x)
        case "relu":
            return (x > 0).to(x)
        case "cosine":
            return -x.sin()
    raise ValueError(f"activation is {name!r}; expected one of {', '.join(FUNCTIONS)}")
