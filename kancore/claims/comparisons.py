"""Paired comparisons between runs: what the tests of the claims are made of.

Each function takes `Evidence` and gives differences: a table with the columns of `PAIR`, one row a
pair, none where the evidence lacks what is compared. Published figures are those of seed 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from kancore.efficiency import efficiency
from kancore.statistics import SCHEME, SETTING, best_schemes, main_grid
from kancore.tables import RUNS

# What two runs of a pair have in common unless they differ in it.
CELL = ("dataset", "depth", "seed")
PAIR = ("dataset", "seed", "difference")
_NONE = pd.DataFrame(
    {name: pd.Series(dtype=dtype) for name, dtype in zip(PAIR, (str, int, float), strict=True)}
)


@dataclass(frozen=True)
class Evidence:
    """Runs to compare.

    Attributes
    ----------
    runs : DataFrame
        Runs of the grid, or whatever of their columns is known.
    best : DataFrame
        Of these the runs of the best scheme of each architecture, with ``median``, the median test
        accuracy over schemes.
    follow_ups : DataFrame
        Runs of the follow-up experiments.
    """

    runs: pd.DataFrame
    best: pd.DataFrame
    follow_ups: pd.DataFrame


def measured(runs: pd.DataFrame, follow_ups: pd.DataFrame, dimensions: pd.Series) -> Evidence:
    """Evidence of a study.

    The best scheme is chosen on validation data, one for all seeds of a setting. Runs that diverged
    count with what they had reached before; runs that were never evaluated are left out.

    Parameters
    ----------
    runs, follow_ups
        Runs of the grid and of the follow-ups, with the columns of `kancore.tables.RUNS`.
    dimensions
        Intrinsic dimension by data set, for efficiencies; 0 is taken for a data set without one.
    """
    runs = main_grid(runs.dropna(subset="test_accuracy"))
    chosen = best_schemes(runs).dropna(subset="test_accuracy")[[*SETTING, *SCHEME]]
    seeds = runs.groupby([*SETTING, "seed"], dropna=False)["test_accuracy"]
    medians = seeds.median().rename("median").reset_index()
    best = runs.merge(chosen).merge(medians)
    return Evidence(
        _with_efficiency(runs, dimensions), best, follow_ups.dropna(subset="test_accuracy")
    )


def published(figures: pd.DataFrame) -> Evidence:
    """Evidence of the published runs, as far as the paper's own figures give it.

    Parameters
    ----------
    figures
        One row a published architecture: dataset, objective, model, depth, best and median test
        accuracy, gap, source.
    """
    figures = figures[figures["source"] == "published runs"]
    figures = figures.rename(columns={"best": "test_accuracy", "gap": "generalization_gap"})
    return Evidence(figures, figures, pd.DataFrame(columns=RUNS.names))


def _with_efficiency(runs: pd.DataFrame, dimensions: pd.Series) -> pd.DataFrame:
    """Add the logarithm of the efficiency, null where the formula has no value."""
    dimension = runs["dataset"].map(dimensions).astype(float).fillna(0)
    accuracy, epochs, parameters = (
        runs[name].to_numpy(float, na_value=np.nan)
        for name in ("test_accuracy", "best_epoch", "parameters")
    )
    dimension = dimension.where(dimension < parameters).to_numpy(float)
    with np.errstate(divide="ignore"):  # an accuracy of 0
        values = np.log(efficiency(accuracy, epochs, parameters, dimension))
    return runs.assign(log_efficiency=np.where(np.isfinite(values), values, np.nan))


def backprop(table: pd.DataFrame) -> pd.DataFrame:
    """Rows under backpropagation."""
    return table[table["objective"] == "backprop"]


def kans(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of KANs under backpropagation."""
    return backprop(table)[lambda rows: rows["model"] == "kan"]


def paired(
    table: pd.DataFrame, across: str, first: object, second: object, value: str, by: tuple[str, ...]
) -> pd.DataFrame:
    """Differences of `value` between rows that have `first` and `second` in column `across`.

    Pairs agree in the columns `by`, of which the published figures lack some.
    """
    if value not in table:
        return _NONE
    rows = table[table[across].isin([first, second])]
    wide = rows.pivot(index=[name for name in by if name in table], columns=across, values=value)
    if not {first, second} <= set(wide):
        return _NONE
    return _listed(wide[first] - wide[second])


def _listed(differences: pd.Series) -> pd.DataFrame:
    """Differences with their data sets in the index, as a table; pairs with a null are no pairs."""
    pairs = differences.dropna().astype(float).rename("difference").reset_index()
    return (pairs if "seed" in pairs else pairs.assign(seed=0))[[*PAIR]]


