"""B-spline bases on uniform extended grids: values and derivatives, for any degree from 1 to 5.

On uniform knots every basis function is one shifted and scaled copy of the central B-spline, a sum
of truncated powers of the distance to its centre (Schoenberg 1946). That needs no recursion, and
measuring from the centre keeps cancellation small, in float32 too.
"""

from fractions import Fraction
from functools import cache
from math import comb, factorial, inf

import torch
from torch import Tensor

DEGREES = range(1, 6)


def check_grid(grid_size: int, degree: int, grid_range: tuple[float, float]) -> None:
    """Raise a ValueError unless there is such a grid."""
    if not (hasattr(degree, "__index__") and degree in DEGREES):
        raise ValueError(f"degree must be a whole number from 1 to 5, got {degree!r}")
    if not (hasattr(grid_size, "__index__") and grid_size >= 1):
        raise ValueError(f"grid_size must be a positive whole number, got {grid_size!r}")
    if not -inf < grid_range[0] < grid_range[1] < inf:
        raise ValueError(
            f"grid_range must be finite (low, high) with low < high, got {grid_range!r}"
        )


def knots(grid_size: int, degree: int, grid_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    """Knots of the extended grid.

    Parameters
    ----------
    grid_size
        Number of intervals, G, that divide `grid_range`.
    degree
        Degree of the splines, k; the grid is extended by k knots to each side.
    grid_range
        Ends of the grid.

    Returns
    -------
    Tensor
        Float64, shape ``[G + 2 k + 1]``.
    """
    try:
        low, high = map(float, grid_range)
    except (TypeError, ValueError):
        raise ValueError(f"grid_range must be (low, high), got {grid_range!r}") from None
    check_grid(grid_size, degree, (low, high))
    steps = torch.arange(-degree, grid_size + degree + 1, dtype=torch.float64, device="cpu")
    return low + steps * ((high - low) / grid_size)


def _offsets(x: Tensor, grid_size: int, degree: int, grid_range: tuple[float, float]) -> Tensor:
    """Distances of `x` from the centre of each basis function, in intervals: [..., G + k, in]."""
    low, high = grid_range
    interval = (high - low) / grid_size
    # Rounded from float64 once; subtracting the centre before scaling keeps float32 exact enough.
    first = low + interval * (1 - degree) / 2
    # A GPU makes them itself: it would be waited for to copy them. MPS has no float64.
    device = x.device if x.is_cuda else "cpu"
    places = torch.arange(grid_size + degree, dtype=torch.float64, device=device)
    centres = places * interval + first
    offsets = x.unsqueeze(-2) - centres.to(x).unsqueeze(-1)
    return offsets.mul_(1 / interval)


@cache
def terms(degree: int, power: int) -> tuple[tuple[Fraction, Fraction], ...]:
    """List the (reach, scale) of ``scale * max(reach - |u|, 0) ** power`` that make the spline.

    By symmetry those that begin left of the centre suffice; the last one ends the central piece.
    """
    return tuple(
        (
            Fraction(degree + 1, 2) - j,
            Fraction((-1) ** j * comb(degree + 1, j), factorial(power)),
        )
        for j in range(degree // 2 + 1)
    )


@cache
def central_piece(degree: int, power: int) -> tuple[float, ...]:
    """Coefficients, highest first, of the polynomial in |u| that all terms together make."""
    return tuple(
        float(
            sum(
                scale * comb(power, i) * (-1) ** i * reach ** (power - i)
                for reach, scale in terms(degree, power)
            )
        )
        for i in range(power, -1, -1)
    )


def _central_spline(distance: Tensor, degree: int, power: int) -> Tensor:
    """Central B-spline (power = degree), or its derivative of order degree - power left of 0.

    `distance` is the absolute offset from the centre, `power` at least 1. The terms cancel each
    other near the centre, where the expanded polynomial is used in their place.
    """
    *outer, (inner_reach, _) = terms(degree, power)
    highest, *others = central_piece(degree, power)
    piece = distance * highest
    for coefficient in others[:-1]:
        piece.add_(coefficient).mul_(distance) if coefficient else piece.mul_(distance)
    piece.add_(others[-1])
    tail = torch.zeros_like(distance)
    for reach, scale in outer:
        base = (float(reach) - distance).clamp_(min=0)
        term = base * float(scale)
        for _ in range(power - 1):
            term.mul_(base)
        tail.add_(term)
    return torch.where(distance < float(inner_reach), piece, tail)


def _steps(offsets: Tensor, degree: int) -> Tensor:
    """Differentiate the central B-spline `degree` times: a constant on each interval."""
    piece = (offsets + (degree + 1) / 2).floor()
    found = torch.zeros_like(offsets)
    for place in range(degree + 1):
        found.masked_fill_(piece == place, (-1) ** place * comb(degree, place))
    return found


def basis(
    x: Tensor,
    grid_size: int,
    degree: int,
    grid_range: tuple[float, float] = (-1.0, 1.0),
    order: int = 0,
) -> Tensor:
    """Values or derivatives of all B-splines of a uniform extended grid.

    Parameters
    ----------
    x
        Points, shape ``[..., in]``, any real dtype.
    grid_size, degree, grid_range
        As for `knots`.
    order
        Order of the derivative; 0 gives values. Where it jumps it is continuous from the right, as
        SciPy's is.

    Returns
    -------
    Tensor
        Shape ``[..., G + k, in]``, dtype and device of `x`; zero outside a spline's support.
    """
    check_grid(grid_size, degree, grid_range)
    offsets = _offsets(x, grid_size, degree, grid_range)
    if order > degree:
        return torch.zeros_like(offsets)
    if order == degree:
        values = _steps(offsets, degree)
    else:
        values = _central_spline(offsets.abs(), degree, degree - order)
        if order % 2:
            values.mul_(torch.where(offsets < 0, 1.0, -1.0).to(x))
    return values.mul_((grid_size / (grid_range[1] - grid_range[0])) ** order) if order else values


def fit_matrix(
    grid_size: int, degree: int, grid_range: tuple[float, float] = (-1.0, 1.0)
) -> Tensor:
    """Matrix that maps values at the grid points to least-squares spline coefficients.

    Returns
    -------
    Tensor
        Float64, shape ``[G + k, G + 1]``: the pseudo-inverse of the basis at the G + 1 points
        (there are fewer points than coefficients: the solution of least norm).
    """
    inner = knots(grid_size, degree, grid_range)[degree : degree + grid_size + 1]
    return torch.linalg.pinv(basis(inner, grid_size, degree, grid_range).T)
