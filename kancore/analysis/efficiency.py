"""Efficiency of a run: accuracy for the epochs and parameters spent (paper, section 6.1)."""

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from kancore.analysis.statistics import SCHEME, SETTING, best_schemes, counted, main_grid
from kancore.analysis.tables import EFFICIENCY, EFFICIENCY_RANKS
from kancore.tables import KEY_NAMES


def efficiency(
    accuracy: ArrayLike,
    epochs: ArrayLike,
    parameters: ArrayLike,
    intrinsic_dimension: ArrayLike,
) -> np.ndarray:
    """Efficiency ``a / (e ln(1 + n - d))`` of runs.

    The formula is in section 6.1 of the paper, in the form that reproduces the published runs.

    Parameters
    ----------
    accuracy
        Best test accuracy, a fraction in [0, 1]; NaN for a run that diverged.
    epochs
        Epochs to reach it, counted from 1; may be NaN for a run that diverged.
    parameters
        Number of trainable parameters of the network.
    intrinsic_dimension
        Intrinsic dimension of the data set, less than `parameters`; NaN where it is unknown.

    Returns
    -------
    ndarray
        float64, in 1 / epochs, of the shape that the arguments broadcast to; NaN where any of
        them is NaN.

    Raises
    ------
    ValueError
        If an accuracy is outside [0, 1], an epoch is before 1, or there are no more parameters
        than intrinsic dimensions.
    """
    a, e, n, d = np.broadcast_arrays(
        *(
            np.asarray(values, dtype=np.float64)
            for values in (accuracy, epochs, parameters, intrinsic_dimension)
        )
    )
    # Each comparison is false for NaN, which so passes through.
    _refuse((a < 0) | (a > 1), "accuracy in [0, 1]", accuracy=a)
    _refuse(e < 1, "epochs >= 1", epochs=e)
    _refuse(n <= d, "parameters > intrinsic dimension", parameters=n, intrinsic_dimension=d)
    return a / (e * np.log1p(n - d))


def efficiency_by_source(runs: pd.DataFrame, dimensions: pd.DataFrame) -> pd.DataFrame:
    """Compute the efficiency of every run under every source of its data set's dimension.

    Parameters
    ----------
    runs
        Runs, with the columns of `kancore.analysis.tables.RUNS`.
    dimensions
        Columns ``dataset``, ``source``, ``intrinsic_dimension``.

    Returns
    -------
    DataFrame
        One row a run and source, with the columns of `kancore.analysis.tables.EFFICIENCY`.
        Efficiencies are null where the dimension is unknown, or there are no more parameters than
        dimensions; the latter is told by ``undefined``. Of runs that diverged ``efficiency`` is as
        `kancore.analysis.statistics.counted` has them: 0 where they were never evaluated, and else
        for all epochs; ``efficiency_on_test`` is as published, and null where they were never
        evaluated.
    """
    table = runs.merge(dimensions, on="dataset")
    undefined = table["parameters"].astype(float) <= table["intrinsic_dimension"]
    known = table["intrinsic_dimension"].mask(undefined)
    table = table.assign(undefined=undefined)
    for name, rows, accuracy, epoch in (
        ("efficiency", counted(table), "test_accuracy", "best_epoch"),
        ("efficiency_on_test", table, "best_test_accuracy", "best_test_epoch"),
    ):
        accuracies, epochs, parameters = (
            rows[column].astype(float) for column in (accuracy, epoch, "parameters")
        )
        table[name] = efficiency(accuracies, epochs, parameters, known)
    return table.sort_values(["source", *KEY_NAMES], ignore_index=True)[EFFICIENCY.names]


def best_scheme_efficiency(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Tell how efficient the best scheme of each architecture is.

    Parameters
    ----------
    table
        With the columns of `kancore.analysis.tables.EFFICIENCY`.
    source
        The source of the intrinsic dimension that ``efficiency`` is under.

    Returns
    -------
    DataFrame
        The rows of `kancore.analysis.statistics.best_schemes` of the main grid, with the efficiency
        of the best scheme, averaged over seeds, under that source (``efficiency``), and the least
        and greatest of a seed: ``efficiency_low``, ``efficiency_high``, and those of the
        generalization gap, ``gap_low``, ``gap_high``.
    """
    own = main_grid(table)
    own = own[own["source"] == source]
    schemes = [*SETTING, *SCHEME]
    over_seeds = own.groupby(schemes, dropna=False, as_index=False).agg(
        efficiency=("efficiency", "mean"),
        efficiency_low=("efficiency", "min"),
        efficiency_high=("efficiency", "max"),
        gap_low=("generalization_gap", "min"),
        gap_high=("generalization_gap", "max"),
    )
    return best_schemes(own).merge(over_seeds, on=schemes, how="left")


def rank_correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Compare how different sources of the dimension rank the runs of each data set.

    Parameters
    ----------
    table
        With the columns of `kancore.analysis.tables.EFFICIENCY`.

    Returns
    -------
    DataFrame
        One row a data set and ordered pair of sources, with the columns of
        `kancore.analysis.tables.EFFICIENCY_RANKS`. Spearman's correlation is null for fewer than
        two runs, or where all efficiencies of a source are equal.
    """
    rows = []
    for (study, dataset), group in table.groupby(["study", "dataset"]):
        by_run = group.assign(run=group.groupby("source").cumcount())
        wide = by_run.pivot(index="run", columns="source", values="efficiency")
        correlations = wide.corr(method="spearman")
        for source, other in product(wide, repeat=2):
            own = group[group["source"] == source]
            rows.append(
                {
                    "study": study,
                    "dataset": dataset,
                    "source": source,
                    "intrinsic_dimension": own["intrinsic_dimension"].iloc[0],
                    "runs": len(own),
                    "undefined": own["undefined"].sum(),
                    "other": other,
                    "spearman": correlations.loc[source, other],
                    "compared": wide[[source, other]].notna().all(axis=1).sum(),
                }
            )
    return pd.DataFrame(rows, columns=EFFICIENCY_RANKS.names)


def _refuse(bad: np.ndarray, expected: str, **values: np.ndarray) -> None:
    """Raise ValueError with the distinct `values` where `bad`, at most five of them."""
    if bad.any():
        found = np.unique(np.stack([value[bad] for value in values.values()], axis=-1), axis=0)
        rows = [
            ", ".join(f"{name} {value:.15g}" for name, value in zip(values, row, strict=True))
            for row in found[:5]
        ]
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise ValueError(f"expected {expected}, found {'; '.join(rows)}{more}")
