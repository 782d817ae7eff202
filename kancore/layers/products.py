"""Products of a stack: of features with the weights of each network.

On a CPU with wide vectors linear layers have kernels (``products_cpp``), which update the weights
where their gradient is computed, and activate outputs while they are in the cache; everywhere else
it is PyTorch that multiplies. As those of `kancore.layers.local_support` they are operators of
PyTorch, but for layers that update their weights in the backward pass.
"""

import ctypes
import warnings

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from kancore.layers import compiled, transforms
from kancore.layers.activations import FUNCTIONS
from kancore.layers.compiled import Fused, Update, address, pointer, pointers, there
from kancore.layers.shapes import check_inputs

# Activations that the kernels have, in the order of their numbers in the source; 0 is none.
_ACTIVATIONS = (None, "silu", "gelu")


def load(form: str) -> compiled.Kernels:
    """Load a form of the kernels, as `kancore.layers.compiled.load` does."""
    library = compiled.load("products", form)
    pointer, size, whole = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    parameters = ctypes.POINTER(pointer)
    shape = parameters, size, size, size, size  # of networks; networks, examples, inputs, outputs
    for name, arguments in {
        "forward": (pointer, whole, *shape, whole, pointer, pointer, whole),
        "backward": (
            *(pointer, pointer, pointer, whole, *shape, pointer, parameters),
            *(ctypes.POINTER(Update), ctypes.c_double, whole),
        ),
    }.items():
        function = getattr(library, f"kancore_{name}")
        function.argtypes, function.restype = arguments, None
    return library


# Where vectors are not wide, PyTorch's products are made for the processor, and ours are not.
LIBRARY, FORM = None, "none"
if torch.backends.cpu.get_cpu_capability() in compiled.FORMS:
    LIBRARY, FORM = compiled.widest(load)
    if LIBRARY is None:
        warnings.warn(f"compiled kernels: {FORM}; MLPs train in plain PyTorch", stacklevel=2)


class _Product(torch.autograd.Function):
    """`stacked_product` with weight gradients laid out as the weights are.

    Autograd's own gradient of a batched product is transposed, which costs the optimizer a copy.
    """

    @staticmethod
    def forward(ctx, features, weight, bias, bfloat16):
        ctx.biased, ctx.bfloat16 = bias is not None, bfloat16
        if bfloat16:
            features, weight = features.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(features, weight)
        if features.dim() == 3:
            if bias is None or bfloat16:
                product = _matrix_product(features, weight.transpose(1, 2), bfloat16)
            else:
                product = torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2))
        else:
            stack, outputs, inputs = weight.shape
            flat = weight.view(stack * outputs, inputs).t()
            if bias is None or bfloat16:
                product = _matrix_product(features, flat, bfloat16)
            else:
                product = torch.addmm(bias.view(-1), features, flat)
            product = product.view(features.shape[0], stack, outputs).transpose(0, 1)
        return product + bias.unsqueeze(1) if bfloat16 and ctx.biased else product

    @staticmethod
    def backward(ctx, gradient):
        arguments = gradient, *ctx.saved_tensors, ctx.needs_input_grad[0], ctx.bfloat16
        device = gradient.device.type
        if transforms.autocast(device):  # its product was in the type that it has
            with torch.autocast(device, enabled=False):
                found = _pull_back_product(*arguments)
        else:
            found = _pull_back_product(*arguments)
        return *found, gradient.sum(1) if ctx.biased else None, None


def _matrix_product(a: Tensor, b: Tensor, bfloat16: bool) -> Tensor:
    """Multiply matrices, or batches of them; those of bfloat16 with results in float32."""
    product = torch.bmm if a.dim() == 3 else torch.mm
    if not bfloat16:
        return product(a, b)
    if a.is_cuda:
        return product(a, b, out_dtype=torch.float32)
    return product(a.float(), b.float())  # products of two such numbers are exact in float32


