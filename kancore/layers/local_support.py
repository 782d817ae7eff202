"""Products of Kolmogorov-Arnold layers on a CPU that touch only the splines that are not zero.

They are operators of PyTorch: autograd differentiates them, `torch.compile` and `torch.export` take
them into their graphs, `vmap` makes a stack of its batch. Only layers that update their weights in
the backward pass go past the operators. Without the kernels, ``local_support_cpp``, `LIBRARY` is
``None``, and layers multiply all functions of their inputs, in PyTorch.
"""

import ctypes
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from kancore.layers import compiled, dense, transforms
from kancore.layers.activations import AT_FINITE, LIMITS, slope
from kancore.layers.compiled import Fused, Update, address, pointer, pointers, there
from kancore.layers.dense import Edges, Grid, Placement
from kancore.layers.splines import check_grid

# Examples that the kernels plan together, as `layout.h` has it.
_BLOCK = 256


class _Planned(ctypes.Structure):
    """The shape of a plan, and the memory that it lies in; mirrors that of ``layout.h``."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("networks", "batch", "inputs", "grid", "degree")),
        *((name, ctypes.c_int64) for name in ("has_slopes", "has_background")),
        ("memory", ctypes.c_void_p),
    )


def load(form: str) -> compiled.Kernels:
    """Load a form of the kernels, as `kancore.layers.compiled.load` does."""
    library = compiled.load("local_support", form)
    pointer, real, whole = ctypes.c_void_p, ctypes.c_float, ctypes.c_int
    plan, edges, updates = (ctypes.POINTER(each) for each in (_Planned, pointer, Update))
    stack = (edges, ctypes.c_int64, ctypes.c_int64)  # parameters, networks, outputs
    for name, arguments in {
        "plan_size": (plan,),
        "plan": (plan, *(pointer,) * 5, ctypes.POINTER(real), real, real, whole),
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


def plan_size(shape: Sequence[int], lanes: int) -> int:
    """Count the bytes of a plan, as the kernels do, from numbers that may be symbols.

    Parameters
    ----------
    shape
        The fields of a plan but its memory.
    lanes
        Numbers of a vector.
    """
    networks, batch, inputs, grid_size, degree, has_slopes, has_background = shape
    cells = networks * ((batch + _BLOCK - 1) // _BLOCK) * inputs
    entries = networks * inputs * ((batch + lanes - 1) // lanes * lanes)
    values = entries * (degree + 2)
    arrays = [8 * (cells + 1), 2 * cells * (grid_size + 2), 4 * entries, 4 * values]
    if has_slopes:
        arrays.append(4 * values)
    if has_background:
        arrays += [4 * inputs, 4 * inputs * (degree + 2), 4 * inputs]
    return sum((size + 63) // 64 * 64 for size in arrays)


class _Plan:
    """Inputs of a layer, sorted by the interval of the grid that they lie in.

    It holds for each input the splines that are not zero and the base activation; their slopes too,
    where the inputs' gradient is wanted; and not the inputs that equal a background.
    """

    def __init__(self, x: Tensor, grid: Grid, slopes: bool, background: bool):
        grid_size, degree, _ = grid
        networks = 1 if x.dim() == 2 else len(x)
        self.shape = networks, *x.shape[-2:], grid_size, degree, slopes, background
        self.fields = _Planned(*self.shape)

    def read(self, memory: Tensor) -> "_Plan":
        """Take a plan that `make` gave before."""
        if not (
            memory.device.type == "cpu"
            and memory.dtype == torch.uint8
            and memory.is_contiguous()
            and memory.numel() == there(LIBRARY).kancore_plan_size(self.fields)
            and memory.storage_offset() + memory.numel() <= memory.untyped_storage().nbytes()
        ):
            raise ValueError(f"a plan of {list(memory.shape)}, {memory.dtype}, is of other inputs")
        self.fields.memory = memory.data_ptr()
        return self

    def make(
        self,
        x: Tensor,
        activation: str,
        ends: tuple[float, float],
        background: Tensor | None,
        placement: Placement | None,
    ) -> Tensor:
        """Sort inputs, and evaluate what edges combine; give the memory that it lies in.

        The kernels know one grid: where grids have been moved, they get the places of inputs on it,
        and slopes of the base activation by these places, which gradients turn back.
        """
        size = there(LIBRARY).kancore_plan_size(self.fields)
        memory = torch.empty(size, dtype=torch.uint8, device=x.device)
        self.fields.memory = memory.data_ptr()
        values = x.contiguous()
        base, slopes, background_base = AT_FINITE[activation](values), None, None
        if self.fields.has_slopes:
            slopes = slope(activation, values)
        if background is not None:
            background_base = AT_FINITE[activation](background)
        if placement is not None:
            values = placement.on_grid(values)
            slopes = None if slopes is None else slopes / placement.stretch
            background = None if background is None else placement.on_grid(background)
        low, high = ends
        there(LIBRARY).kancore_plan(
            self.fields,
            *map(pointer, (values, base, slopes, background, background_base)),
            (ctypes.c_float * 2)(*LIMITS[activation]),
            low,
            self.fields.grid / (high - low),
            torch.get_num_threads(),
        )
        return memory

    def forward(self, edges: Edges) -> Tensor:
        stack, _, outputs = edges.base.shape
        y = edges.base.new_empty(stack, self.fields.batch, outputs)
        threads = torch.get_num_threads()
        there(LIBRARY).kancore_forward(
            self.fields, pointers(edges), stack, outputs, y.data_ptr(), threads
        )
        return y

    def to_x(
        self, gradient: Tensor, edges: Edges, x: Tensor, placement: Placement | None
    ) -> Tensor:
        stack, batch, outputs = gradient.shape
        to_x = x.new_empty(stack, batch, self.fields.inputs)
        arguments = address(gradient), pointers(edges), stack, outputs, to_x.data_ptr()
        there(LIBRARY).kancore_input_gradient(self.fields, *arguments, torch.get_num_threads())
        if placement is not None:
            to_x *= placement.stretch
        return to_x.sum(0) if x.dim() == 2 else to_x

    def to_edges(self, gradient: Tensor, edges: Edges) -> Edges:
        stack, _, outputs = gradient.shape
        to_edges = edges.map(torch.empty_like)
        arguments = address(gradient), pointers(edges), stack, outputs, pointers(to_edges)
        there(LIBRARY).kancore_gradient(self.fields, *arguments, torch.get_num_threads())
        return to_edges

    def update(self, gradient: Tensor, edges: Edges, update: Fused) -> None:
        stack, _, outputs = gradient.shape
        arguments = address(gradient), pointers(edges), stack, outputs, *update.begin()
        there(LIBRARY).kancore_update(self.fields, *arguments, torch.get_num_threads())
        increment_version(edges.given)


_INPUTS = (
    "Tensor x, Tensor coefficients, Tensor base, Tensor? scale, "
    "Tensor? background, Tensor? centre, Tensor? stretch, "
    "str activation, int grid_size, int degree, float low, float high, bool slopes"
)
_OPERATORS = torch.library.Library("kancore", "FRAGMENT")
# Outputs, and a plan for the backward pass, which has slopes where the inputs' gradient is wanted.
_OPERATORS.define(f"ka_local({_INPUTS}) -> (Tensor, Tensor)")
# By inputs and the three parameters; empty where it is not wanted, or there is no such parameter.
# The plan may be empty: it is made again then.
_OPERATORS.define(
    f"ka_local_gradients(Tensor gradient, Tensor plan, {_INPUTS}, bool to_x, bool to_edges) "
    "-> (Tensor, Tensor, Tensor, Tensor)"
)


def _check(x: Tensor, edges: Edges, grid: Grid, background, centre, stretch) -> None:
    """Raise a ValueError unless tensors fit each other, and the grid is one that kernels know."""
    check_grid(*grid)
    dense.check_shapes(x, edges, grid)
    shape = (1, x.shape[-1])
    placed = shape[1:] if x.dim() == 2 else (len(x), *shape)
    for name, tensor, expected in (
        ("background", background, shape[1:]),
        ("centre", centre, placed),
        ("stretch", stretch, placed),
    ):
        if tensor is not None and tensor.shape != expected:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {expected}")


def _placement(centre: Tensor | None, stretch: Tensor | None) -> Placement | None:
    return None if centre is None or stretch is None else Placement(centre, stretch)


def _product(
    x: Tensor,
    coefficients: Tensor,
    base: Tensor,
    scale: Tensor | None,
    background: Tensor | None,
    centre: Tensor | None,
    stretch: Tensor | None,
    activation: str,
    grid_size: int,
    degree: int,
    low: float,
    high: float,
    slopes: bool,
) -> tuple[Tensor, Tensor]:
    edges, grid = Edges(coefficients, base, scale), (grid_size, degree, (low, high))
    _check(x, edges, grid, background, centre, stretch)
    if not (x.numel() and base.numel()):
        y = x.new_zeros(len(base), x.shape[-2], base.shape[2])
        return y, x.new_empty(0, dtype=torch.uint8)
    plan = _Plan(x, grid, slopes, background is not None)
    how = activation, (low, high), background, _placement(centre, stretch)
    memory = plan.make(x, *how)
    return plan.forward(edges.map(Tensor.contiguous)), memory


def _product_shapes(x, coefficients, base, scale, background, *others) -> tuple[Tensor, Tensor]:
    centre, stretch, _, grid_size, degree, low, high, slopes = others
    edges, grid = Edges(coefficients, base, scale), (grid_size, degree, (low, high))
    _check(x, edges, grid, background, centre, stretch)
    y = x.new_empty(len(base), x.shape[-2], base.shape[2])
    size = 0
    if x.numel() and base.numel() and LIBRARY is not None:
        networks = 1 if x.dim() == 2 else len(x)
        shape = networks, *x.shape[-2:], grid_size, degree, slopes, background is not None
        size = plan_size(shape, LIBRARY.lanes)
    return y, x.new_empty(size, dtype=torch.uint8)


def _gradients(
    gradient: Tensor,
    memory: Tensor,
    x: Tensor,
    coefficients: Tensor,
    base: Tensor,
    scale: Tensor | None,
    background: Tensor | None,
    centre: Tensor | None,
    stretch: Tensor | None,
    activation: str,
    grid_size: int,
    degree: int,
    low: float,
    high: float,
    slopes: bool,
    to_x: bool,
    to_edges: bool,
) -> tuple[Tensor, ...]:
    edges, grid = Edges(coefficients, base, scale), (grid_size, degree, (low, high))
    _check_gradient(gradient, x, edges)
    _check(x, edges, grid, background, centre, stretch)
    if not gradient.numel() or not x.numel():
        return tuple(
            map(Tensor.zero_, _gradient_shapes(gradient, memory, x, *edges, to_x, to_edges))
        )
    edges, gradient = edges.map(Tensor.contiguous), gradient.contiguous()
    placement = _placement(centre, stretch)
    if memory.numel() and (slopes or not to_x):
        plan = _Plan(x, grid, slopes, background is not None).read(memory)
    else:
        plan = _Plan(x, grid, to_x, False)
        memory = plan.make(x, activation, (low, high), None, placement)
    found_x = plan.to_x(gradient, edges, x, placement) if to_x else None
    found = plan.to_edges(gradient, edges) if to_edges else (None, None, None)
    return tuple(x.new_empty(0) if each is None else each for each in (found_x, *found))


def _gradient_shapes(gradient, memory, x, coefficients, base, scale, *others) -> tuple[Tensor, ...]:
    *_, to_x, to_edges = others
    edges = coefficients, base, scale
    wanted = x if to_x else None, *(edge if to_edges else None for edge in edges)
    return tuple(x.new_empty(0 if each is None else each.shape) for each in wanted)


def _check_gradient(gradient: Tensor, x: Tensor, edges: Edges) -> None:
    """Raise a ValueError where `parameter.data` has become another since the forward pass."""
    stack, _, outputs = edges.base.shape
    if gradient.shape != (stack, x.shape[-2], outputs) or not applies_to(x, edges):
        raise ValueError("the parameters have changed their shape or type since the forward pass")


def _save(ctx, inputs, output) -> None:
    tensors, ctx.how = inputs[:7], inputs[7:]
    ctx.save_for_backward(*tensors, output[1])
    ctx.set_materialize_grads(False)  # the plan's would be zeros, as large as it is


def _backward(ctx, gradient: Tensor | None, _) -> tuple:
    if gradient is None:
        return 13 * (None,)
    *tensors, memory = ctx.saved_tensors
    to_x, to_edges = ctx.needs_input_grad[0], any(ctx.needs_input_grad[1:4])
    arguments = gradient, memory, *tensors, *ctx.how, to_x, to_edges
    found = _GRADIENTS(*arguments)
    return *_wanted(found, to_x, to_edges, tensors[1:4]), *9 * [None]


def _wanted(found: Sequence, to_x: bool, to_edges: bool, edges: Sequence) -> list:
    """Give those gradients that are wanted, by inputs and by the parameters that there are."""
    wanted = [to_x, *(to_edges and edge is not None for edge in edges)]
    return [each if want else None for each, want in zip(found, wanted, strict=True)]


def _save_again(ctx, inputs, output) -> None:
    gradient, _, *tensors = inputs[:9]
    ctx.how = inputs[9:]
    ctx.save_for_backward(gradient, *tensors)


def _backward_again(ctx, *of_found: Tensor | None) -> tuple:
    """Differentiate the gradients, by the formula of the layer."""
    gradient, x, *edges, _, centre, stretch = ctx.saved_tensors
    activation, grid_size, degree, low, high, _, to_x, to_edges = ctx.how
    how = activation, (grid_size, degree, (low, high)), _placement(centre, stretch)
    folded = edges[2] is None

    def gradients(gradient, x, coefficients, base, scale=None):
        given = Edges(coefficients, base, scale)
        return dense.gradients(x, given, *how[:2], gradient, how[2])

    given = gradient, x, *(edges[:2] if folded else edges)
    found, pull_back = torch.func.vjp(gradients, *given)[:2]
    wanted = _wanted(of_found, to_x, to_edges, edges)[: len(found)]
    pairs = zip(found, wanted, strict=True)
    results = pull_back(
        tuple(torch.zeros_like(one) if other is None else other for one, other in pairs)
    )
    to_gradient, *others = results
    return to_gradient, None, *others, *[None] * folded, *11 * [None]


def _in_one_batch(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Put the batch of `vmap` into that of the inputs, or of gradients by outputs."""
    return transforms.front(tensor, dim, size).movedim(0, -3).flatten(-3, -2)


