"""Estimates of intrinsic dimension with their intervals, and the published ones beside them."""

import numpy as np
import pandas as pd

from kancore.analysis.statistics import interval_over_seeds
from kancore.analysis.tables import INTRINSIC_DIMENSIONS
from kancore.intrinsic_dimension.search import crossing, thresholds
from kancore.intrinsic_dimension.subspaces import REFERENCE
from kancore.tables import LANDSCAPES

MEASURED = "measured"
# What the published table calls accuracies in subspaces, and the constants of the efficiency.
_CURVE, _EFFICIENCY = "curve", "efficiency"
PAPER = "paper"
# Of the manifold estimates that differ in neighbours only, the one with most stands for all.
_MLE_NEIGHBORS = 20
_UNREACHED = "not every seed reaches the threshold"


def estimate_landscapes(landscapes: pd.DataFrame) -> pd.DataFrame:
    """Estimate d_int90 of each network's loss landscape, for both thresholds.

    Parameters
    ----------
    landscapes
        Measured rows, with the columns of `kancore.tables.LANDSCAPES`.

    Returns
    -------
    DataFrame
        One row a network and threshold, with the columns of
        `kancore.analysis.tables.INTRINSIC_DIMENSIONS`: the geometric mean over seeds, with the
        interval that they give, if they do. It is null unless every seed reaches its threshold.
    """
    rows = []
    keys = ["study", "dataset", "network", "parameters"]
    for key, group in landscapes.groupby(keys, sort=False):
        by_seed = [_crossings(curve) for _, curve in group.groupby("seed")]
        for estimator in thresholds(direct=0):
            found = np.log([values.get(estimator, np.nan) for values in by_seed])
            one, seeds = np.zeros(len(found)), np.arange(len(found))
            low, high = np.exp(interval_over_seeds(found, one, seeds, np.mean))
            rows.append(
                {
                    **dict(zip(keys, key, strict=True)),
                    "estimator": estimator,
                    "dimension": np.exp(found.mean()),
                    "low": low,
                    "high": high,
                    "observations": len(found),
                    "reason": _UNREACHED if np.isnan(found).any() else None,
                    "source": MEASURED,
                }
            )
    return pd.DataFrame(rows, columns=INTRINSIC_DIMENSIONS.names)


def _crossings(curve: pd.DataFrame) -> dict[str, float]:
    """Dimension at each threshold of one seed."""
    curve = curve[~curve["diverged"]]
    accuracy = dict(zip(curve["dimension"], curve["test_accuracy"], strict=True))
    direct = curve.loc[curve["direct"], "test_accuracy"]
    aims = thresholds(direct.item() if len(direct) else None)
    return {estimator: crossing(accuracy, aim) for estimator, aim in aims.items()}


def published_estimates(published: pd.DataFrame) -> pd.DataFrame:
    """Pick the published estimates, as rows of `kancore.analysis.tables.INTRINSIC_DIMENSIONS`.

    Parameters
    ----------
    published
        The project's table of published figures: dataset, estimator, neighbors, network,
        parameters, dimension, accuracy, source.
    """
    rows = published[~published["estimator"].isin((_CURVE, _EFFICIENCY))]
    return rows.reindex(columns=INTRINSIC_DIMENSIONS.names)


def published_curves(published: pd.DataFrame) -> pd.DataFrame:
    """Pick the published accuracies in subspaces, with the columns of `kancore.tables.LANDSCAPES`.

    Parameters
    ----------
    published
        As for `published_estimates`.
    """
    rows = published[published["estimator"] == _CURVE].rename(columns={"accuracy": "test_accuracy"})
    return rows.assign(direct=False, diverged=False).reindex(columns=LANDSCAPES.names)


def paper_dimensions(published: pd.DataFrame) -> pd.Series:
    """Pick the paper's own intrinsic dimensions (section 6.1), by data set.

    Parameters
    ----------
    published
        As for `published_estimates`.
    """
    return published[published["estimator"] == _EFFICIENCY].set_index("dataset")["dimension"]


def measured_complexity(estimates: pd.DataFrame) -> pd.Series:
    """Pick the measured dimension of each data set's manifold, by TwoNN.

    It is there for every data set of a study, and does not depend on networks.

    Parameters
    ----------
    estimates
        With the columns of `kancore.analysis.tables.INTRINSIC_DIMENSIONS`.
    """
    own = estimates[(estimates["source"] == MEASURED) & (estimates["estimator"] == "two_nn")]
    return own.set_index("dataset")["dimension"].dropna().astype(float)


def dimensions_for_efficiency(
    estimates: pd.DataFrame, published: pd.DataFrame, datasets: list[str]
) -> pd.DataFrame:
    """Give the intrinsic dimension of each data set by every source that efficiency is tried with.

    Parameters
    ----------
    estimates
        With the columns of `kancore.analysis.tables.INTRINSIC_DIMENSIONS`.
    published
        As for `published_estimates`; has the paper's own constants.
    datasets
        Names of the data sets.

    Returns
    -------
    DataFrame
        Columns ``dataset``, ``source``, ``intrinsic_dimension`` (null if unknown). Sources are
        ``paper``, which takes 0 for data sets that it does not have, as it does for those that
        nobody had estimated; both thresholds in the landscape of the reference network; TwoNN;
        and the maximum-likelihood estimate.
    """
    constants = paper_dimensions(published)
    paper = pd.DataFrame(
        {
            "dataset": datasets,
            "source": PAPER,
            "intrinsic_dimension": constants.reindex(datasets).fillna(0.0).to_numpy(float),
        }
    )
    chosen = estimates[
        (estimates["source"] == MEASURED)
        & estimates["dataset"].isin(datasets)
        & (estimates["network"].isna() | (estimates["network"] == REFERENCE.name))
        & ((estimates["estimator"] != "mle") | (estimates["neighbors"] == _MLE_NEIGHBORS))
    ]
    measured = chosen[["dataset", "estimator", "dimension"]].set_axis(paper.columns, axis=1)
    return pd.concat([paper, measured], ignore_index=True)
