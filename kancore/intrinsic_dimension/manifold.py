"""Intrinsic dimension of the manifold that data lie on, from distances to nearest neighbours.

TwoNN (Facco et al. 2017, doi:10.1038/s41598-017-11873-y) and the maximum-likelihood estimator
(Levina and Bickel 2004) with the inverses of its pointwise estimates averaged (MacKay and
Ghahramani 2005), as Pope et al. (2021, arXiv:2104.08894) use it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from kancore.analysis.statistics import resampled

NEIGHBORS = (3, 5, 10, 20)
CONFIDENCE = 0.95
# Largest ratios that TwoNN leaves out: few, far points would decide the fit (Facco et al.).
_DISCARDED = 0.1
_ROUNDING = 1e-13
# Elements of the largest intermediate tensor: a block of rows against all points.
_BLOCK_ELEMENTS = 2**25


@dataclass(frozen=True)
class Estimate:
    """An intrinsic dimension with its bootstrap interval.

    Attributes
    ----------
    estimator : str
        ``two_nn`` or ``mle``.
    neighbors : int
        Nearest neighbours of each point that it uses.
    dimension : float or None
        The estimate; ``None`` where the points have none.
    low, high : float or None
        Bounds of its percentile interval at `CONFIDENCE`; ``None`` if resamples have no estimate.
    points : int
        Distinct points that it comes from.
    reason : str or None
        Why there is no estimate.
    """

    estimator: str
    neighbors: int
    dimension: float | None
    low: float | None
    high: float | None
    points: int
    reason: str | None = None


def estimate_dimension(x: torch.Tensor, resamples: int = 1000) -> list[Estimate]:
    """Estimate the intrinsic dimension of data by TwoNN, and by MLE for each k in `NEIGHBORS`.

    Of points that are equal one is kept: a distance of zero has no logarithm, and repetition
    says nothing about the manifold. The order of the points does not matter.

    Parameters
    ----------
    x
        ``[points, features]``, dense or sparse, of any real type; the work is done on its device.
    resamples
        Bootstrap resamples of the points, each with the neighbours that it has among all points.

    Returns
    -------
    list of Estimate
        TwoNN, then MLE in order of `NEIGHBORS`. An estimate is null, with its reason, where there
        are too few distinct points, or too many have their neighbours at one distance, as the
        answers to yes/no questions have.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    points = torch.unique(x if x.layout == torch.strided else x.to_dense(), dim=0)
    found = min(max(NEIGHBORS), len(points) - 1)
    distances = nearest_distances(points, found).cpu().numpy()
    return [
        _estimate("two_nn", 2, _fit_ratios, _log_ratios, distances, resamples),
        *(
            _estimate("mle", k, _harmonic, partial(_inverse_dimensions, k=k), distances, resamples)
            for k in NEIGHBORS
        ),
    ]


def _estimate(
    name: str,
    k: int,
    estimator: Callable[[np.ndarray], float],
    statistic: Callable[[np.ndarray], np.ndarray],
    distances: np.ndarray,
    resamples: int,
) -> Estimate:
    """Estimate from the `statistic` ``[points]`` of each point's `k` nearest distances."""
    points, found = distances.shape
    if found < k:
        reason = f"{points} distinct points, expected more than k = {k}"
        return Estimate(name, k, None, None, None, points, reason)
    with np.errstate(divide="ignore", invalid="ignore"):  # of points that are equally far away
        values = statistic(distances)
        dimension = estimator(values)
        again = partial(np.apply_along_axis, estimator, -1)
        # Resamples depend on the number of points alone, and are the same for every estimator.
        low, high = resampled(values, np.zeros(points), again, resamples).interval(CONFIDENCE)
    if not np.isfinite(dimension):
        reason = f"the {k} nearest neighbours of too many of {points} points are equally far away"
        return Estimate(name, k, None, None, None, points, reason)
    if not np.isfinite([low, high]).all():
        return Estimate(name, k, dimension, None, None, points)
    return Estimate(name, k, dimension, low, high, points)