def _in_one_stack(
    tensors: Sequence, dims: Sequence, size: int, separate: bool
) -> tuple[list, bool]:
    """Put the batch of `vmap` into the stack of networks.

    Parameters
    ----------
    tensors, dims
        Inputs, the three parameters, centre and stretch; and their dimensions of the batch.
    size
        Of the batch.
    separate
        Whether each network is to have inputs of its own, although they are shared.

    Returns
    -------
    tensors : list
        The same.
    shared : bool
        Whether inputs were shared by the networks before.
    """
    x, *edges, centre, stretch = tensors
    edges = [
        None if edge is None else transforms.front(edge, dim, size).flatten(0, 1)
        for edge, dim in zip(edges, dims[1:4], strict=True)
    ]
    stack = len(edges[1]) // size
    shared = x.dim() - (dims[0] is not None) == 2
    if shared and not separate and dims[0] is dims[4] is dims[5] is None:
        return [x, *edges, centre, stretch], shared
    x = transforms.front(x, dims[0], size)
    places = []
    for place, dim in zip((centre, stretch), dims[4:], strict=True):
        if place is not None:
            place = transforms.front(place, dim, size)
            if place.dim() == 2:  # shared, as inputs are
                place = place[:, None, None].expand(-1, stack, -1, -1)
            place = place.flatten(0, 1)
        places.append(place)
    if shared:
        x = x.unsqueeze(1).expand(-1, stack, -1, -1)
    return [x.flatten(0, 1), *edges, *places], shared


