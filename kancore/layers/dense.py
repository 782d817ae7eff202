"""Kolmogorov-Arnold layers by their definition, in PyTorch: for all devices and derivatives."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from kancore.layers import transforms
from kancore.layers.activations import FUNCTIONS
from kancore.layers.products import stacked_product
from kancore.layers.shapes import check_inputs
from kancore.layers.splines import basis

# Number of intervals, degree and ends of a spline grid.
Grid = tuple[int, int, tuple[float, float]]


class Edges(NamedTuple):
    """The parameters of all edges of a layer, or what belongs to them, such as gradients.

    Attributes
    ----------
    coefficients : Tensor
        Spline coefficients c, ``[S, in, G + k, out]``.
    base : Tensor
        Weights w of the base activation, ``[S, in, out]``.
    scale : Tensor or None
        Spline scales s, ``[S, in, out]``; ``None`` where they are folded into the coefficients.
    """

    coefficients: Tensor
    base: Tensor
    scale: Tensor | None

    @property
    def given(self) -> list[Tensor]:
        """Those that there are: all, or all but the scale."""
        return [tensor for tensor in self if tensor is not None]

    def map(self, function: Callable[[Tensor], Tensor]) -> "Edges":
        """Apply a function to each that there is."""
        scale = None if self.scale is None else function(self.scale)
        return Edges(function(self.coefficients), function(self.base), scale)


class Placement(NamedTuple):
    """Where the grid of each input lies: splines are evaluated at ``(x - centre) * stretch``.

    Attributes
    ----------
    centre, stretch : Tensor
        Broadcast over inputs ``[batch, in]`` or ``[S, batch, in]``.
    """

    centre: Tensor
    stretch: Tensor

    def on_grid(self, x: Tensor) -> Tensor:
        """Give the places of inputs on the grid."""
        return (x - self.centre) * self.stretch


def check_shapes(x: Tensor, edges: Edges, grid: Grid) -> None:
    """Raise a ValueError unless inputs and parameters fit each other."""
    stack, inputs, outputs = edges.base.shape
    grid_size, degree, _ = grid
    shapes = (stack, inputs, grid_size + degree, outputs), *2 * [(stack, inputs, outputs)]
    for name, tensor, shape in zip(Edges._fields, edges, shapes, strict=True):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")
    check_inputs(x, stack, inputs)


class _Splines(torch.autograd.Function):
    """`basis` with the derivative of each order in closed form, instead of a recorded graph."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, grid_size, degree, low, high, order):
        return basis(x, grid_size, degree, (low, high), order)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, grid_size, degree, low, high, ctx.order = inputs
        ctx.grid = grid_size, degree, (low, high)
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return (_splines(x, ctx.grid, ctx.order + 1) * gradient).sum(-2), *5 * [None]


class _SplinesForward(_Splines):
    """The same for derivatives that are carried forward, which `torch.compile` does not take."""

    @staticmethod
    def jvp(ctx, tangent, *_):
        (x,) = ctx.saved_tensors
        return _splines(x, ctx.grid, ctx.order + 1) * tangent.unsqueeze(-2)


def _splines(x: Tensor, grid: Grid, order: int = 0) -> Tensor:
    function = _SplinesForward if transforms.forward_mode() else _Splines
    # Each number alone: `torch.func` takes no nested arguments.
    grid_size, degree, (low, high) = grid
    return function.apply(x, grid_size, degree, low, high, order)


def product(
    x: Tensor,
    edges: Edges,
    activation: str,
    grid: Grid,
    placement: Placement | None = None,
    bfloat16: bool = False,
) -> Tensor:
    """Sum the functions of all edges, ``w act(x) + s sum_m c_m B_m(x)``, over the inputs.

    Parameters
    ----------
    x
        ``[batch, in]``, shared by all networks, or ``[S, batch, in]``, one for each.
    edges
        Of the layer.
    activation
        Name of the base activation.
    grid
        The spline grid.
    placement
        Where each input's grid lies, if it has been moved.
    bfloat16
        As of `kancore.layers.products.stacked_product`.

    Returns
    -------
    Tensor
        ``[S, batch, out]``. Derivatives of all orders are those of the formula.
    """
    if not x.is_floating_point():
        raise TypeError(f"inputs are of {x.dtype}, expected {edges.base.dtype}")
    # The place of an input on a grid takes more digits than the half precisions have.
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    base = FUNCTIONS[activation](wide).unsqueeze(-2)
    places = wide if placement is None else placement.on_grid(wide)
    features = torch.cat((_splines(places, grid), base), dim=-2).flatten(-2).to(x.dtype)
    rows = edges.coefficients
    if edges.scale is not None:
        rows = edges.scale.unsqueeze(2) * rows
    weight = torch.cat((rows, edges.base.unsqueeze(2)), dim=2)  # [S, in, G + k + 1, out]
    weight = weight.permute(0, 3, 2, 1).flatten(2)
    return stacked_product(features, weight, bfloat16=bfloat16)


def gradients(
    x: Tensor,
    edges: Edges,
    activation: str,
    grid: Grid,
    gradient: Tensor,
    placement: Placement | None = None,
) -> tuple[Tensor, ...]:
    """Gradients by `x` and the parameters that there are, which can be differentiated again.

    Parameters
    ----------
    x, edges, activation, grid, placement
        Of `product`.
    gradient
        By its outputs.
    """

    def function(x: Tensor, coefficients: Tensor, base: Tensor, scale: Tensor | None = None):
        return product(x, Edges(coefficients, base, scale), activation, grid, placement)

    return torch.func.vjp(function, x, *edges.given)[1](gradient)
