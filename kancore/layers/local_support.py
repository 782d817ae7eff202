"""Products of Kolmogorov-Arnold layers on a CPU that touch only the splines that are not zero.

`local_support.cpp` is compiled, where there is a compiler, when the package is installed: once for
each width of vectors, of which this module takes the widest that the processor has. Without it
`LIBRARY` is ``None``, and layers multiply all functions of their inputs, in PyTorch.
"""

import ctypes
import hashlib
import importlib.machinery
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kancore.activations import FUNCTIONS, slope

# Compiled forms, widest first, by what PyTorch calls the processors that can run them.
FORMS = {"AVX512": ("avx512", "avx2", "generic"), "AVX2": ("avx2", "generic")}
# In the order of their numbers in the source.
OPTIMIZERS = ("sgd", "sgd_momentum", "adam")


class _CPlan(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("networks", "batch", "inputs", "grid", "degree")),
        ("arrays", ctypes.c_void_p * 8),  # in memory that only the library reads
    )


class _CUpdate(ctypes.Structure):
    _fields_ = (
        ("optimizer", ctypes.c_int32),
        *(
            (name, ctypes.c_float)
            for name in ("rate", "momentum", "second_momentum", "epsilon", "decay")
        ),
        *((name, ctypes.c_void_p) for name in ("first", "second")),
    )


def _declare(library: ctypes.CDLL) -> None:
    plan, pointer, number, real = (
        ctypes.POINTER(_CPlan),
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_float,
    )
    product = (plan, pointer, number, number, pointer, ctypes.c_int)
    for name, arguments in {
        "plan_size": (plan, ctypes.c_int, ctypes.c_int),
        "plan": (plan, *(pointer,) * 6, real, real, ctypes.c_int),
        "forward": product,
        "weight_gradient": product,
        "update": (
            *(plan, pointer, number, number, pointer),
            *(ctypes.POINTER(_CUpdate), ctypes.c_double, ctypes.c_int),
        ),
        "input_gradient": (plan, pointer, pointer, number, number, pointer, ctypes.c_int),
    }.items():
        function = getattr(library, f"kancore_{name}")
        function.argtypes, function.restype = arguments, None
    library.kancore_plan_size.restype = number


def load(form: str) -> ctypes.CDLL:
    """Load one compiled form, whether or not this processor can run it.

    Raises
    ------
    OSError
        If it is not there, or was compiled from another version of its source.
    """
    source = Path(__file__).with_suffix(".cpp")
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    path = source.with_name(f"_local_support_{form}{suffix}")
    if not path.is_file():
        raise OSError("not compiled at installation")
    library = ctypes.CDLL(str(path))
    library.kancore_source.restype = ctypes.c_char_p
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    if library.kancore_source().decode() != digest:
        raise OSError("compiled from another version of its source: install the package again")
    _declare(library)
    return library


def _widest() -> tuple[ctypes.CDLL | None, str]:
    """Load the widest form that this processor runs; or say why there is none."""
    for form in FORMS.get(torch.backends.cpu.get_cpu_capability(), ("generic",)):
        try:
            return load(form), form
        except OSError as error:
            reason = str(error)
    return None, f"none ({reason})"


# FORM is for people to read: the form's name, or why there is none.
LIBRARY, FORM = _widest()
if LIBRARY is None:
    warnings.warn(f"compiled kernels: {FORM}; KANs train in plain PyTorch", stacklevel=2)


@dataclass(frozen=True, eq=False)
class Plan:
    """Inputs of a layer, sorted by the interval of the grid that they lie in.

    Attributes
    ----------
    x : Tensor
        The inputs, ``[batch, in]`` where the networks of a stack share them, or ``[S, batch, in]``.
    """

    x: Tensor
    fields: _CPlan
    memory: tuple[Tensor | None, ...]  # what `fields` points to

    @classmethod
    def of(
        cls,
        x: Tensor,
        activation: str,
        grid: tuple[int, int, tuple[float, float]],
        background: Tensor | None = None,
    ) -> "Plan":
        """Sort inputs, and evaluate what edges combine: splines and base activation.

        Parameters
        ----------
        x
            Float32 on the CPU, ``[batch, in]`` or ``[S, batch, in]``. If it requires a gradient,
            slopes are kept too.
        activation
            Name of the base activation.
        grid
            Number of intervals, degree and ends of the spline grid.
        background
            ``[in]``, values that most entries of `x` equal, if there are such. Not used where `x`
            requires a gradient, which those entries would have too.
        """
        grid_size, degree, (low, high) = grid
        values = x.detach().contiguous()
        base, slopes = FUNCTIONS[activation](values), None
        if x.requires_grad:
            slopes, background = slope(activation, values), None
        networks = 1 if x.dim() == 2 else len(x)
        fields = _CPlan(networks, *x.shape[-2:], grid_size, degree)
        size = LIBRARY.kancore_plan_size(fields, slopes is not None, background is not None)
        memory = torch.empty(size, dtype=torch.uint8)
        background_base = None if background is None else FUNCTIONS[activation](background)
        LIBRARY.kancore_plan(
            fields,
            *map(_pointer, (memory, values, base, slopes, background, background_base)),
            low,
            grid_size / (high - low),
            torch.get_num_threads(),
        )
        return cls(x, fields, (memory, background))


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def empty_weight(stack: int, outputs: int, functions: int, inputs: int) -> Tensor:
    """Allocate weights ``[S, out, functions, in]``, in memory as ``[S, in, functions, out]``.

    The kernels read the weights of one input together; for everybody else it is a matter of
    strides, as ``channels_last`` is for images.
    """
    return torch.empty(stack, inputs, functions, outputs).permute(0, 3, 2, 1)


