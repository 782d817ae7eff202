"""The Triton kernels of Kolmogorov-Arnold layers as operators of PyTorch.

Autograd differentiates them, `torch.compile` takes them into its graphs as they are, without a
break, and they know their shapes where nothing is computed. `kancore.layers.triton_kernels` is
imported when a layer first needs them.
"""

import torch
from torch import Tensor

from kancore.layers import dense
from kancore.layers.dense import Edges

PRECISIONS = {"highest": "ieee", "high": "tf32", "medium": "bf16"}

_ARGUMENTS = (
    "Tensor x, Tensor coefficients, Tensor base, Tensor? scale, "
    "str activation, int grid_size, int degree, float low, float high, bool bfloat16"
)
_LIBRARY = torch.library.Library("kancore", "FRAGMENT")
_LIBRARY.define(f"ka_product({_ARGUMENTS}) -> Tensor")
_LIBRARY.define(f"ka_weight_gradient(Tensor gradient, {_ARGUMENTS}) -> Tensor[]")
_LIBRARY.define(f"ka_input_gradient(Tensor gradient, {_ARGUMENTS}) -> Tensor")


def _arguments(
    x, coefficients, base, scale, activation, grid_size, degree, low, high, bfloat16
) -> tuple:
    """Arguments of the functions of `kancore.layers.triton_kernels`, after any gradient."""
    edges = Edges(coefficients, base, scale).map(Tensor.contiguous)
    precision = PRECISIONS["medium" if bfloat16 else torch.get_float32_matmul_precision()]
    return edges, activation, (grid_size, degree, (low, high)), precision


def _product(x, *others) -> Tensor:
    from kancore.layers import triton_kernels

    return triton_kernels.product(x.contiguous(), *_arguments(x, *others))


def _weight_gradient(gradient, x, *others) -> list[Tensor]:
    from kancore.layers import triton_kernels

    tensors = x.contiguous(), gradient.contiguous()
    return triton_kernels.weight_gradient(*tensors, *_arguments(x, *others)).given


def _input_gradient(gradient, x, *others) -> Tensor:
    from kancore.layers import triton_kernels

    tensors = x.contiguous(), gradient.contiguous()
    return triton_kernels.input_gradient(*tensors, *_arguments(x, *others))


def _product_shape(x, coefficients, base, scale, *others) -> Tensor:
    return x.new_empty(len(base), x.shape[-2], base.shape[2])


def _weight_gradient_shapes(gradient, x, coefficients, base, scale, *others) -> list[Tensor]:
    given = Edges(coefficients, base, scale).given
    return [edge.new_empty(edge.shape) for edge in given]


def _input_gradient_shape(gradient, x, *others) -> Tensor:
    return x.new_empty(x.shape)


def _save(ctx, inputs, output) -> None:
    *tensors, ctx.activation, grid_size, degree, low, high, ctx.bfloat16 = inputs
    ctx.save_for_backward(*tensors)
    ctx.grid = grid_size, degree, (low, high)


def _backward(ctx, gradient: Tensor) -> tuple:
    x, *edges = ctx.saved_tensors
    edges = Edges(*edges)
    needed = ctx.needs_input_grad[:4]
    if torch.is_grad_enabled():  # this gradient is to be differentiated itself
        found = dense.gradients(x, edges, ctx.activation, ctx.grid, gradient)
        return *found, *(10 - len(found)) * [None]
    dense.check_shapes(x, edges, ctx.grid)  # `parameter.data` may be another tensor by now
    grid_size, degree, ends = ctx.grid
    arguments = gradient, x, *edges, ctx.activation, grid_size, degree, *ends, ctx.bfloat16
    to_x, to_edges = None, []
    if needed[0]:
        to_x = torch.ops.kancore.ka_input_gradient(*arguments)
    if any(needed[1:]):
        to_edges = torch.ops.kancore.ka_weight_gradient(*arguments)
    return to_x, *to_edges, *(9 - len(to_edges)) * [None]


for _name, _function, _shape in (
    ("ka_product", _product, _product_shape),
    ("ka_weight_gradient", _weight_gradient, _weight_gradient_shapes),
    ("ka_input_gradient", _input_gradient, _input_gradient_shape),
):
    _LIBRARY.impl(_name, _function, "CompositeExplicitAutograd")
    # Not by `torch.library.register_fake`, which looks for the caller's source for 0.2 s.
    _LIBRARY.impl(_name, _shape, "Meta")
torch.library.register_autograd("kancore::ka_product", _backward, setup_context=_save, lib=_LIBRARY)