def _batch(info, in_dims, *arguments) -> tuple:
    """Make one stack of a batch of products; or one batch of inputs, where those alone differ."""
    size, (x, *others) = info.batch_size, arguments
    dims = in_dims[:7]
    if all(dim is None for dim in dims[1:]):
        y, memory = torch.ops.kancore.ka_local.default(_in_one_batch(x, dims[0], size), *others)
        y, dim = y.unflatten(1, (size, y.shape[1] // size)), 1
    else:
        *edges, _, centre, stretch = others[:6]
        chosen = *dims[:4], *dims[5:]
        tensors, _ = _in_one_stack((x, *edges, centre, stretch), chosen, size, False)
        arguments = *tensors[:4], None, *tensors[4:], *others[6:]
        y, memory = torch.ops.kancore.ka_local.default(*arguments)
        y, dim = y.unflatten(0, (size, len(y) // size)), 0
    return (y, memory.new_empty(0)), (dim, None)


def _batch_gradients(info, in_dims, gradient, memory, *arguments) -> tuple:
    """Do the same with gradients, each of the batch by its own."""
    size, memory = info.batch_size, memory.new_empty(0)
    (x, *others), (of_gradient, _, *dims) = arguments, in_dims
    *_, to_x, to_edges = others
    if not to_edges and all(dim is None for dim in dims[1:7]):
        gradient, x = (
            _in_one_batch(each, dim, size) for each, dim in ((gradient, of_gradient), (x, dims[0]))
        )
        found, *rest = torch.ops.kancore.ka_local_gradients.default(gradient, memory, x, *others)
        batch = found.shape[-2] // size
        return (found.unflatten(-2, (size, batch)), *rest), (found.dim() - 2, None, None, None)
    *edges, _, centre, stretch = others[:6]
    chosen = *dims[:4], *dims[5:7]
    tensors, shared = _in_one_stack((x, *edges, centre, stretch), chosen, size, to_x)
    gradient = transforms.front(gradient, of_gradient, size).flatten(0, 1)
    arguments = gradient, memory, *tensors[:4], None, *tensors[4:], *others[6:]
    found = list(torch.ops.kancore.ka_local_gradients.default(*arguments))
    wanted = [to_x, *(to_edges and edge is not None for edge in edges)]
    for place, each in enumerate(found):
        if wanted[place]:
            found[place] = each.unflatten(0, (size, len(each) // size))
    if to_x and shared:
        found[0] = found[0].sum(1)
    return tuple(found), tuple(0 if want else None for want in wanted)


_PRODUCT = compiled.register(
    *(_OPERATORS, "ka_local", _product, _product_shapes, _backward, _save, _batch)
)
_GRADIENTS = compiled.register(
    *(_OPERATORS, "ka_local_gradients", _gradients, _gradient_shapes),
    *(_backward_again, _save_again, _batch_gradients),
)


def applies_to(x: Tensor, edges: Edges) -> bool:
    """Whether kernels are for inputs of this kind, and for the parameters."""
    return LIBRARY is not None and compiled.suit(x, *edges.given)


class _Updating(torch.autograd.Function):
    """The product of a layer whose parameters the backward pass updates."""

    @staticmethod
    def forward(ctx, x, coefficients, base, scale, background, activation, grid, placement, update):
        edges, slopes = Edges(coefficients, base, scale), ctx.needs_input_grad[0]
        plan = _Plan(x, grid, slopes, background is not None)
        memory = plan.make(x, activation, grid[2], background, placement)
        ctx.grid, ctx.placement, ctx.update = grid, placement, update
        ctx.plan_shape = slopes, background is not None
        ctx.save_for_backward(x, *edges, memory)
        return plan.forward(edges)

    @staticmethod
    def backward(ctx, gradient):
        x, *edges, memory = ctx.saved_tensors
        edges = Edges(*edges)
        dense.check_shapes(x, edges, ctx.grid)
        _check_gradient(gradient, x, edges)
        if torch.is_grad_enabled():  # this gradient is to be differentiated itself
            raise RuntimeError(
                "the layer updates its parameters in the backward pass, which has no derivative; "
                "expected no create_graph=True after KALayer.fuse"
            )
        gradient = gradient.resolve_neg().contiguous()
        plan = _Plan(x, ctx.grid, *ctx.plan_shape).read(memory)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = plan.to_x(gradient, edges, x, ctx.placement)
        # Last, because it changes the parameters.
        if any(ctx.needs_input_grad[1:4]):
            plan.update(gradient, edges, ctx.update)
        return to_x, *8 * [None]


def product(
    x: Tensor,
    edges: Edges,
    activation: str,
    grid: Grid,
    background: Tensor | None = None,
    placement: Placement | None = None,
    update: Fused | None = None,
) -> Tensor:
    """Compute `kancore.layers.dense.product` for what `applies_to` says yes to.

    Parameters
    ----------
    x, edges, activation, grid, placement
        As there.
    background
        ``[in]``, values that most entries of `x` equal, if there are such. Not used where `x`
        requires a gradient, which those entries would have too.
    update
        If given, the backward pass updates the parameters in place and gives them no gradient.

    Returns
    -------
    Tensor
        ``[S, batch, out]``. It has derivatives of all orders, unless parameters are updated.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or an update cannot reach the parameters since they are
        not contiguous, or of other networks.
    """
    if background is not None and background.shape != x.shape[-1:]:
        raise ValueError(
            f"background has shape {tuple(background.shape)}, expected ({x.shape[-1]},)"
        )
    # A traced program is run in training and in evaluation.
    slopes = (x.requires_grad and torch.is_grad_enabled()) or torch.jit.is_tracing()
    background = None if slopes or background is None else background.float().contiguous()
    if update is not None:
        return _updating(x, edges, activation, grid, background, placement, update)
    if transforms.differentiating():
        dense.check_shapes(x, edges, grid)
        return dense.product(x, edges, activation, grid, placement)
    grid_size, degree, (low, high) = grid
    where = (None, None) if placement is None else placement
    how = activation, grid_size, degree, float(low), float(high), slopes
    y, _ = _PRODUCT(x, *edges, background, *where, *how)
    return y


def _updating(x, edges, activation, grid, background, placement, update) -> Tensor:
    dense.check_shapes(x, edges, grid)
    compiled.refuse_updates(edges.given)
    stack = len(edges.base)
    whole = all(tensor.is_contiguous() for tensor in edges.given)
    if not (whole and applies_to(x, edges) and len(update.updates) == stack):
        raise ValueError(
            f"updates of {len(update.updates)} networks, expected them for the {stack} networks "
            "that there are, whose parameters are contiguous float32 on a CPU, as are inputs: "
            "fuse the layer again"
        )
    if not x.numel():
        return dense.product(x, edges, activation, grid, placement)
    return _Updating.apply(x.resolve_neg(), *edges, background, activation, grid, placement, update)
