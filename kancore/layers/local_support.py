"""Products of Kolmogorov-Arnold layers on a CPU that touch only the splines that are not zero.

`local_support_cpp` is compiled, where there is a compiler, when the package is installed: once for
each width of vectors, of which this module takes the widest that the processor has. Without it
`LIBRARY` is ``None``, and layers multiply all functions of their inputs, in PyTorch.
"""

import ctypes
import hashlib
import importlib.machinery
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from kancore.activations import FUNCTIONS, slope
from kancore.layers import dense
from kancore.layers.dense import Edges, Grid, Placement

# Compiled forms, widest first, by what PyTorch calls the processors that can run them.
FORMS = {"AVX512": ("avx512", "avx2", "generic"), "AVX2": ("avx2", "generic")}
# In the order of their numbers in the source.
OPTIMIZERS = ("sgd", "sgd_momentum", "adam")


class _CPlan(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("networks", "batch", "inputs", "grid", "degree")),
        ("arrays", ctypes.c_void_p * 8),  # in memory that only the library reads
    )


class _CEdges(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in Edges._fields)


class _CUpdate(ctypes.Structure):
    _fields_ = (
        ("optimizer", ctypes.c_int32),
        *(
            (name, ctypes.c_float)
            for name in ("rate", "momentum", "second_momentum", "epsilon", "decay")
        ),
        *((name, _CEdges) for name in ("first", "second")),
    )


def _declare(library: ctypes.CDLL) -> None:
    plan, edges, updates = map(ctypes.POINTER, (_CPlan, _CEdges, _CUpdate))
    pointer, real = ctypes.c_void_p, ctypes.c_float
    stack = (edges, ctypes.c_int64, ctypes.c_int64)  # parameters, networks, outputs
    for name, arguments in {
        "plan_size": (plan, ctypes.c_int, ctypes.c_int),
        "plan": (plan, *(pointer,) * 6, real, real, ctypes.c_int),
        "forward": (plan, *stack, pointer, ctypes.c_int),
        "gradient": (plan, pointer, *stack, edges, ctypes.c_int),
        "update": (plan, pointer, *stack, updates, ctypes.c_double, ctypes.c_int),
        "input_gradient": (plan, pointer, *stack, pointer, ctypes.c_int),
    }.items():
        function = getattr(library, f"kancore_{name}")
        function.argtypes, function.restype = arguments, None
    library.kancore_plan_size.restype = ctypes.c_int64


def load(form: str) -> ctypes.CDLL:
    """Load one compiled form, whether or not this processor can run it.

    Raises
    ------
    OSError
        If it is not there, or was compiled from another version of its source.
    """
    here = Path(__file__).parent
    path = here / f"_local_support_{form}{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    if not path.is_file():
        raise OSError("not compiled at installation")
    library = ctypes.CDLL(str(path))
    library.kancore_source.restype = ctypes.c_char_p
    source = b"".join(file.read_bytes() for file in sorted((here / "local_support_cpp").iterdir()))
    if library.kancore_source().decode() != hashlib.sha256(source).hexdigest()[:16]:
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
    activation : str
        Name of the base activation.
    grid : tuple
        The spline grid.
    placement : Placement or None
        Where each input's grid lies, if it has been moved.
    """

    x: Tensor
    activation: str
    grid: Grid
    fields: _CPlan
    memory: tuple[Tensor | None, ...]  # what `fields` points to
    placement: Placement | None = None

    @classmethod
    def of(
        cls,
        x: Tensor,
        activation: str,
        grid: Grid,
        background: Tensor | None = None,
        placement: Placement | None = None,
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
        placement
            As of the plan. The kernels know one grid: they get the places of inputs on it, and
            slopes of the base activation by these places, which `_Product` turns back.

        Raises
        ------
        ValueError
            If `background` has another length, or `x` is empty.
        """
        grid_size, degree, (low, high) = grid
        if not x.numel():
            raise ValueError(f"inputs have shape {tuple(x.shape)}, expected some")
        if background is not None and background.shape != x.shape[-1:]:
            raise ValueError(
                f"background has shape {tuple(background.shape)}, expected ({x.shape[-1]},)"
            )
        values = x.detach().contiguous()
        base, slopes = FUNCTIONS[activation](values), None
        if x.requires_grad:
            slopes, background = slope(activation, values), None
        elif background is not None:
            background = background.float().contiguous()
        background_base = None if background is None else FUNCTIONS[activation](background)
        if placement is not None:
            values = placement.on_grid(values)
            slopes = None if slopes is None else slopes / placement.stretch
            background = None if background is None else placement.on_grid(background)
        networks = 1 if x.dim() == 2 else len(x)
        fields = _CPlan(networks, *x.shape[-2:], grid_size, degree)
        assert LIBRARY is not None  # as `applies_to` has found
        size = LIBRARY.kancore_plan_size(fields, slopes is not None, background is not None)
        memory = torch.empty(size, dtype=torch.uint8)
        LIBRARY.kancore_plan(
            fields,
            *map(_pointer, (memory, values, base, slopes, background, background_base)),
            low,
            grid_size / (high - low),
            torch.get_num_threads(),
        )
        return cls(x, activation, grid, fields, (memory, background), placement)


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def applies_to(x: Tensor, edges: Edges) -> bool:
    """Whether there are kernels for the device and the type of inputs, of some, and parameters."""
    return (
        LIBRARY is not None
        and x.numel() > 0
        and all(
            tensor.device.type == "cpu" and tensor.dtype == torch.float32
            for tensor in (x, *edges.given)
        )
    )


