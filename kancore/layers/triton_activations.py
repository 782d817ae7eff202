"""GELU and SiLU on a GPU in one pass over memory each way, with their limits at infinity.

In PyTorch they are four, which `torch.compile` fuses by itself.
"""

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

_TRITON = find_spec("triton") is not None
_LIBRARY = torch.library.Library("kancore", "FRAGMENT")
_LIBRARY.define("activation(Tensor x, str name) -> Tensor")
_LIBRARY.define("activation_gradient(Tensor gradient, Tensor x, str name) -> Tensor")


def in_steps(name: str, x: Tensor) -> Tensor:
    """Evaluate GELU or SiLU by PyTorch's operations; a finite number changes by no bit.

    Both exceed ``x - 1`` everywhere, and round to `x` or 0 long before the numbers end.
    """
    return torch.maximum(getattr(F, name)(finite(x)), x - 1)


def finite(x: Tensor) -> Tensor:
    """Bring infinite numbers to where GELU and SiLU have reached their limits."""
    far = torch.finfo(x.dtype).max / 4
    return x.clamp(-far, far)


def applies_to(x: Tensor) -> bool:
    """Whether there is a kernel for some numbers, which nothing else would fuse."""
    return (
        x.is_cuda
        and _TRITON
        and x.dtype == torch.float32
        and x.numel() > 0
        and not torch.compiler.is_compiling()
    )


def activation(name: str, x: Tensor) -> Tensor:
    """Evaluate GELU or SiLU, where `applies_to` says yes."""
    return torch.ops.kancore.activation(x, name)


def _evaluate(x: Tensor, name: str) -> Tensor:
    from kancore.layers import triton_pointwise

    return triton_pointwise.activate(x.contiguous(), name)


def _differentiate(gradient: Tensor, x: Tensor, name: str) -> Tensor:
    from kancore.layers import triton_pointwise

    return triton_pointwise.activation_gradient(gradient.contiguous(), x.contiguous(), name)


def _save(ctx, inputs, output) -> None:
    x, ctx.name = inputs
    ctx.save_for_backward(x)


def _backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
    (x,) = ctx.saved_tensors
    if torch.is_grad_enabled():  # this gradient is to be differentiated itself
        return *torch.autograd.grad(in_steps(ctx.name, x), x, gradient, create_graph=True), None
    return torch.ops.kancore.activation_gradient(gradient, x, ctx.name), None


for _name, _function in (("activation", _evaluate), ("activation_gradient", _differentiate)):
    _LIBRARY.impl(_name, _function, "CompositeExplicitAutograd")
    _LIBRARY.impl(_name, lambda x, *_: x.new_empty(x.shape), "Meta")
torch.library.register_autograd("kancore::activation", _backward, setup_context=_save, lib=_LIBRARY)