def next_depth(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Differences of `value` that one more layer makes to a run with the same scheme and seed."""
    if value not in table:
        return _NONE
    index = [name for name in (*CELL, *SCHEME) if name in table and name != "depth"]
    layers = table["depth"].str.removesuffix("layers").astype(int)
    wide = table.assign(layers=layers).pivot(index=index, columns="layers", values=value)
    steps = [_listed(wide[b] - wide[a]) for a, b in pairwise(sorted(wide)) if b == a + 1]
    return pd.concat(steps) if steps else _NONE


def spread(table: pd.DataFrame) -> pd.DataFrame:
    """Add to rows of `Evidence.best` how far the median scheme falls behind the best one."""
    return table.assign(spread=table["test_accuracy"] - table["median"])


def best_rival(table: pd.DataFrame, axis: str, claimed: dict[str, Callable]) -> pd.DataFrame:
    """Differences between the claimed value of one part of the scheme and its best rival.

    Parameters
    ----------
    table
        Runs.
    axis
        The part of the scheme that varies; the others have their claimed values.
    claimed
        For each part of the scheme, which values of the column are claimed to be best.

    Returns
    -------
    DataFrame
        A pair for each data set, depth and seed. Both sides are chosen on validation data, from
        the claimed values and from the others.
    """
    if not set(claimed) <= set(table):
        return _NONE
    for other, holds in claimed.items():
        if other != axis:
            table = table[holds(table[other])]
    score = table["validation_accuracy"].fillna(table["test_accuracy"])
    table = table.assign(claimed=claimed[axis](table[axis]), score=score)
    chosen = table.sort_values("score", ascending=False, kind="stable")
    chosen = chosen.drop_duplicates([*CELL, "claimed"])
    return paired(chosen, "claimed", True, False, "test_accuracy", CELL)


def same_order(best: pd.DataFrame) -> pd.DataFrame:
    """For each two architectures, 1 if both objectives put the same one first, and -1 if not."""
    index = [name for name in ("dataset", "seed") if name in best]
    pairs = []
    for key, rows in best.groupby(index):
        wide = rows.pivot(index=["model", "depth"], columns="objective", values="test_accuracy")
        if {"backprop", "hsic"} <= set(wide):
            both = wide[["backprop", "hsic"]].dropna().to_numpy(float)
            signs = [np.sign(a - b) for a, b in combinations(both, 2)]
            pairs += [dict(zip(index, key, strict=True), difference=x * y) for x, y in signs]
    return _listed(pd.DataFrame(pairs).set_index(index)["difference"]) if pairs else _NONE


def activations(evidence: Evidence, first: str, second: str) -> pd.DataFrame:
    """Differences in test accuracy between two base activations of KANs."""
    rows = evidence.follow_ups[evidence.follow_ups["experiment"] == "activation"]
    return paired(rows, "activation", first, second, "test_accuracy", CELL)


def narrow_for_wide(evidence: Evidence) -> pd.DataFrame:
    """Differences between half the width with a higher degree, and a width with its degree.

    The higher degree is the best on validation data; widths are those of one hidden layer.
    """
    rows = _width_degree(evidence)
    rows = rows[rows["layers"] == 1]
    score = rows["validation_accuracy"].fillna(rows["test_accuracy"])
    rows = rows.assign(score=score)
    pairs = []
    for row in rows.itertuples():
        same = (rows["dataset"] == row.dataset) & (rows["seed"] == row.seed)
        rivals = rows[same & (2 * rows["width"] == row.width) & (rows["degree"] > row.degree)]
        if len(rivals):
            rival = rivals.loc[rivals["score"].idxmax()]
            difference = rival["test_accuracy"] - row.test_accuracy
            pairs.append((row.dataset, row.seed, difference))
    return pd.DataFrame(pairs, columns=PAIR) if pairs else _NONE


def layer_against_degree(evidence: Evidence) -> pd.DataFrame:
    """Gain of one more layer less that of one more degree, in accuracy for each parameter.

    Both start from the same network of one hidden layer; the layer has the width and the degree of
    the one before it.
    """
    rows = _width_degree(evidence).set_index(["dataset", "seed", "layers", "width", "degree"])
    rows = rows[["test_accuracy", "parameters"]].astype(float)
    pairs = []
    for dataset, seed, layers, width, degree in rows.index:
        start, deeper = (dataset, seed, 1, width, degree), (dataset, seed, 2, width, degree)
        higher = [d for d in rows.index.unique("degree") if d > degree]
        if layers == 1 and deeper in rows.index and higher:
            raised = (dataset, seed, 1, width, min(higher))
            if raised in rows.index:
                gains = [rows.loc[end] - rows.loc[start] for end in (deeper, raised)]
                layer, step = (gain["test_accuracy"] / gain["parameters"] for gain in gains)
                pairs.append((dataset, seed, layer - step))
    return pd.DataFrame(pairs, columns=PAIR) if pairs else _NONE


def _width_degree(evidence: Evidence) -> pd.DataFrame:
    rows = evidence.follow_ups[evidence.follow_ups["experiment"] == "width_degree"]
    widths = rows["hidden_widths"].str.split("x")
    return rows.assign(width=widths.str[0].astype(int), layers=widths.str.len())