def _pull_back_product(
    gradient: Tensor, features: Tensor, weight: Tensor, to_features: bool, bfloat16: bool
) -> tuple[Tensor | None, Tensor]:
    """Give gradients by features, if wanted, and by weights."""
    stack, outputs, inputs = weight.shape
    found = None
    if bfloat16:
        gradient = gradient.bfloat16()
    if features.dim() == 3:
        if to_features:
            found = _matrix_product(gradient, weight, bfloat16)
        return found, _matrix_product(gradient.transpose(1, 2), features, bfloat16)
    flat = gradient.transpose(0, 1).reshape(features.shape[0], stack * outputs)
    if to_features:
        found = _matrix_product(flat, weight.view(stack * outputs, inputs), bfloat16)
    return found, _matrix_product(flat.t(), features, bfloat16).view_as(weight)


def stacked_product(
    features: Tensor, weight: Tensor, bias: Tensor | None = None, bfloat16: bool = False
) -> Tensor:
    """Multiply features with the transposed weights of each network, in PyTorch.

    Parameters
    ----------
    features
        ``[batch, in]``, shared by all networks, or ``[S, batch, in]``, one for each.
    weight
        ``[S, out, in]``.
    bias
        ``[S, out]``, added to the outputs.
    bfloat16
        Whether factors are rounded to bfloat16, also those of gradients; sums are in float32.

    Returns
    -------
    Tensor
        ``[S, batch, out]``.
    """
    if transforms.active():
        return _formula(features, weight, bias)
    return _Product.apply(features, weight.contiguous(), bias, bfloat16)


