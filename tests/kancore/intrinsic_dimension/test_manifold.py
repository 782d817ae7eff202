from itertools import product

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from sklearn.datasets import load_digits, make_swiss_roll
from sklearn.neighbors import NearestNeighbors

from kancore.intrinsic_dimension import manifold
from kancore.intrinsic_dimension.manifold import (
    NEIGHBORS,
    estimate_dimension,
    maximum_likelihood,
    nearest_distances,
    two_nn,
)

ALL_PRECISIONS = [torch.bfloat16, torch.float32, torch.float64]


def sphere(dimension, points=2000, features=24):
    random = np.random.default_rng(dimension)
    x = random.standard_normal((points, dimension + 1))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rotation = np.linalg.qr(random.standard_normal((features, features)))[0]
    return x @ rotation[: dimension + 1]


def digits():
    return load_digits().data.astype(np.uint8)


def far_from_origin():
    return np.random.default_rng(0).standard_normal((1500, 6)) + 1e4


def tight_clusters():
    """Distances within a cluster are a millionth of those between clusters."""
    random = np.random.default_rng(1)
    centres = random.standard_normal((20, 8))
    return centres[random.integers(20, size=1000)] + 1e-6 * random.standard_normal((1000, 8))


def bytes_of_images():
    return np.random.default_rng(2).integers(0, 256, (700, 300), dtype=np.uint8)


def with_duplicates():
    x = np.random.default_rng(3).standard_normal((400, 5)).astype(np.float32)
    return np.concatenate([x, x[:100], np.repeat(x[:1], 60, axis=0)])


@pytest.mark.parametrize("precisions", [ALL_PRECISIONS, [torch.float32, torch.float64], None])
@pytest.mark.parametrize(
    "make", [digits, far_from_origin, tight_clusters, bytes_of_images, with_duplicates]
)
def test_neighbors_are_exact(make, precisions, monkeypatch):
    if precisions:
        monkeypatch.setattr(manifold, "_precisions", lambda device: precisions)
    x = make()
    found = nearest_distances(torch.from_numpy(x), 7).numpy()
    tree = cKDTree(x.astype(np.float64)).query(x.astype(np.float64), 8)[0][:, 1:]
    np.testing.assert_allclose(found, tree, rtol=1e-13, atol=0)


def test_neighbors_in_several_blocks_are_those_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(manifold, "_BLOCK_ELEMENTS", 100_000)
    x = digits()
    found = nearest_distances(torch.from_numpy(x), 20).numpy()
    search = NearestNeighbors(n_neighbors=20, algorithm="ball_tree").fit(x.astype(np.float64))
    np.testing.assert_allclose(found, search.kneighbors()[0], rtol=1e-13)


def test_only_rows_without_proof_are_searched_again(monkeypatch):
    searched = []

    def search(points, products, rows, distances, search=manifold._search):
        searched.append((products.points.dtype, len(rows)))
        return search(points, products, rows, distances)

    monkeypatch.setattr(manifold, "_search", search)
    monkeypatch.setattr(manifold, "_precisions", lambda device: ALL_PRECISIONS)
    nearest_distances(torch.from_numpy(tight_clusters()), 7)
    assert searched[0] == (torch.bfloat16, 1000)
    assert searched[-1][0] == torch.float64
    searched.clear()
    nearest_distances(torch.from_numpy(bytes_of_images()), 7)
    assert searched == [(torch.bfloat16, 700)]


def test_estimators_are_their_formulas():
    distances = np.sort(np.random.default_rng(0).uniform(1, 2, (50, 10)), axis=1)
    local = [4 / sum(np.log(row[5] / row[j]) for j in range(5)) for row in distances]
    inverse_average = 1 / np.mean([1 / value for value in local])
    assert maximum_likelihood(distances, 6) == pytest.approx(inverse_average, rel=1e-12)
    ratios = sorted(row[1] / row[0] for row in distances)[:45]
    x, y = np.log(ratios), [-np.log(1 - (i + 1) / 50) for i in range(45)]
    slope = np.linalg.lstsq(x[:, None], np.array(y), rcond=None)[0][0]
    assert two_nn(distances) == pytest.approx(slope, rel=1e-12)


