"""Products of Kolmogorov-Arnold layers on a CPU that touch only the splines that are not zero.

Without the kernels, ``local_support_cpp``, `LIBRARY` is ``None``, and layers multiply all functions
of their inputs, in PyTorch.
"""

import ctypes
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from kancore.layers import compiled, dense
from kancore.layers.activations import AT_FINITE, LIMITS, slope
from kancore.layers.compiled import Fused, Update, pointer, pointers
from kancore.layers.dense import Edges, Grid, Placement


class _CPlan(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("networks", "batch", "inputs", "grid", "degree")),
        ("arrays", ctypes.c_void_p * 8),  # in memory that only the library reads
    )


def load(form: str) -> ctypes.CDLL:
    """Load a form of the kernels, as `kancore.layers.compiled.load` does."""
    library = compiled.load("local_support", form)
    pointer, real, whole = ctypes.c_void_p, ctypes.c_float, ctypes.c_int
    plan, edges, updates = (ctypes.POINTER(each) for each in (_CPlan, pointer, Update))
    stack = (edges, ctypes.c_int64, ctypes.c_int64)  # parameters, networks, outputs
    for name, arguments in {
        "plan_size": (plan, whole, whole),
        "plan": (plan, *(pointer,) * 6, ctypes.POINTER(real), real, real, whole),
        "forward": (plan, *stack, pointer, whole),
        "gradient": (plan, pointer, *stack, edges, whole),
        "update": (plan, pointer, *stack, updates, ctypes.c_double, whole),
        "input_gradient": (plan, pointer, *stack, pointer, whole),
    }.items():
        function = getattr(library, f"kancore_{name}")
        function.argtypes, function.restype = arguments, None
    library.kancore_plan_size.restype = ctypes.c_int64
    return library


LIBRARY, FORM = compiled.widest(load)
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
        base, slopes = AT_FINITE[activation](values), None
        if x.requires_grad:
            slopes, background = slope(activation, values), None
        elif background is not None:
            background = background.float().contiguous()
        background_base = None if background is None else AT_FINITE[activation](background)
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
            *map(pointer, (memory, values, base, slopes, background, background_base)),
            (ctypes.c_float * 2)(*LIMITS[activation]),
            low,
            grid_size / (high - low),
            torch.get_num_threads(),
        )
        return cls(x, activation, grid, fields, (memory, background), placement)


def applies_to(x: Tensor, edges: Edges) -> bool:
    """Whether there are kernels for the device and the type of inputs, of some, and parameters."""
    return LIBRARY is not None and compiled.suit(x, *edges.given)


class _Product(torch.autograd.Function):
    """Outputs ``[S, batch, out]`` of a layer from a plan of its inputs."""

    @staticmethod
    def forward(ctx, x, coefficients, base, scale, plan, update):
        ctx.plan, ctx.update = plan, update
        ctx.save_for_backward(x, coefficients, base, scale)
        stack, _, outputs = base.shape
        y = torch.empty(stack, plan.fields.batch, outputs)
        edges = pointers((coefficients, base, scale))
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
        gradient, of_edges = gradient.contiguous(), pointers(edges)
        plan, threads = ctx.plan.fields, torch.get_num_threads()
        to_x, to_edges = None, (None, None, None)
        if ctx.needs_input_grad[0]:
            to_x = torch.empty(stack, *x.shape[-2:])
            arguments = gradient.data_ptr(), of_edges, stack, outputs, to_x.data_ptr()
            LIBRARY.kancore_input_gradient(plan, *arguments, threads)
            if ctx.plan.placement is not None:
                to_x *= ctx.plan.placement.stretch
            if x.dim() == 2:
                to_x = to_x.sum(0)
        # Last, because it may change the parameters.
        if any(ctx.needs_input_grad[1:4]):
            arguments = gradient.data_ptr(), of_edges, stack, outputs
            if ctx.update is not None:
                how = ctx.update.updates, ctx.update.steps.item()
                LIBRARY.kancore_update(plan, *arguments, *how, threads)
                increment_version(edges.given)
            else:
                to_edges = edges.map(torch.empty_like)
                LIBRARY.kancore_gradient(plan, *arguments, pointers(to_edges), threads)
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
