"""The search for the dimension at which a subspace of a loss landscape is large enough.

Li et al. (2018, arXiv:1804.08838) train in random subspaces of growing dimension d; d_int90 is the
smallest d whose accuracy reaches 90% of what the task asks for.
"""

import math
from collections.abc import Iterable, Mapping

# Fraction of the accuracy aimed at that a subspace must reach (Li et al., section 2).
FRACTION = 0.9


def thresholds(direct: float | None) -> dict[str, float]:
    """Accuracies to reach, by the name of the estimator that seeks them.

    Li et al. take 90% absolute for MNIST and 90% of the directly trained network's accuracy,
    `direct`, for CIFAR-10; the latter is missing where that network's training diverged.
    """
    relative = {} if direct is None else {"landscape_relative": FRACTION * direct}
    return {"landscape_absolute": FRACTION, **relative}


def refine(curve: Mapping[int, float], thresholds: Iterable[float]) -> tuple[int, ...]:
    """Choose the dimensions to try next, at most one a threshold.

    Parameters
    ----------
    curve
        Accuracy by dimension, of everything tried.
    thresholds
        Accuracies whose dimension is sought.

    Returns
    -------
    tuple of int
        Ascending. The middle, in the logarithm, of the two dimensions between which a threshold is
        crossed; a quarter of the lowest one where that reaches the threshold already. Nothing for
        a threshold that is not reached, or is known to the nearest whole dimension.
    """
    found = set()
    for threshold in thresholds:
        below, above = _bracket(curve, threshold)
        if above is not None:
            found.add(max(1, above // 4) if below is None else round(math.sqrt(below * above)))
    return tuple(sorted(found - set(curve)))


def crossing(curve: Mapping[int, float], threshold: float) -> float:
    """Find the dimension at which accuracy reaches a threshold, linear in the logarithm of d.

    Parameters
    ----------
    curve
        Accuracy by dimension.
    threshold
        Accuracy to reach.

    Returns
    -------
    float
        Between the smallest dimension that reaches the threshold and the next smaller one; that
        dimension itself if there is no smaller one; NaN if none reaches it.
    """
    below, above = _bracket(curve, threshold)
    if above is None:
        return math.nan
    if below is None:
        return float(above)
    share = (threshold - curve[below]) / (curve[above] - curve[below])
    return below * (above / below) ** share


def _bracket(curve: Mapping[int, float], threshold: float) -> tuple[int | None, int | None]:
    """Smallest dimension that reaches the threshold, after the next smaller one, if any."""
    below = None
    for dimension in sorted(curve):
        if curve[dimension] >= threshold:
            return below, dimension
        below = dimension
    return below, None
