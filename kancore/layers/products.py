"""Products of a stack: of features with the weights of each network.

On a CPU with wide vectors linear layers have kernels (``products_cpp``), which update the weights
where their gradient is computed, and activate outputs while they are in the cache; everywhere else
it is PyTorch that multiplies.
"""

import ctypes
import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from kancore.layers import compiled
from kancore.layers.activations import FUNCTIONS
from kancore.layers.compiled import Fused, Update, pointers

# Activations that the kernels have, in the order of their numbers in the source; 0 is none.
_ACTIVATIONS = (None, "silu", "gelu")


def load(form: str) -> ctypes.CDLL:
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
    def forward(ctx, features, weight, bias):
        ctx.biased = bias is not None
        ctx.save_for_backward(features, weight)
        if features.dim() == 3:
            if bias is None:
                return torch.bmm(features, weight.transpose(1, 2))
            return torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2))
        stack, outputs, inputs = weight.shape
        flat = weight.view(stack * outputs, inputs).t()
        if bias is None:
            product = torch.mm(features, flat)
        else:
            product = torch.addmm(bias.view(-1), features, flat)
        return product.view(-1, stack, outputs).transpose(0, 1)

    @staticmethod
    def backward(ctx, gradient):
        features, weight = ctx.saved_tensors
        stack, outputs, inputs = weight.shape
        to_features = None
        to_bias = gradient.sum(1) if ctx.biased else None
        if features.dim() == 3:
            if ctx.needs_input_grad[0]:
                to_features = torch.bmm(gradient, weight)
            return to_features, torch.bmm(gradient.transpose(1, 2), features), to_bias
        flat = gradient.transpose(0, 1).reshape(-1, stack * outputs)
        if ctx.needs_input_grad[0]:
            to_features = torch.mm(flat, weight.view(stack * outputs, inputs))
        return to_features, torch.mm(flat.t(), features).view_as(weight), to_bias


def stacked_product(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply features with the transposed weights of each network, in PyTorch.

    Parameters
    ----------
    features
        ``[batch, in]``, shared by all networks, or ``[S, batch, in]``, one for each.
    weight
        ``[S, out, in]``, contiguous.
    bias
        ``[S, out]``, added to the outputs.

    Returns
    -------
    Tensor
        ``[S, batch, out]``.
    """
    return _Product.apply(features, weight, bias)


def applies_to(x: Tensor, *parameters: Tensor) -> bool:
    """Whether there are kernels for the device and the type of inputs, of some, and parameters."""
    return LIBRARY is not None and compiled.suit(x, *parameters)


class _Affine(torch.autograd.Function):
    """`affine` by the kernels; it saves slopes of an activation, which is of a fused layer."""

    @staticmethod
    def forward(ctx, x, weight, bias, update, activation):
        y = x.new_empty(len(weight), x.shape[-2], weight.shape[1])
        slopes = None
        if activation is not None and any(ctx.needs_input_grad):
            slopes = torch.empty_like(y)
        ctx.update = update
        ctx.save_for_backward(x, weight, bias, slopes)
        out = _ACTIVATIONS.index(activation), y.data_ptr(), compiled.pointer(slopes)
        arguments = x.data_ptr(), x.dim() == 2, *_of(weight, bias, x), *out
        LIBRARY.kancore_forward(*arguments, torch.get_num_threads())
        return y

    @staticmethod
    def backward(ctx, gradient):
        x, weight, bias, slopes = ctx.saved_tensors
        update, wanted = ctx.update, ctx.needs_input_grad[:3]
        if not (  # `parameter.data` may be another by now
            _agree(x, weight, bias)
            and gradient.shape == (len(weight), x.shape[-2], weight.shape[1])
            and weight.is_contiguous()
            and bias.is_contiguous()
        ):
            raise ValueError(
                "the parameters have changed their shape, type or layout since the forward pass"
            )
        if torch.is_grad_enabled():  # this gradient is to be differentiated itself
            if update is not None:
                raise RuntimeError(
                    "the layer updates its parameters in the backward pass, which has no "
                    "derivative; expected no create_graph=True after Linear.fuse"
                )
            expected = x @ weight.mT + bias.unsqueeze(1)
            return *recorded_gradients(expected, (x, weight, bias), gradient, wanted), None, None
        gradient = gradient.contiguous()
        to_x = x.new_empty(len(weight), *x.shape[-2:]) if wanted[0] else None
        to = updates = None
        steps = 0.0
        if any(wanted[1:]) and update is None:
            to = torch.empty_like(weight), torch.empty_like(bias)
        elif any(wanted[1:]):
            updates, steps = update.updates, update.steps.item()
        LIBRARY.kancore_backward(
            *map(compiled.pointer, (gradient, slopes, x)),
            *(x.dim() == 2, *_of(weight, bias, x), compiled.pointer(to_x)),
            *(to and pointers(to), updates, steps, torch.get_num_threads()),
        )
        if updates is not None:
            increment_version([weight, bias])
        if to_x is not None and x.dim() == 2:
            to_x = to_x.sum(0)
        return to_x, *(to or (None, None)), None, None


def _of(weight: Tensor, bias: Tensor, x: Tensor) -> tuple[ctypes.Array, int, int, int, int]:
    """Parameters and sizes as the kernels take them."""
    stack, outputs, inputs = weight.shape
    return pointers((weight, bias)), stack, x.shape[-2], inputs, outputs


def _agree(x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether there are kernels for tensors, and their shapes belong together."""
    stack, outputs, inputs = weight.shape
    shapes = (*x.shape[-2:-1], inputs), (stack, *x.shape[-2:-1], inputs)
    return (
        applies_to(x, weight, bias)
        and x.dim() > 1
        and x.shape in shapes
        and bias.shape == (stack, outputs)
    )


def recorded_gradients(
    y: Tensor, tensors: Iterable[Tensor | None], gradient: Tensor, needed: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients of `y` by those tensors that need one, as autograd records them."""
    pairs = zip(tensors, needed, strict=True)
    wanted = [tensor for tensor, need in pairs if need and tensor is not None]
    found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=True))
    return [next(found) if need else None for need in needed]


def affine(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    update: Fused | None = None,
    activation: str | None = None,
) -> Tensor:
    """Multiply inputs with the transposed weights of each network, add its bias, and activate.

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

    Returns
    -------
    Tensor
        ``[S, batch, out]``. It has derivatives of all orders, unless parameters are updated.

    Raises
    ------
    ValueError
        If an update cannot reach the parameters: they are not contiguous, of other networks, or
        there are no kernels.
    """
    has_kernels = _agree(x, weight, bias)
    if update is not None and not (
        has_kernels
        and weight.is_contiguous()
        and bias.is_contiguous()
        and len(update.updates) == len(weight)
    ):
        raise ValueError(
            f"updates of {len(update.updates)} networks, expected them for the {len(weight)} "
            "networks that there are, whose parameters are contiguous float32 on a CPU, as are "
            "inputs: fuse the layer again"
        )
    # From slopes there are no second derivatives, which layers with updates have not anyway.
    inside = activation if update is not None and activation in _ACTIVATIONS else None
    if has_kernels:
        parameters = weight.contiguous(), bias.contiguous()
        y = _Affine.apply(x.contiguous(), *parameters, update, inside)
    else:
        y = stacked_product(x, weight, bias)
    return y if activation in (None, inside) else FUNCTIONS[activation](y)
