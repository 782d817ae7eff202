"""B-splines against SciPy's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from kancore.layers.splines import basis, fit_matrix, knots

GRIDS = [(grid_size, degree) for grid_size in (1, 3, 5, 8, 20) for degree in range(1, 6)]


def scipy_basis(x, grid_size, degree, grid_range=(-1.0, 1.0), order=0):
    """All basis functions, or their derivatives, at float64 points: [G + k, points]."""
    low, high = grid_range
    interval = (high - low) / grid_size
    points = low + interval * np.arange(-degree, grid_size + degree + 1)
    rows = []
    for first in range(grid_size + degree):
        element = BSpline.basis_element(points[first : first + degree + 2], extrapolate=False)
        values = (element.derivative(order) if order else element)(x) if order <= degree else 0 * x
        # The elements are closed on the right, the basis is not: no kink value at its end.
        rows.append(np.where(x < points[first + degree + 1], np.nan_to_num(values), 0.0))
    return np.stack(rows)


def points(grid_size, degree, dtype):
    """Points inside and outside the grid, and every knot."""
    between = torch.linspace(-4, 4, 1001, dtype=torch.float64)
    return torch.cat((between, knots(grid_size, degree))).to(dtype)


@pytest.mark.parametrize(("grid_size", "degree"), GRIDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_values_are_scipys(grid_size, degree, dtype, tolerance):
    x = points(grid_size, degree, dtype)
    expected = scipy_basis(x.double().numpy(), grid_size, degree)
    found = basis(x, grid_size, degree)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("grid_size", "degree"), GRIDS)
@pytest.mark.parametrize("order", range(1, 6))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_derivatives_are_scipys(grid_size, degree, order, dtype, tolerance):
    x = points(grid_size, degree, dtype)
    if order >= degree:
        # A step function: beside a knot that is no exact number, rounding decides the side.
        at_knot = torch.isclose(x[:, None], knots(grid_size, degree).to(dtype)[None]).any(1)
        x = x[~at_knot]
    expected = scipy_basis(x.double().numpy(), grid_size, degree, order=order)
    found = basis(x, grid_size, degree, order=order)
    # In intervals of the grid: per unit of x a finer grid only scales slope and rounding alike.
    interval = (2 / grid_size) ** order
    # Rounding of x counts by the next derivative, whose size doubles with the order.
    tolerance *= 2**order
    np.testing.assert_allclose(
        found.numpy() * interval, expected * interval, rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("grid_size", [1, 2, 4, 8])
@pytest.mark.parametrize("degree", range(1, 6))
def test_values_and_derivatives_at_exact_knots(grid_size, degree):
    x = knots(grid_size, degree)
    expected = scipy_basis(x.numpy(), grid_size, degree)
    np.testing.assert_allclose(basis(x, grid_size, degree).numpy(), expected, rtol=0, atol=1e-12)
    expected = scipy_basis(x.numpy(), grid_size, degree, order=1)
    np.testing.assert_allclose(
        basis(x, grid_size, degree, order=1).numpy(), expected, rtol=0, atol=1e-12
    )


@settings(max_examples=50)
@given(
    degree=st.integers(1, 5),
    grid_size=st.integers(1, 30),
    low=st.floats(-10, 10),
    length=st.floats(0.1, 10),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_grid_is_scipys_and_sums_to_one(degree, grid_size, low, length, seed):
    grid_range = (low, low + length)
    inside = np.random.default_rng(seed).uniform(low, low + length, 20)
    found = basis(torch.from_numpy(inside), grid_size, degree, grid_range).numpy()
    expected = scipy_basis(inside, grid_size, degree, grid_range)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-10)


def test_batches_and_planes_are_laid_out_feature_last():
    x = torch.rand(3, 7, 4)
    planes = basis(x, 5, 3)
    assert planes.shape == (3, 7, 8, 4)
    torch.testing.assert_close(planes[1, 2, :, 3], basis(x[1, 2, 3].reshape(1), 5, 3)[:, 0])


@pytest.mark.parametrize("degree", range(1, 6))
def test_fit_is_the_least_squares_solution_of_least_norm(degree):
    grid_size = 5
    at_points = scipy_basis(knots(grid_size, degree)[degree : -degree or None].numpy(), 5, degree)
    noise = np.random.default_rng(0).uniform(-1, 1, grid_size + 1)
    expected = np.linalg.lstsq(at_points.T, noise, rcond=None)[0]
    found = fit_matrix(grid_size, degree).numpy() @ noise
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "word"), [((5, 0), "degree"), ((5, 6), "degree"), ((0, 3), "grid_size")]
)
def test_wrong_grids_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        basis(torch.zeros(1), *arguments)


def test_wrong_range_is_refused():
    with pytest.raises(ValueError, match="low < high"):
        knots(5, 3, (1.0, -1.0))
