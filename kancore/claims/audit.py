"""The audit: what each departure of the published code changes, in runs and in verdicts."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from kancore.analysis.statistics import CELL, SCHEME, interquartile_mean, interval_over_seeds
from kancore.analysis.tables import AUDIT
from kancore.claims.comparisons import Evidence, measured
from kancore.claims.verdicts import judge
from kancore.schemes import Sweep
from kancore.studies.protocols import CLEAN
from kancore.tables import sweep_key

# What is compared: the runs of an `Evidence`, their column, and what pairs agree in.
MEASURES: dict[str, tuple[Callable[[Evidence], pd.DataFrame], str, tuple[str, ...]]] = {
    "best_accuracy": (lambda evidence: evidence.best, "test_accuracy", CELL),
    "test_accuracy": (lambda evidence: evidence.runs, "test_accuracy", (*CELL, *SCHEME)),
    "gap": (lambda evidence: evidence.runs, "generalization_gap", (*CELL, *SCHEME)),
    "log_efficiency": (lambda evidence: evidence.runs, "log_efficiency", (*CELL, *SCHEME)),
}


def by_protocol(
    runs: pd.DataFrame, plan: Iterable[tuple[str, str, Sweep]]
) -> dict[str, pd.DataFrame]:
    """Give each protocol its runs, those that it shares with another among them.

    Parameters
    ----------
    runs
        Runs of the audit, with the columns of `kancore.analysis.tables.RUNS`.
    plan
        Each protocol with each of its sweeps, and the protocol under which that was trained, from
        `kancore.studies.changes.audit_plan`.

    Returns
    -------
    dict
        Runs by protocol, in the order of the plan.
    """
    sweeps = pd.DataFrame(
        {"under": under, "protocol": protocol, **sweep_key(sweep)}
        for under, protocol, sweep in plan
    ).astype(runs.dtypes[["degree", "grid_size"]])
    key = [name for name in sweeps if name != "under"]
    return {
        name: runs.merge(own[key].drop_duplicates(), on=key)
        for name, own in sweeps.groupby("under", sort=False)
    }


def evidence(runs: dict[str, pd.DataFrame], dimensions: pd.Series) -> dict[str, Evidence]:
    """Give what the runs of each protocol say.

    Parameters
    ----------
    runs
        Runs by protocol, from `by_protocol`.
    dimensions
        Intrinsic dimension by data set, for efficiencies.
    """
    follow_ups = next(iter(runs.values())).iloc[:0]  # an audit has none
    return {name: measured(own, follow_ups, dimensions) for name, own in runs.items()}


def effects(runs: dict[str, pd.DataFrame], found: dict[str, Evidence]) -> pd.DataFrame:
    """Compare the runs of each protocol with those of the clean one.

    Parameters
    ----------
    runs
        Runs by protocol, from `by_protocol`; two that never were evaluated are no pair.
    found
        The evidence of each protocol, from `evidence`.

    Returns
    -------
    DataFrame
        With the columns of `kancore.analysis.tables.AUDIT`: for each data set, protocol, model and
        measure the interquartile mean of the paired differences, with an interval over seeds, where
        they give one. Pairs are of the same depth and seed, and but for ``best_accuracy``, whose
        scheme each protocol chooses, of the same scheme.
    """

    @cache  # those of the clean protocol are compared with each other one
    def values(protocol: str, dataset: str, model: str, measure: str) -> pd.DataFrame:
        table, column, by = MEASURES[measure]
        return _values(table(found[protocol]), dataset, model, column, by)

    rows = []
    for name, trained in runs.items():
        if name == CLEAN:
            continue
        cells = trained[["dataset", "model"]].drop_duplicates()
        for dataset, model in cells.itertuples(index=False):
            own = trained[(trained["dataset"] == dataset) & (trained["model"] == model)]
            common = {
                "study": own["study"].iloc[0],
                "dataset": dataset,
                "protocol": name,
                "model": model,
                "trained": bool((own["protocol"] == name).any()),
            }
            for measure in MEASURES:
                pairs = [values(protocol, dataset, model, measure) for protocol in (CLEAN, name)]
                rows.append({**common, "measure": measure, **_effect(*pairs)})
    return pd.DataFrame(rows, columns=AUDIT.names)


def _values(
    table: pd.DataFrame, dataset: str, model: str, column: str, by: Sequence[str]
) -> pd.DataFrame:
    """Values of a column and whether a run failed, by what pairs agree in."""
    rows = table[(table["dataset"] == dataset) & (table["model"] == model)]
    rows = rows.set_index(["objective", *by])
    return rows[column].astype(float).to_frame("value").assign(failed=rows["failed"])


def _effect(clean: pd.DataFrame, other: pd.DataFrame) -> dict[str, float | int]:
    failed = clean["failed"] & other["failed"]
    differences = (other["value"] - clean["value"]).mask(failed.astype(bool)).dropna()
    if differences.empty:
        return {**dict.fromkeys(("clean", "effect", "low", "high"), np.nan), "pairs": 0}
    values = differences.to_numpy()
    seeds = differences.index.get_level_values("seed").to_numpy()
    # Depths have a split in common, so a seed is one observation of all of them.
    low, high = interval_over_seeds(values, np.zeros(len(values)), seeds, interquartile_mean)
    return {
        "clean": float(interquartile_mean(clean["value"].loc[differences.index].to_numpy())),
        "effect": float(interquartile_mean(values)),
        "low": low,
        "high": high,
        "pairs": len(values),
    }


def verdicts(
    found: dict[str, Evidence], published: pd.DataFrame
) -> dict[str, list[dict[str, Any]]]:
    """Test the claims on the evidence of each protocol; see `kancore.claims.verdicts.judge`."""
    return {name: judge(own, published) for name, own in found.items()}