@pytest.mark.parametrize("make", [lambda: sphere(2), lambda: sphere(9), digits])
def test_estimates_agree_with_scikit_dimension(make):
    skdim = pytest.importorskip("skdim")
    x = np.unique(make().astype(np.float64), axis=0)
    distances = nearest_distances(torch.from_numpy(x), 20).numpy()
    assert two_nn(distances) == pytest.approx(skdim.id.TwoNN().fit(x).dimension_, rel=1e-6)
    for k in NEIGHBORS:
        theirs = skdim.id.MLE(unbiased=True).fit(x, n_neighbors=k, comb="mle").dimension_
        assert maximum_likelihood(distances, k) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_spheres_have_their_dimension(dimension):
    by_name = {(e.estimator, e.neighbors): e for e in estimate_dimension(_tensor(dimension), 200)}
    assert list(by_name) == [("two_nn", 2), *(("mle", k) for k in NEIGHBORS)]
    assert by_name["two_nn", 2].dimension == pytest.approx(dimension, rel=0.1)
    assert by_name["mle", 20].dimension == pytest.approx(dimension, rel=0.1)
    # The average of inverses with k - 2 tends to d (k - 2) / (k - 1).
    assert by_name["mle", 3].dimension == pytest.approx(dimension / 2, rel=0.1)


def _tensor(dimension):
    return torch.from_numpy(sphere(dimension))


def test_swiss_roll_has_dimension_2():
    x = torch.from_numpy(make_swiss_roll(3000, random_state=0)[0])
    assert estimate_dimension(x, 2)[0].dimension == pytest.approx(2, abs=0.15)


def test_intervals_have_the_width_of_the_delta_method():
    x = _tensor(5)
    ours = estimate_dimension(x, 2000)[4]
    distances = nearest_distances(x, 20).numpy()
    inverses = np.log(distances[:, 19:] / distances[:, :19]).sum(axis=1) / 18
    standard_error = np.std(inverses) / np.mean(inverses) ** 2 / len(x) ** 0.5
    assert ours.low < ours.dimension < ours.high
    # The width from 2,000 resamples has a relative standard deviation of about 2%.
    assert ours.high - ours.low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert estimate_dimension(x, 2000)[4] == ours


def test_duplicates_order_and_sparsity_change_nothing():
    x = torch.from_numpy(digits())
    expected = estimate_dimension(x, 20)
    twice = torch.cat([x, x.flip(0)])
    assert estimate_dimension(twice, 20) == expected
    assert expected[0].points == len(np.unique(digits(), axis=0))
    sparse = estimate_dimension(x.float().to_sparse_csr(), 20)
    assert [e.dimension for e in sparse] == pytest.approx([e.dimension for e in expected])


def yes_no(columns, yes=1.0, no=0.0):
    """All answers to `columns` yes/no questions, each answer with numbers of its own."""
    answers = np.array(list(product((no, yes), repeat=columns)))
    return torch.from_numpy(answers)


@pytest.mark.parametrize(
    ("x", "null", "reason"),
    [
        (torch.zeros(100, 3), [2, *NEIGHBORS], "1 distinct points, expected more than k = 2"),
        (_tensor(2)[:15], [20], "15 distinct points, expected more than k = 20"),
        (torch.eye(30), [2, *NEIGHBORS], "the 2 nearest neighbours of too many of 30 points"),
        (yes_no(4), [2, 3, 20], "the 2 nearest neighbours of too many of 16 points"),
        (yes_no(10), [2, 3, 5, 10], "the 2 nearest neighbours of too many of 1024 points"),
        # Distances that are equal but for their rounding.
        (yes_no(5, 0.3, 0.1), [2, 3, 5], "the 2 nearest neighbours of too many of 32 points"),
    ],
)
def test_what_has_no_dimension_says_why(x, null, reason):
    found = estimate_dimension(x, 20)
    assert [e.neighbors for e in found if e.dimension is None] == null
    assert next(e.reason for e in found if e.reason).startswith(reason)
    for estimate in found:
        assert (estimate.dimension is None) == (estimate.reason is not None)
        assert estimate.dimension is None or 0 < estimate.dimension < 100


def test_refuses_values_that_are_not_finite():
    with pytest.raises(ValueError, match="not finite"):
        estimate_dimension(torch.full((30, 2), torch.nan))


@pytest.mark.parametrize("factor", [2.0**-120, 2.0**110])
def test_units_do_not_matter(factor):
    x = torch.from_numpy(far_from_origin()).float()
    found = nearest_distances(x * factor, 7)
    assert torch.equal(found, nearest_distances(x, 7) * factor)


def test_refuses_too_few_neighbors():
    with pytest.raises(ValueError, match="k = 2 neighbours, expected k >= 3"):
        maximum_likelihood(np.ones((3, 5)), 2)