def _pointers(edges: Iterable[Tensor | None]) -> _CEdges:
    return _CEdges(*map(_pointer, edges))  # null where there is none


class _Product(torch.autograd.Function):
    """Outputs ``[S, batch, out]`` of a layer from a plan of its inputs."""

    @staticmethod
    def forward(ctx, x, coefficients, base, scale, plan, update):
        ctx.plan, ctx.update = plan, update
        ctx.save_for_backward(x, coefficients, base, scale)
        stack, _, outputs = base.shape
        y = torch.empty(stack, plan.fields.batch, outputs)
        edges = _pointers(Edges(coefficients, base, scale))
        threads = torch.get_num_threads()
        LIBRARY.kancore_forward(plan.fields, edges, stack, outputs, y.data_ptr(), threads)
        return y

    @staticmethod
    def backward(ctx, gradient):
        x, *edges = ctx.saved_tensors
        edges = Edges(*edges)
        dense.check_shapes(
            ctx.plan.x, edges, ctx.plan.grid
        )  # `parameter.data` may be another tensor by now
        stack, _, outputs = edges.base.shape
        if not (
            gradient.shape == (stack, ctx.plan.fields.batch, outputs)
            and applies_to(x, edges)
            and all(edge.is_contiguous() for edge in edges.given)
        ):
            raise ValueError(
                "the parameters have changed their shape, type or layout since the forward pass"
            )
        if torch.is_grad_enabled():  # this gradient is to be differentiated itself
            return *_differentiable(ctx, gradient, x, edges), None, None
        gradient, pointers = gradient.contiguous(), _pointers(edges)
        plan, threads = ctx.plan.fields, torch.get_num_threads()
        to_x, to_edges = None, (None, None, None)
        if ctx.needs_input_grad[0]:
            to_x = torch.empty(stack, *x.shape[-2:])
            arguments = gradient.data_ptr(), pointers, stack, outputs, to_x.data_ptr()
            LIBRARY.kancore_input_gradient(plan, *arguments, threads)
            if ctx.plan.placement is not None:
                to_x *= ctx.plan.placement.stretch
            if x.dim() == 2:
                to_x = to_x.sum(0)
        # Last, because it may change the parameters.
        if any(ctx.needs_input_grad[1:4]):
            arguments = gradient.data_ptr(), pointers, stack, outputs
            if ctx.update is not None:
                how = ctx.update.updates, ctx.update.steps.item()
                LIBRARY.kancore_update(plan, *arguments, *how, threads)
                increment_version(edges.given)
            else:
                to_edges = edges.map(torch.empty_like)
                LIBRARY.kancore_gradient(plan, *arguments, _pointers(to_edges), threads)
        return to_x, *to_edges, None, None


def _differentiable(ctx, gradient: Tensor, x: Tensor, edges: Edges) -> list[Tensor | None]:
    """Gradients by `x` and the parameters as autograd records them, for higher derivatives."""
    if ctx.update is not None:
        raise RuntimeError(
            "the layer updates its parameters in the backward pass, which has no derivative; "
            "expected no create_graph=True after KALayer.fuse"
        )
    needed = ctx.needs_input_grad[:4]
    how = ctx.plan.activation, ctx.plan.grid, gradient, needed, ctx.plan.placement
    return dense.gradients(x, edges, *how)


@dataclass(frozen=True, eq=False)
class Fused:
    """How the weights of each network of a stack are updated, instead of getting a gradient."""

    updates: ctypes.Array
    steps: Tensor
    described: list[dict]  # with the buffers that `updates` points to

    def scale_rates(self, factor: float) -> None:
        """Multiply the learning rates, as they were described, by `factor`."""
        for update, described in zip(self.updates, self.described, strict=True):
            update.rate = factor * described["rate"]


def fused(updates: list[dict], steps: Tensor) -> Fused:
    """Let `product` update weights in its backward pass, which saves writing and reading gradients.

    Parameters
    ----------
    updates
        For each network: ``optimizer`` (``sgd``, ``sgd_momentum`` or ``adam``), ``rate``,
        ``momentum``, ``second_momentum``, ``epsilon``, ``decay``; and its buffers ``first`` and
        ``second``, `Edges` of one network, or ``None``.
    steps
        Number of the current step, from 1, at the time of the backward pass; a scalar.
    """
    described = [
        _CUpdate(
            **u
            | {"optimizer": OPTIMIZERS.index(u["optimizer"])}
            | {name: _pointers(u[name] or ()) for name in ("first", "second")}
        )
        for u in updates
    ]
    return Fused((_CUpdate * len(updates))(*described), steps, updates)


def product(plan: Plan, edges: Edges, update: Fused | None = None) -> Tensor:
    """Combine the functions of all inputs with the weights of each network of a stack.

    Parameters
    ----------
    plan
        Of one batch for the stack, or of one for each of its S networks.
    edges
        Parameters of the layer.
    update
        If given, the backward pass updates the parameters in place and gives them no gradient.

    Returns
    -------
    Tensor
        ``[S, batch, out]``.

    Raises
    ------
    ValueError
        If the shapes of plan, parameters and update do not fit each other, or an update cannot
        reach the parameters since they are not contiguous.
    """
    dense.check_shapes(plan.x, edges, plan.grid)
    stack = len(edges.base)
    whole = all(tensor.is_contiguous() for tensor in edges.given)
    if update is not None and not (whole and len(update.updates) == stack):
        raise ValueError(
            f"updates of {len(update.updates)} networks, expected them for the {stack} networks "
            "that there are, whose parameters are contiguous: fuse the layer again"
        )
    return _Product.apply(plan.x, *edges.map(Tensor.contiguous), plan, update)
