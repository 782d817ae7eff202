"""What `torch.utils.flop_counter` counts of our operators; its import takes a third of a second.

`kancore.KAN` and the others bring it along, the modules that jobs import do not.
"""

import torch
from torch.utils.flop_counter import register_flop_formula

from kancore.layers import local_support, products  # noqa: F401  (they define the operators)

_KANCORE = torch.ops.kancore


def _edges(x_shape, base_shape) -> int:
    """Edges times examples of a stack, from shapes of inputs and base weights."""
    stack, inputs, outputs = base_shape
    return stack * x_shape[-2] * inputs * outputs


@register_flop_formula(_KANCORE.ka_local)
def _ka_local(x_shape, coefficients_shape, base_shape, *others, **kwargs) -> int:
    """Count a multiplication and an addition for each spline that is not zero, and the base."""
    *_, degree, _, _, _ = others
    return 2 * (degree + 2) * _edges(x_shape, base_shape)


@register_flop_formula(_KANCORE.ka_local_gradients)
def _ka_local_gradients(gradient_shape, plan_shape, *others, **kwargs) -> int:
    *inputs, to_x, to_edges = others
    return (to_x + to_edges) * _ka_local(*inputs)


@register_flop_formula(_KANCORE.affine)
def _affine(x_shape, weight_shape, *others, **kwargs) -> int:
    return 2 * _edges(x_shape, weight_shape)


@register_flop_formula(_KANCORE.affine_gradients)
def _affine_gradients(gradient_shape, x_shape, weight_shape, bias_shape, to_x, to_all, **_) -> int:
    return (to_x + to_all) * _affine(x_shape, weight_shape)
