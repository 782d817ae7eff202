"""The experiment on stability: what each factor changes in how KANs of all schemes train.

The paper's conclusion names residual connections, regularization and adaptive optimizers at low
rates as what may make larger KANs trainable; here they and others are measured. A *cell* is all
schemes of one data set, depth and seed; factors are compared with the baseline cell by cell.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from kancore.analysis.statistics import CELL, counted, fewest_seeds, interval_over_seeds
from kancore.analysis.tables import STABILITY
from kancore.schemes import BASELINE
from kancore.tables import KEY_NAMES

# Schemes this close to the best of a cell, as a fraction, are as good.
CLOSE = 0.02
# A scheme that stays below this share of the best one's accuracy has failed.
FAILED = 0.5
# Share of its best validation accuracy at which a run has arrived.
ARRIVED = 0.95
# What pooled rows have in place of a data set or a depth.
ALL = "all"

# A cell of the baseline or of a factor.
_OF_FACTORS = (*CELL, "protocol")


def cells(history: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Measure each cell of the baseline and of each factor.

    Parameters
    ----------
    history, runs
        Of the experiment, with the columns of `kancore.tables.HISTORY` and
        `kancore.analysis.tables.RUNS`; the factor is their `protocol`.

    Returns
    -------
    DataFrame
        A row each data set, depth, seed and protocol, with ``median`` and ``best``, test accuracies
        of the median scheme and of the one best on validation data; their difference ``spread``;
        shares of schemes ``close`` to the best, and ``failed``, which diverged or stay below half
        of it; ``gap``, the median generalization gap; ``epochs`` to 95% of its best validation
        accuracy, of the median scheme; ``outside_grid``, the mean share of inputs of layers but the
        first beyond the extended grid, and ``outside_grid_N`` of layer N alone, from 1. Runs that
        diverged count with what they had reached, with 0 if they never were evaluated.
    """
    runs = counted(runs)
    arrived = _arrivals(history)
    outside = _outside(history)
    return pd.DataFrame(
        {
            **dict(zip(_OF_FACTORS, key, strict=True)),
            **_accuracies(rows),
            "gap": rows["generalization_gap"].astype(float).median(),
            "epochs": arrived.get(key, np.nan),
            **outside.get(key, {}),
        }
        for key, rows in runs.groupby(list(_OF_FACTORS), sort=False)
    )


def _accuracies(rows: pd.DataFrame) -> dict[str, float]:
    accuracy = rows["test_accuracy"].to_numpy(float)
    score = rows["validation_accuracy"].astype(float).fillna(rows["test_accuracy"])
    best, median = float(accuracy[int(score.to_numpy().argmax())]), float(np.median(accuracy))
    failed = rows["diverged"].to_numpy(bool) | (accuracy < FAILED * best)
    return {
        "median": median,
        "best": best,
        "spread": best - median,
        "close": float((accuracy >= best - CLOSE).mean()),
        "failed": float(failed.mean()),
    }


def _arrivals(history: pd.DataFrame) -> dict[tuple, float]:
    """Epochs of the median scheme of each cell to `ARRIVED` of its own best."""
    column = "validation_accuracy"
    if history[column].isna().all():
        column = "test_accuracy"
    rows = history.dropna(subset=column)
    best = rows.groupby(list(KEY_NAMES), dropna=False)[column].transform("max")
    rows = rows[rows[column] >= ARRIVED * best]
    first = rows.groupby(list(KEY_NAMES), dropna=False)["epoch"].min().reset_index()
    return first.groupby(list(_OF_FACTORS))["epoch"].median().astype(float).to_dict()


def _outside(history: pd.DataFrame) -> dict[tuple, dict[str, float]]:
    """Mean shares of inputs beyond the grid, over schemes that did not diverge."""
    found = {}
    for key, rows in history.dropna(subset="outside_grid").groupby(list(_OF_FACTORS)):
        shares = np.stack(rows["outside_grid"].to_list()).mean(axis=0)
        found[key] = {f"outside_grid_{layer}": share for layer, share in enumerate(shares, start=1)}
        found[key]["outside_grid"] = float(shares[1:].mean())
    return found