def _formula(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = torch.matmul(x, weight.mT)
    return y if bias is None else y + bias.unsqueeze(-2)


_OPERATORS = torch.library.Library("kancore", "FRAGMENT")
_OPERATORS.define("affine(Tensor x, Tensor weight, Tensor bias) -> Tensor")
# By inputs, weights and biases; empty where it is not wanted.
_OPERATORS.define(
    "affine_gradients(Tensor gradient, Tensor x, Tensor weight, Tensor bias, "
    "bool to_x, bool to_parameters) -> (Tensor, Tensor, Tensor)"
)


def _check_shapes(x: Tensor, weight: Tensor, bias: Tensor) -> None:
    stack, outputs, inputs = weight.shape
    check_inputs(x, stack, inputs)
    if bias.shape != (stack, outputs):
        raise ValueError(f"biases have shape {tuple(bias.shape)}, expected {(stack, outputs)}")


def _check_gradient(gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Raise a ValueError where `parameter.data` has become another since the forward pass."""
    expected = *weight.shape[:1], *x.shape[-2:-1], *weight.shape[1:2]
    if gradient.shape != expected or not applies_to(x, weight, bias):
        raise ValueError("the parameters have changed their shape or type since the forward pass")


def _shared(x: Tensor, weight: Tensor, bias: Tensor) -> tuple:
    """Whether networks share inputs, parameters and sizes, as the kernels take them."""
    stack, outputs, inputs = weight.shape
    return x.dim() == 2, pointers((weight, bias)), stack, x.shape[-2], inputs, outputs


def _multiply(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    _check_shapes(x, weight, bias)
    y = x.new_empty(len(weight), x.shape[-2], weight.shape[1])
    if y.numel() and x.numel():
        _forward(y, x.contiguous(), weight.contiguous(), bias.contiguous())
    else:
        y.copy_(bias.unsqueeze(1))
    return y


def _forward(
    y: Tensor, x: Tensor, weight: Tensor, bias: Tensor, function: int = 0, slopes=None
) -> None:
    out = function, y.data_ptr(), pointer(slopes)
    arguments = address(x), *_shared(x, weight, bias), *out
    there(LIBRARY).kancore_forward(*arguments, torch.get_num_threads())


def _pull_back(
    gradient: Tensor,
    slopes: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    to_x: bool,
    to: tuple[Tensor, Tensor] | None,
    update: Fused | None,
) -> Tensor | None:
    """Write gradients by parameters to `to`, or update these; give that by inputs, if wanted."""
    found = x.new_empty(len(weight), *x.shape[-2:]) if to_x else None
    updates, steps = (None, 0.0) if update is None else update.begin()
    there(LIBRARY).kancore_backward(
        *map(pointer, (gradient, slopes, x)),
        *(*_shared(x, weight, bias), pointer(found)),
        *(to and pointers(to), updates, steps, torch.get_num_threads()),
    )
    return found.sum(0) if found is not None and x.dim() == 2 else found


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor, to_x: bool, to_parameters: bool
) -> tuple[Tensor, ...]:
    _check_gradient(gradient, x, weight, bias)
    _check_shapes(x, weight, bias)
    if not gradient.numel():
        shapes = _gradient_shapes(gradient, x, weight, bias, to_x, to_parameters)
        return tuple(map(Tensor.zero_, shapes))
    to = (x.new_empty(weight.shape), x.new_empty(bias.shape)) if to_parameters else None
    gradient, x, weight, bias = (each.contiguous() for each in (gradient, x, weight, bias))
    found_x = _pull_back(gradient, None, x, weight, bias, to_x, to, None)
    none = x.new_empty(0)
    return none if found_x is None else found_x, *(to or (none.clone(), none.clone()))


def _shape(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    _check_shapes(x, weight, bias)
    return x.new_empty(len(weight), x.shape[-2], weight.shape[1])


def _gradient_shapes(gradient, x, weight, bias, to_x, to_parameters) -> tuple[Tensor, ...]:
    wanted = (x, to_x), (weight, to_parameters), (bias, to_parameters)
    return tuple(each.new_empty(each.shape if want else 0) for each, want in wanted)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, gradient: Tensor) -> tuple:
    x, weight, bias = ctx.saved_tensors
    to_x, to_parameters = ctx.needs_input_grad[0], any(ctx.needs_input_grad[1:])
    arguments = gradient, x, weight, bias, to_x, to_parameters
    found = _AFFINE_GRADIENTS(*arguments)
    return (found[0] if to_x else None, *(found[1:] if to_parameters else (None, None)))


def _save_again(ctx, inputs, output) -> None:
    *tensors, to_x, to_parameters = inputs
    ctx.wanted = to_x, to_parameters, to_parameters
    ctx.save_for_backward(*tensors)


def _backward_again(ctx, *of_found: Tensor | None) -> tuple:
    """Differentiate the gradients, by the formula of the layer."""

    def gradients(gradient, *tensors):
        return torch.func.vjp(_formula, *tensors)[1](gradient)

    found, pull_back = torch.func.vjp(gradients, *ctx.saved_tensors)[:2]
    pairs = zip(found, of_found, ctx.wanted, strict=True)
    filled = tuple(
        other if want and other is not None else torch.zeros_like(one) for one, other, want in pairs
    )
    return *pull_back(filled), None, None


def _batch(info, in_dims, x, weight, bias) -> tuple[Tensor, int]:
    """Leave batches of products to PyTorch."""
    tensors = [
        transforms.front(each, dim, info.batch_size)
        for each, dim in zip((x, weight, bias), in_dims, strict=True)
    ]
    if tensors[0].dim() == 3:
        tensors[0] = tensors[0].unsqueeze(1)
    return _formula(*tensors), 0


def _batch_gradients(info, in_dims, gradient, x, weight, bias, to_x, to_parameters) -> tuple:
    pairs = zip((gradient, x, weight), in_dims[:3], strict=True)
    gradient, x, weight = (transforms.front(each, dim, info.batch_size) for each, dim in pairs)
    found = 3 * [x.new_empty(0)]
    dims: list[int | None] = [None, None, None]
    if to_x:
        of_x = gradient @ weight
        found[0], dims[0] = of_x.sum(1) if x.dim() == 3 else of_x, 0
    if to_parameters:
        x = x.unsqueeze(1) if x.dim() == 3 else x
        found[1:], dims[1:] = [gradient.mT @ x, gradient.sum(-2)], [0, 0]
    return tuple(found), tuple(dims)


_AFFINE = compiled.register(_OPERATORS, "affine", _multiply, _shape, _backward, _save, _batch)
_AFFINE_GRADIENTS = compiled.register(
    *(_OPERATORS, "affine_gradients", _gradients, _gradient_shapes),
    *(_backward_again, _save_again, _batch_gradients),
)


def applies_to(x: Tensor, *parameters: Tensor) -> bool:
    """Whether kernels are for inputs of this kind, and for the parameters."""
    return LIBRARY is not None and compiled.suit(x, *parameters)


class _Updating(torch.autograd.Function):
    """`affine` of a layer whose parameters the backward pass updates; it saves slopes."""

    @staticmethod
    def forward(ctx, x, weight, bias, update, function):
        y = x.new_empty(len(weight), x.shape[-2], weight.shape[1])
        slopes = torch.empty_like(y) if function and any(ctx.needs_input_grad) else None
        ctx.update = update
        ctx.save_for_backward(x, weight, bias, slopes)
        _forward(y, x, weight, bias, function, slopes)
        return y

    @staticmethod
    def backward(ctx, gradient):
        x, weight, bias, slopes = ctx.saved_tensors
        _check_shapes(x, weight, bias)
        _check_gradient(gradient, x, weight, bias)
        if torch.is_grad_enabled():  # this gradient is to be differentiated itself
            raise RuntimeError(
                "the layer updates its parameters in the backward pass, which has no "
                "derivative; expected no create_graph=True after Linear.fuse"
            )
        update = ctx.update if any(ctx.needs_input_grad[1:3]) else None
        tensors = gradient.resolve_neg().contiguous(), slopes, x, weight, bias
        to_x = _pull_back(*tensors, ctx.needs_input_grad[0], None, update)
        if update is not None:
            increment_version([weight, bias])
        return to_x, *4 * [None]


def affine(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    update: Fused | None = None,
    activation: str | None = None,
    bfloat16: bool = False,
) -> Tensor:
    """Multiply inputs with the transposed weights of each network, add its bias, and activate.

    Under autocast it is PyTorch that multiplies, in the type of autocast.

    Parameters
    ----------
    x
        ``[batch, in]``, shared by all networks, or ``[S, batch, in]``, one for each.
    weight, bias
        ``[S, out, in]`` and ``[S, out]``.
    update
        If given, the backward pass updates the parameters in place and gives them no gradient;
        there must be kernels for it (`applies_to`).
    activation
        Name of the activation; ``None`` for none.
    bfloat16
        As of `stacked_product`.

    Returns
    -------
    Tensor
        ``[S, batch, out]``. It has derivatives of all orders, unless parameters are updated.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or an update cannot reach the parameters: they are not
        contiguous, of other networks, or there are no kernels.
    """
    if update is not None:
        return _updating(x, weight, bias, update, activation)
    x, weight, bias = _in_autocast(x, weight, bias)
    if not bfloat16 and applies_to(x, weight, bias) and not transforms.differentiating():
        y = _AFFINE(x, weight, bias)
    else:
        _check_shapes(x, weight, bias)
        y = stacked_product(x, weight, bias, bfloat16)
    return y if activation is None else FUNCTIONS[activation](y)


def _in_autocast(*tensors: Tensor) -> list[Tensor] | tuple[Tensor, ...]:
    """Cast what `torch.nn.Linear` would cast under autocast, as it does."""
    device = tensors[0].device.type
    if not transforms.autocast(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return [each if each.dtype == torch.float64 else each.to(dtype) for each in tensors]


def _updating(x, weight, bias, update, activation) -> Tensor:
    _check_shapes(x, weight, bias)
    compiled.refuse_updates((weight, bias))
    if not (
        applies_to(x, weight, bias)
        and weight.is_contiguous()
        and bias.is_contiguous()
        and len(update.updates) == len(weight)
    ):
        raise ValueError(
            f"updates of {len(update.updates)} networks, expected them for the {len(weight)} "
            "networks that there are, whose parameters are contiguous float32 on a CPU, as are "
            "inputs: fuse the layer again"
        )
    if not x.numel():
        y, inside = stacked_product(x, weight, bias), False
    else:
        inside = activation in _ACTIVATIONS
        function = _ACTIVATIONS.index(activation) if inside else 0
        y = _Updating.apply(x.resolve_neg().contiguous(), weight, bias, update, function)
    return y if inside or activation is None else FUNCTIONS[activation](y)
