"""Kolmogorov-Arnold layers by their definition, in PyTorch: for all devices and derivatives."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kancore.layers.activations import FUNCTIONS
from kancore.layers.products import recorded_gradients, stacked_product
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

    @staticmethod
    def forward(ctx, x, grid, order):
        ctx.save_for_backward(x)
        ctx.grid, ctx.order = grid, order
        return basis(x, *grid, order)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return (_Splines.apply(x, ctx.grid, ctx.order + 1) * gradient).sum(-2), None, None


def product(
    x: Tensor, edges: Edges, activation: str, grid: Grid, placement: Placement | None = None
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

    Returns
    -------
    Tensor
        ``[S, batch, out]``. Derivatives of all orders are those of the formula.
    """
    base = FUNCTIONS[activation](x).unsqueeze(-2)
    places = x if placement is None else placement.on_grid(x)
    features = torch.cat((_Splines.apply(places, grid, 0), base), dim=-2).flatten(-2)
    rows = edges.coefficients
    if edges.scale is not None:
        rows = edges.scale.unsqueeze(2) * rows
    weight = torch.cat((rows, edges.base.unsqueeze(2)), dim=2)  # [S, in, G + k + 1, out]
    return stacked_product(features, weight.permute(0, 3, 2, 1).flatten(2))


def gradients(
    x: Tensor,
    edges: Edges,
    activation: str,
    grid: Grid,
    gradient: Tensor,
    needed: Sequence[bool],
    placement: Placement | None = None,
) -> list[Tensor | None]:
    """Gradients by `x` and the parameters as autograd records them, for higher derivatives.

    Parameters
    ----------
    x, edges, activation, grid
        Of `product`.
    gradient
        By its outputs.
    needed
        Which of `x` and the three parameters get one.
    placement
        Of `product`.
    """
    y = product(x, edges, activation, grid, placement)
    return recorded_gradients(y, (x, *edges), gradient, needed)
