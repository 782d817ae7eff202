"""What PyTorch may do to a layer beside computing it."""

import sys

import torch
from torch import Tensor
from torch.autograd import forward_ad


def forward_mode() -> bool:
    """Whether tangents are carried beside values, by `torch.func.jvp` or dual numbers."""
    return forward_ad._current_level >= 0


def active() -> bool:
    """Whether `torch.func` transforms what is being called, or tangents are carried."""
    return torch._C._are_functorch_transforms_active() or forward_mode()


def differentiating() -> bool:
    """Whether `torch.func` differentiates what is being called, or tangents are carried.

    Operators that are made in Python have derivatives for autograd alone; batches of `vmap` they
    know.
    """
    if forward_mode():
        return True
    if not torch._C._are_functorch_transforms_active():
        return False
    if torch.compiler.is_dynamo_compiling():  # which cannot ask for the levels
        return True
    levels = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() != torch._C._functorch.TransformType.Vmap for level in levels)


def watched() -> bool:
    """Whether anything but autograd is to see the operators that are called on a CPU."""
    return (
        active()
        or torch.is_autocast_enabled("cpu")
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._is_torch_function_mode_enabled()
        or torch._C._get_tracing_state() is not None
        or torch.autograd._profiler_enabled()
    )


def without_numbers(tensor: Tensor) -> bool:
    """Whether a tensor has a shape alone: on the device meta, or made in FakeTensorMode."""
    fake = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
    return tensor.is_meta or fake is not None


def front(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Put the batch of `vmap` first; what has none is the same for all."""
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def autocast(device: str) -> bool:
    """Whether operators on a kind of device are to choose their precision themselves."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def exporting_to_onnx() -> bool:
    """Whether a program is being made of PyTorch's own operators alone, as ONNX knows them."""
    onnx = sys.modules.get("torch.onnx")  # not imported before it is used
    return onnx is not None and onnx.is_in_onnx_export()
