"""How large the two branches of an edge are for normal inputs: what initial gains balance."""

from functools import cache

import torch
from torch import Tensor

from kancore.layers.activations import FUNCTIONS
from kancore.layers.dense import Grid
from kancore.layers.splines import basis, fit_matrix


def _normal_mean(values: Tensor, points: Tensor) -> float:
    """Mean of a function of a standard normal variable, from its values at equal steps."""
    density = torch.exp(-points.square() / 2)
    return float((values * density).sum() / density.sum())


def _points() -> Tensor:
    return torch.linspace(-8, 8, 4001, dtype=torch.float64, device="cpu")


@cache
def activation_gain(activation: str) -> float:
    """Gain with which a layer of activated inputs keeps their variance.

    A unit ``y = sum_j w_j b(x_j)`` of n independent standard normal inputs has ``E[y^2] = n
    Var[w] E[b(x)^2]``, since weights have mean zero. With ``Var[w] = gain^2 / n`` that is 1 for
    ``gain = E[b(x)^2]^(-1/2)``; for the rectifier this is He et al.'s square root of 2.

    Parameters
    ----------
    activation
        Name of the activation b.
    """
    points = _points()
    return _normal_mean(FUNCTIONS[activation](points).square(), points) ** -0.5


@cache
def spline_size(grid: Grid) -> float:
    """Root mean square of a spline fitted to uniform noise of width 1, at normal inputs.

    The coefficients are ``c = A e``, for the fit A and noise e of variance 1/12 at the points of
    the grid, so that ``E[(sum_m c_m B_m(x))^2] = E[|A^T B(x)|^2] / 12``.

    Parameters
    ----------
    grid
        Number of intervals, degree and ends.
    """
    points = _points()
    values = basis(points.unsqueeze(-1), *grid).squeeze(-1) @ fit_matrix(*grid)
    return (_normal_mean(values.square().sum(-1), points) / 12) ** 0.5
