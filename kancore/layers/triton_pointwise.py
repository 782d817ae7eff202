"""Triton kernels of activations, and how all kernels are launched.

Whoever imports this module without a GPU sets TRITON_INTERPRET=1 before.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Numbers of a program that evaluates an activation.
_POINTWISE = 1024
_ROOT_HALF = tl.constexpr(0.5**0.5)
# Where GELU and SiLU have reached their limits: there an infinite number times 0 would be none.
_FAR = tl.constexpr(1e4)
_ROOT_TWO_PI = tl.constexpr(0.3989422804014327)
# Compiled kernels, by all that they were compiled for.
_COMPILED: dict[tuple, tuple[Any, list]] = {}


def launch(kernel: Any, places: tuple[int, ...], tensors: tuple, /, **arguments: Any) -> None:
    """Launch a kernel, past Triton's own look-up, which takes longer than small kernels run.

    Parameters
    ----------
    kernel
        Of Triton.
    places
        Programs, of up to three axes.
    tensors
        Its first arguments, on one device; ``None`` where the kernel reads none, but the first.
    **arguments
        The others, in the kernel's order, and Triton's options.
    """
    first = tensors[0]
    if not first.is_cuda:  # in the interpreter
        kernel[places](*tensors, **arguments)
        return
    device = first.device.index
    # Triton compiles for types, and for whether addresses divide by 16.
    types = [None if each is None else (each.dtype, each.data_ptr() % 16 == 0) for each in tensors]
    key = id(kernel), device, *types, *arguments.items()
    with torch.cuda.device(device):
        found = _COMPILED.get(key)
        if found is None:
            compiled = kernel[places](*tensors, **arguments)
            values = [arguments[name] for name in kernel.arg_names[len(tensors) :]]
            _COMPILED[key] = compiled, values
            return
        compiled, values = found
        compiled[*places, *(3 - len(places)) * [1]](*tensors, *values)


@triton.jit
def _activate(x, ACTIVATION: tl.constexpr):
    """Evaluate the base activation; at infinity its limit."""
    if ACTIVATION == "gelu":
        x = tl.where(x < -_FAR, -_FAR, x)
        return 0.5 * x * (1.0 + tl.erf(x * _ROOT_HALF))
    elif ACTIVATION == "silu":
        x = tl.where(x < -_FAR, -_FAR, x)
        return x / (1.0 + tl.exp(-x))
    elif ACTIVATION == "elu":
        return tl.where(x > 0, x, tl.exp(x) - 1.0)
    elif ACTIVATION == "relu":
        return tl.where(x <= 0, 0.0, x)  # a NaN stays one
    else:
        tl.static_assert(ACTIVATION == "cosine")
        return tl.cos(x)


@triton.jit
def _slope(x, ACTIVATION: tl.constexpr):
    """Differentiate the base activation; at a kink from the left, at infinity the limit."""
    if ACTIVATION == "gelu" or ACTIVATION == "silu":
        x = tl.where(x < -_FAR, -_FAR, tl.where(x > _FAR, _FAR, x))
    if ACTIVATION == "gelu":
        below = 0.5 * (1.0 + tl.erf(x * _ROOT_HALF))
        return below + x * (_ROOT_TWO_PI * tl.exp(-0.5 * x * x))
    elif ACTIVATION == "silu":
        share = 1.0 / (1.0 + tl.exp(-x))
        return share * (1.0 + x * (1.0 - share))
    elif ACTIVATION == "elu":
        return tl.where(x > 0, 1.0, tl.exp(x))
    elif ACTIVATION == "relu":
        return tl.where(x > 0, 1.0, 0.0)
    else:
        tl.static_assert(ACTIVATION == "cosine")
        return -tl.sin(x)


@triton.jit
def _pointwise(x, y, count, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + place, place < count, 0.0)
    tl.store(y + place, _activate(values, ACTIVATION), place < count)


@triton.jit
def _pointwise_gradient(x, gradient, to_x, count, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + place, place < count, 0.0)
    below = tl.load(gradient + place, place < count, 0.0)
    tl.store(to_x + place, below * _slope(values, ACTIVATION), place < count)


def activate(x: Tensor, activation: str) -> Tensor:
    """Evaluate an activation, of numbers that lie side by side."""
    y = torch.empty_like(x)
    places = (triton.cdiv(x.numel(), _POINTWISE),)
    launch(_pointwise, places, (x, y), count=x.numel(), ACTIVATION=activation, BLOCK=_POINTWISE)
    return y


def activation_gradient(gradient: Tensor, x: Tensor, activation: str) -> Tensor:
    """Gradient by the inputs of an activation, from that by its values."""
    to_x = torch.empty_like(x)
    places = (triton.cdiv(x.numel(), _POINTWISE),)
    tensors, sizes = (x, gradient, to_x), {"count": x.numel(), "BLOCK": _POINTWISE}
    launch(_pointwise_gradient, places, tensors, **sizes, ACTIVATION=activation)
    return to_x