def applies_to(weight: Tensor) -> bool:
    """Whether there are kernels for weights of this device and type."""
    return LIBRARY is not None and weight.device.type == "cpu" and weight.dtype == torch.float32


def arrange(weight: Tensor) -> Tensor:
    """Give weights in the kernels' order in memory: the same tensor if they are in it already."""
    return weight.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1)


class _Product(torch.autograd.Function):
    """Outputs ``[S, batch, out]`` of a layer from a plan of its inputs."""

    @staticmethod
    def forward(ctx, x, weight, plan, update):
        ctx.plan, ctx.update = plan, update
        ctx.save_for_backward(weight)
        stack, outputs = weight.shape[:2]
        y = torch.empty(stack, plan.fields.batch, outputs)
        pointers = weight.data_ptr(), stack, outputs, y.data_ptr()
        LIBRARY.kancore_forward(plan.fields, *pointers, torch.get_num_threads())
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (weight,), plan = ctx.saved_tensors, ctx.plan
        gradient = gradient.contiguous()
        stack, outputs, functions, inputs = weight.shape
        shape = gradient.data_ptr(), stack, outputs
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = torch.empty(stack, *plan.x.shape[-2:])
            pointers = gradient.data_ptr(), weight.data_ptr(), stack, outputs, to_x.data_ptr()
            LIBRARY.kancore_input_gradient(plan.fields, *pointers, torch.get_num_threads())
            if plan.x.dim() == 2:
                to_x = to_x.sum(0)
        # Last, because it may change the weights.
        if ctx.needs_input_grad[1] and ctx.update is not None:
            updates, steps = ctx.update.updates, ctx.update.steps.item()
            arguments = weight.data_ptr(), updates, steps, torch.get_num_threads()
            LIBRARY.kancore_update(plan.fields, *shape, *arguments)
        elif ctx.needs_input_grad[1]:
            to_weight = empty_weight(stack, outputs, functions, inputs)
            arguments = to_weight.data_ptr(), torch.get_num_threads()
            LIBRARY.kancore_weight_gradient(plan.fields, *shape, *arguments)
        return to_x, to_weight, None, None


@dataclass(frozen=True, eq=False)
class Fused:
    """How the weights of each network of a stack are updated, instead of getting a gradient."""

    updates: ctypes.Array
    steps: Tensor
    buffers: list[Tensor]  # what `updates` points to


def fused(updates: list[dict], steps: Tensor) -> Fused:
    """Let `product` update weights in its backward pass, which saves writing and reading gradients.

    Parameters
    ----------
    updates
        For each network: ``optimizer`` (``sgd``, ``sgd_momentum`` or ``adam``), ``rate``,
        ``momentum``, ``second_momentum``, ``epsilon``, ``decay``; and its buffers ``first`` and
        ``second``, ``[in, functions, out]`` each, or ``None``.
    steps
        Number of the current step, from 1, at the time of the backward pass; a scalar.
    """
    buffers = [u[name] for u in updates for name in ("first", "second") if u[name] is not None]
    described = [
        _CUpdate(
            **u
            | {"optimizer": OPTIMIZERS.index(u["optimizer"])}
            | {name: _pointer(u[name]) for name in ("first", "second")}
        )
        for u in updates
    ]
    return Fused((_CUpdate * len(updates))(*described), steps, buffers)


def product(plan: Plan, weight: Tensor, update: Fused | None = None) -> Tensor:
    """Combine the functions of all inputs with the weights of each network of a stack.

    Parameters
    ----------
    plan
        Of one batch for the stack, or of one for each of its S networks.
    weight
        ``[S, out, functions, in]``, as `arrange` gives it.
    update
        If given, the backward pass updates the weights in place and gives them no gradient.

    Returns
    -------
    Tensor
        ``[S, batch, out]``.
    """
    return _Product.apply(plan.x, weight, plan, update)