def two_nn(distances: np.ndarray) -> float:
    """TwoNN: the slope of a line through the origin (Facco et al. 2017).

    The line is fitted to ``(log mu, -log(1 - F(mu)))``, where mu is the ratio of the distances to
    the second and the first neighbour and F its empirical distribution; the tenth of the points
    with the largest mu is left out.

    Parameters
    ----------
    distances
        ``[points, >= 2]``, positive, ascending in each row.
    """
    return _fit_ratios(_log_ratios(distances))


def maximum_likelihood(distances: np.ndarray, k: int) -> float:
    """Maximum-likelihood estimate from k neighbours, inverses of pointwise estimates averaged.

    The normalisation k - 2 makes each pointwise estimate unbiased (Levina and Bickel, section 3).
    The average of inverses would need k - 1 for that: on a manifold of dimension d this estimate,
    defined as published values are, tends to ``d (k - 2) / (k - 1)``, half of d for k = 3.

    Parameters
    ----------
    distances
        ``[points, >= k]``, positive, ascending in each row.
    k
        Number of neighbours, at least 3.

    Raises
    ------
    ValueError
        If `k` is less than 3.
    """
    return _harmonic(_inverse_dimensions(distances, k))


def _logarithms(ratios: np.ndarray) -> np.ndarray:
    """Logarithms of ratios of distances; those of distances that differ by rounding are 0."""
    logarithms = np.log(ratios)
    return np.where(np.abs(logarithms) > _ROUNDING, logarithms, 0)


def _log_ratios(distances: np.ndarray) -> np.ndarray:
    return _logarithms(distances[:, 1] / distances[:, 0])


def _fit_ratios(log_ratios: np.ndarray) -> float:
    points = len(log_ratios)
    x = np.sort(log_ratios)[: int(points * (1 - _DISCARDED))]
    y = -np.log1p(-np.arange(1, len(x) + 1) / points)
    return float(x @ y / (x @ x))


def _inverse_dimensions(distances: np.ndarray, k: int) -> np.ndarray:
    if k < 3:
        raise ValueError(f"maximum likelihood from k = {k} neighbours, expected k >= 3")
    return _logarithms(distances[:, k - 1 : k] / distances[:, : k - 1]).sum(axis=1) / (k - 2)


def _harmonic(inverses: np.ndarray) -> float:
    return float(1 / inverses.mean())


def nearest_distances(points: torch.Tensor, k: int) -> torch.Tensor:
    """Exact distances from each point to its k nearest other points.

    Candidates come from matrix products in a quick precision, and only they are measured, in
    float64 and without cancellation. A bound on the error of the products proves for most points
    that no other candidate is closer; the rest are searched again in the next better precision.

    Parameters
    ----------
    points
        ``[points, features]``, dense, of any real type and on any device.
    k
        Number of neighbours. A point equal to another has it as a neighbour at distance 0.

    Returns
    -------
    torch.Tensor
        float64 ``[points, k]``, Euclidean, ascending in each row, on the device of `points`.

    Raises
    ------
    ValueError
        If a value is not finite, or there are not more than `k` points.
    """
    if len(points) <= k:
        raise ValueError(f"{len(points)} distinct points, expected more than k = {k}")
    mean = sum(block.double().sum(0) for block in points.split(4096)) / len(points)
    if not torch.isfinite(mean).all():
        raise ValueError("points have values that are not finite, expected numbers")
    # The centre of whole numbers is whole: differences up to 256 are then exact in bfloat16.
    centre = mean if points.is_floating_point() else mean.round()
    largest = max((block.double() - centre).abs().max() for block in points.split(4096))
    # A power of two, which rounds nothing: squares of what it divides fit any type.
    scale = 2.0 ** (torch.frexp(largest).exponent.item() - 1)
    distances = points.new_empty((len(points), k + 1), dtype=torch.float64)
    rows = torch.arange(len(points), device=points.device)
    for dtype in _precisions(points.device):
        rows = _search(points, _Products(points, centre, scale, dtype), rows, distances)
        if len(rows) == 0:
            break
    # Whatever lies at distance 0 first is as good as the point itself.
    return distances[:, 1:]