def effects(history: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Compare the cells of each factor with those of the baseline.

    Parameters
    ----------
    history, runs
        As for `cells`.

    Returns
    -------
    DataFrame
        With the columns of `kancore.analysis.tables.STABILITY`: for each factor and measure the
        mean paired difference over all cells, over those of each data set and depth, and over all
        of a depth; with an interval over seeds, where they give one.
    """
    measured = cells(history, runs)
    columns = [name for name in measured if name not in _OF_FACTORS]
    baseline = measured[measured["protocol"] == BASELINE].set_index(list(CELL))[columns]
    study, rows = runs["study"].iloc[0], []
    for factor, own in measured.groupby("protocol", sort=False):
        values = own.set_index(list(CELL))[columns]
        common = values.index.intersection(baseline.index, sort=False)
        before, after = baseline.loc[common], values.loc[common]
        # As arrays, of which a few hundred parts are taken.
        places = [common.get_level_values(name).to_numpy() for name in ("dataset", "seed")]
        known = {
            name: [*(side[name].to_numpy(float) for side in (before, after)), *places]
            for name in columns
        }
        for (dataset, depth), chosen in _parts(common):
            for measure in columns:
                pair = [column[chosen] for column in known[measure]]
                place = {"study": study, "factor": factor, "dataset": dataset, "depth": depth}
                rows.append({**place, "measure": measure, **_effect(*pair)})
    return pd.DataFrame(rows, columns=STABILITY.names)


def _parts(index: pd.MultiIndex) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Give all cells, those of each depth, and those of each data set and depth."""
    datasets, depths = (index.get_level_values(name).to_numpy(str) for name in ("dataset", "depth"))
    yield (ALL, ALL), np.ones(len(index), dtype=bool)
    for depth in np.unique(depths):
        yield (ALL, depth), depths == depth
        for dataset in np.unique(datasets):
            yield (dataset, depth), (datasets == dataset) & (depths == depth)


def _effect(
    before: np.ndarray, after: np.ndarray, datasets: np.ndarray, seeds: np.ndarray
) -> dict[str, float | int | None]:
    """Compare a measure of cells, of which the data sets and the seeds are given."""
    known = ~np.isnan(after - before)
    names = "baseline", "value", "effect", "low", "high"
    if not known.any():
        return {**dict.fromkeys(names), "pairs": 0, "seeds": 0}
    before, after, datasets, seeds = (each[known] for each in (before, after, datasets, seeds))
    values = after - before
    low, high = interval_over_seeds(values, datasets, seeds, _mean)
    found = before.mean(), after.mean(), values.mean(), low, high
    return {
        **{name: float(value) for name, value in zip(names, found, strict=True)},
        "pairs": len(values),
        "seeds": fewest_seeds(datasets, seeds),
    }


def _mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values).mean(axis=-1)


def helpful(table: pd.DataFrame, factors: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Choose the factors that raise the median scheme for sure, best first.

    Parameters
    ----------
    table
        Effects, from `effects`.
    factors
        The settings that each factor changes, by its name; of factors that change the same one,
        the better is chosen, as of the two normalizations.

    Returns
    -------
    list of str
        Names of factors.
    """
    rows = table[(table["dataset"] == ALL) & (table["depth"] == ALL)]
    rows = rows[(rows["measure"] == "median") & rows["factor"].isin(list(factors))]
    rows = rows[rows["low"] > 0].sort_values("effect", ascending=False, kind="stable")
    chosen: list[str] = []
    taken: set[str] = set()
    for factor in rows["factor"]:
        keys = {"batch_norm" if key == "layer_norm" else key for key in factors[factor]}
        if not keys & taken:
            chosen.append(factor)
            taken |= keys
    return chosen


def recommendations(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Say of each factor whether it helps, and where that does not hold.

    Parameters
    ----------
    table
        Effects, from `effects`.

    Returns
    -------
    list of dict
        Best first, for each factor ``factor``; ``advice``: ``use``, ``avoid``, ``no difference``
        where the interval of the median scheme's effect holds zero, or ``unknown`` where there is
        none; and ``except``, places, (data set, depth), with an effect of the other sign.
    """
    rows = table[(table["measure"] == "median") & ~table["factor"].isin([BASELINE])]
    rows = rows.dropna(subset="effect")
    pooled = rows[(rows["dataset"] == ALL) & (rows["depth"] == ALL)]
    found = []
    for row in pooled.sort_values("effect", ascending=False, kind="stable").itertuples():
        if pd.isna(row.low):
            advice = "unknown"
        else:
            advice = "use" if row.low > 0 else "avoid" if row.high < 0 else "no difference"
        own = rows[(rows["factor"] == row.factor) & (rows["dataset"] != ALL)]
        other = own[own["effect"] * row.effect < 0]
        found.append(
            {
                "factor": row.factor,
                "advice": advice,
                "except": list(zip(other["dataset"], other["depth"], strict=True)),
            }
        )
    return found


def costs(timings: pd.DataFrame) -> pd.Series:
    """Training time of each factor over that of the baseline: geometric means over sweeps.

    Parameters
    ----------
    timings
        Of the experiment, with the columns of `kancore.tables.TIMINGS`.
    """
    rows = timings.assign(step=timings["training_seconds"] / timings["steps"])
    wide = rows.pivot_table(index=list(CELL), columns="protocol", values="step")
    return np.exp(np.log(wide.div(wide[BASELINE], axis=0)).mean())
