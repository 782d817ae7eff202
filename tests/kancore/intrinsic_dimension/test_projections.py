import numpy as np
import pytest
import torch
from scipy.linalg import hadamard

from kancore.intrinsic_dimension.projections import (
    DenseProjection,
    FastfoodProjection,
    SparseProjection,
    WholeSpace,
    walsh_hadamard,
)

PROJECTIONS = (DenseProjection, SparseProjection, FastfoodProjection)
SIZES = [(2, 2), (1, 40), (5, 5), (7, 1000), (64, 256), (100, 999)]


def explicit(projection, dimension):
    """The matrix P [D, d], column by column."""
    return projection.double()(torch.eye(dimension, dtype=torch.float64)).T.numpy()


@pytest.mark.parametrize("n", [1, 2, 8, 16, 32, 512, 1024])
def test_walsh_hadamard_is_the_matrix(n):
    x = torch.randn(3, 2, n, dtype=torch.float64)
    np.testing.assert_allclose(walsh_hadamard(x), x.numpy() @ hadamard(n), atol=1e-10)


def test_walsh_hadamard_refuses_other_lengths():
    with pytest.raises(ValueError, match="length 12, expected a power of 2"):
        walsh_hadamard(torch.zeros(2, 12))


@pytest.mark.parametrize(("dimension", "parameters"), SIZES)
def test_fastfood_is_its_explicit_matrix(dimension, parameters):
    projection = FastfoodProjection(dimension, parameters, seed=3).double()
    n = projection.signs.shape[1]
    h, identity = hadamard(n), np.eye(n)
    blocks = [
        h @ np.diag(g) @ identity[permutation] @ h @ np.diag(b)
        for b, permutation, g in zip(
            projection.signs.numpy(),
            projection.permutations.numpy(),
            projection.gaussian.numpy(),
            strict=True,
        )
    ]
    expected = np.concatenate(blocks)[:parameters, :dimension]
    np.testing.assert_allclose(explicit(projection, dimension), expected, atol=1e-12)
    assert set(np.unique(projection.signs)) <= {-1.0, 1.0}
    assert (projection.permutations.sort(dim=1).values == torch.arange(n)).all()


@pytest.mark.parametrize(("dimension", "parameters"), [(7, 1000), (64, 256), (128, 8192)])
@pytest.mark.parametrize("kind", [DenseProjection, SparseProjection])
def test_columns_have_norm_1(kind, dimension, parameters):
    norms = np.linalg.norm(explicit(kind(dimension, parameters, seed=0), dimension), axis=0)
    np.testing.assert_allclose(norms, 1, rtol=1e-6)


def test_columns_of_fastfood_have_norm_1():
    whole = explicit(FastfoodProjection(60, 64 * 5, seed=0), 60)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=0), 1, rtol=1e-6)
    cut = np.stack([explicit(FastfoodProjection(60, 100, seed), 60) for seed in range(50)])
    assert np.mean(np.square(cut).sum(axis=1)) == pytest.approx(1, abs=0.01)


def test_sparse_entries_are_independent_signs():
    matrix = explicit(SparseProjection(400, 2500, seed=1), 400)
    # 1,000,000 entries with probability 1 / 50; bounds are 5 standard deviations.
    assert abs((matrix != 0).mean() - 0.02) < 5 * (0.02 * 0.98 / 1e6) ** 0.5
    assert abs(np.sign(matrix).sum()) < 5 * 20_000**0.5
    assert abs(np.count_nonzero(matrix, axis=1).var() / (400 * 0.02 * 0.98) - 1) < 0.15
    assert SparseProjection(400, 2500, seed=1).matrix.values().shape == (np.count_nonzero(matrix),)


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_gaussian_like_columns_are_nearly_orthogonal(kind):
    matrix = explicit(kind(50, 10_000, seed=5), 50)
    products = matrix.T @ matrix - np.diag(np.square(matrix).sum(axis=0))
    # An inner product of two random unit vectors has standard deviation 1 / sqrt(D).
    assert np.abs(products).max() < 6 / 100


@pytest.mark.parametrize(("dimension", "parameters"), SIZES)
@pytest.mark.parametrize("kind", PROJECTIONS)
def test_adjoint_is_the_transposed_matrix(kind, dimension, parameters):
    projection = kind(dimension, parameters, seed=2)
    matrix = explicit(projection, dimension)
    z = torch.randn(4, 3, dimension, dtype=torch.float64, requires_grad=True)
    y = torch.randn(4, 3, parameters, dtype=torch.float64)
    projected = projection(z)
    (adjoint,) = torch.autograd.grad(projected, z, y)
    z, y, projected = z.detach(), y.numpy(), projected.detach().numpy()
    np.testing.assert_allclose(projected, z.numpy() @ matrix.T, atol=1e-12)
    np.testing.assert_allclose(adjoint.numpy(), y @ matrix, atol=1e-12)
    np.testing.assert_allclose(projection.adjoint(torch.from_numpy(y)), y @ matrix, atol=1e-12)
    assert (projected * y).sum() == pytest.approx((z * adjoint).sum().item(), abs=1e-9)


@pytest.mark.parametrize("kind", PROJECTIONS)
def test_depends_on_sizes_and_seed_alone(kind):
    torch.manual_seed(0)
    first = kind(9, 300, seed=7)
    torch.manual_seed(1)
    z = torch.randn(9)
    assert torch.equal(first(z), kind(9, 300, seed=7)(z))
    assert not torch.equal(first(z), kind(9, 300, seed=8)(z))
    assert first(z).shape == (300,)
    assert first(z).dtype == torch.float32


@pytest.mark.parametrize("dimension", [0, 11])
@pytest.mark.parametrize("kind", PROJECTIONS)
def test_refuses_a_subspace_larger_than_the_space(kind, dimension):
    with pytest.raises(ValueError, match=f"dimension {dimension} among 10 parameters"):
        kind(dimension, 10, seed=0)


@pytest.mark.parametrize("dimension", [10, 3000])
def test_memory_is_linear_in_parameters_or_in_entries(dimension):
    parameters = 100_000
    fastfood = FastfoodProjection(dimension, parameters, seed=0)
    assert sum(buffer.numel() for buffer in fastfood.buffers()) < 3 * (parameters + 2 * dimension)
    sparse = SparseProjection(dimension, parameters, seed=0)
    entries = dimension * parameters**0.5
    assert sparse.matrix.values().numel() == pytest.approx(entries, rel=0.1)
    assert sparse.transposed.values().numel() == sparse.matrix.values().numel()


def test_the_whole_space_is_the_identity():
    whole, z = WholeSpace(7), torch.randn(2, 7)
    assert whole.dimension == 7
    assert torch.equal(whole(z), z)
    assert torch.equal(whole.adjoint(z), z)