def _precisions(device: torch.device) -> list[torch.dtype]:
    """Types for matrix products whose rounding is known, quickest first."""
    if torch.get_float32_matmul_precision() != "highest":
        return [torch.float64]
    # On a GPU its sums may be rounded more than once; on a CPU without the instructions it crawls.
    cpu = device.type == "cpu" and torch.backends.mkldnn.is_available()
    quick = [torch.bfloat16] if cpu and torch.ops.mkldnn._is_mkldnn_bf16_supported() else []
    return [*quick, torch.float32, torch.float64]


class _Products:
    """Lower bounds on squared distances between all points, by blocks of matrix products.

    Distances are in units of `scale`. With r the relative error of the rounded points and s that of
    a product, ``2 a.b`` is wrong by at most ``slack (|a|^2 + |b|^2)``, slack = 2r + r^2 +
    s (1 + r)^2: 2|a||b| <= |a|^2 + |b|^2.
    """

    def __init__(
        self, points: torch.Tensor, centre: torch.Tensor, scale: float, dtype: torch.dtype
    ) -> None:
        self.scale, self.exact = scale, dtype == torch.float64
        wide = torch.float64 if self.exact else torch.float32
        self.points = torch.empty_like(points, dtype=dtype)
        squares, errors = [], []
        for block, rounded in zip(points.split(4096), self.points.split(4096), strict=True):
            centred = (block.double() - centre) / scale
            rounded.copy_(centred)
            squares.append(centred.square().sum(1))
            errors.append((rounded.double() - centred).square().sum(1) / squares[-1])
        # 0 / 0 is a point at the centre, which has no error.
        r = float(torch.cat(errors).nan_to_num().max()) ** 0.5
        # Sums are kept in the wide type; 4 more roundings follow them.
        s = torch.finfo(dtype).eps / 2 + (points.shape[1] + 4) * torch.finfo(wide).eps
        slack = 2 * r + r * r + s * (1 + r) ** 2
        self.shrunk = (1 - slack) * torch.cat(squares)
        self._shift = self.shrunk.to(wide)
        self.block = max(1, min(len(points), _BLOCK_ELEMENTS // len(points)))
        # Made once: fresh memory for every block would cost more than the products.
        self._product = points.new_empty((self.block, len(points)), dtype=dtype)
        self._bounds = points.new_empty((self.block, len(points)), dtype=wide)

    def lowest(self, rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Points ``[rows, count]`` of the lowest bounds, and the highest of these ``[rows]``."""
        product, bounds = self._product[: len(rows)], self._bounds[: len(rows)]
        torch.mm(-2 * self.points[rows], self.points.T, out=product)
        values, candidates = bounds.copy_(product).add_(self._shift).topk(count, largest=False)
        return candidates, values[:, -1].double() + self.shrunk[rows]


def _search(
    points: torch.Tensor, products: _Products, rows: torch.Tensor, distances: torch.Tensor
) -> torch.Tensor:
    """Fill `distances` of `rows`; return the rows that may have closer neighbours than found."""
    count = min(2 * distances.shape[1], len(points))
    uncertain = []
    for block in rows.split(products.block):
        candidates, bound = products.lowest(block, count)
        nearest = _measure(points, block, candidates)[:, : distances.shape[1]]
        distances[block] = nearest
        if count < len(points) and not products.exact:
            uncertain.append(block[(nearest[:, -1] / products.scale).square() > bound])
    return torch.cat(uncertain) if uncertain else rows[:0]


def _measure(points: torch.Tensor, rows: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Ascending float64 distances ``[rows, count]`` between `rows` and their candidates."""
    measured = [
        torch.cdist(
            points[row].double()[:, None],
            points[candidate].double(),
            compute_mode="donot_use_mm_for_euclid_dist",
        ).squeeze(1)
        for row, candidate in zip(rows.split(64), candidates.split(64), strict=True)
    ]
    return torch.cat(measured).sort(dim=1).values
