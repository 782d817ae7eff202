"""Paired comparisons between runs: what the tests of the claims are made of.

Each function takes `Evidence` and gives differences: a table with the columns of `PAIR`, one row a
pair, none where the evidence lacks what is compared. Published figures are those of seed 0.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from kancore.analysis.efficiency import efficiency
from kancore.analysis.statistics import SCHEME, SETTING, best_schemes, counted, main_grid
from kancore.analysis.tables import RUNS

# What two runs of a pair have in common unless they differ in it.
CELL = ("dataset", "depth", "seed")
PAIR = ("dataset", "seed", "difference")
_NONE = pd.DataFrame(
    {name: pd.Series(dtype=dtype) for name, dtype in zip(PAIR, (str, int, float), strict=True)}
)
# The logarithm of an efficiency takes an accuracy of at least this: that of a run that failed is 0.
LEAST_ACCURACY = 0.01
# What two times have in common to be compared.
_MACHINE = ("machine", "threads")


# Gives the differences between pairs, with the columns `PAIR`.
Comparison = Callable[["Evidence"], pd.DataFrame]


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
    times : DataFrame
        One row an architecture and seed, with the logarithm of the seconds that one network's epoch
        took in optimizer steps (``log_seconds``) and where (``device``).
    complexity : Series
        Measured intrinsic dimension by data set.
    """

    runs: pd.DataFrame
    best: pd.DataFrame
    follow_ups: pd.DataFrame
    times: pd.DataFrame = field(default_factory=pd.DataFrame)
    complexity: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))
    _pairs: dict[Comparison, pd.DataFrame] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _under: dict[str, "Evidence"] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def pairs(self, compare: Comparison) -> pd.DataFrame:
        """Differences between pairs that a comparison gives, which is made once."""
        if compare not in self._pairs:
            self._pairs[compare] = compare(self)
        return self._pairs[compare]


def measured(
    runs: pd.DataFrame,
    follow_ups: pd.DataFrame,
    dimensions: pd.Series,
    timings: pd.DataFrame | None = None,
    complexity: pd.Series | None = None,
) -> Evidence:
    """Evidence of a study.

    The best scheme is chosen on validation data, one for all seeds of a setting; it is one of which
    a run diverged only where each scheme has such a run. Runs that diverged count as
    `kancore.analysis.statistics.counted` has them.

    Parameters
    ----------
    runs, follow_ups
        Runs of the grid and of the follow-ups, with the columns of `kancore.analysis.tables.RUNS`.
    dimensions
        Intrinsic dimension by data set, for efficiencies; 0 is taken for a data set without one.
    timings
        Sweeps of the grid, with the columns of `kancore.tables.TIMINGS`.
    complexity
        Measured intrinsic dimension by data set.
    """
    runs = main_grid(runs)
    chosen = best_schemes(runs).dropna(subset="optimizer")
    whatever = best_schemes(runs.assign(diverged=False))
    chosen = pd.concat([chosen, whatever])[[*SETTING, *SCHEME]].drop_duplicates(list(SETTING))
    runs = counted(runs)
    seeds = runs.groupby([*SETTING, "seed"], dropna=False)["test_accuracy"]
    medians = seeds.median().rename("median").reset_index()
    best = runs.merge(chosen).merge(medians)
    return Evidence(
        _with_efficiency(runs, dimensions),
        best,
        counted(follow_ups),
        pd.DataFrame() if timings is None else _times(main_grid(timings)),
        pd.Series(dtype=float) if complexity is None else complexity,
    )


def published(figures: pd.DataFrame) -> Evidence:
    """Evidence of the published runs, as far as the paper's own figures give it.

    Parameters
    ----------
    figures
        One row a published architecture: dataset, objective, model, depth, best and median test
        accuracy, gap, seconds of an epoch, source.
    """
    figures = figures[figures["source"] == "published runs"]
    figures = figures.rename(columns={"best": "test_accuracy", "gap": "generalization_gap"})
    times = pd.DataFrame()
    if "seconds_per_epoch" in figures:
        log_seconds = np.log(figures["seconds_per_epoch"].astype(float))
        where = {"device": "as published", "machine": "as published", "threads": 1}
        times = figures.assign(seed=0, **where, log_seconds=log_seconds)
    return Evidence(figures, figures, pd.DataFrame(columns=[*RUNS.names, "failed"]), times)


def select(evidence: Evidence, keep: Callable[[pd.DataFrame], pd.Series]) -> Evidence:
    """Keep the rows of each table for which `keep` says so."""

    def of(table: pd.DataFrame) -> pd.DataFrame:
        return table[keep(table)] if len(table) else table

    tables = ("runs", "best", "follow_ups", "times")
    return replace(evidence, **{name: of(getattr(evidence, name)) for name in tables})


def under(evidence: Evidence, objective: str) -> Evidence:
    """Put one objective in the place of backpropagation, which is what comparisons are of."""
    if objective not in evidence._under:
        own = select(evidence, lambda table: table["objective"] == objective)
        tables = ("runs", "best", "follow_ups", "times")
        named = {name: getattr(own, name).assign(objective="backprop") for name in tables}
        evidence._under[objective] = replace(own, **named)
    return evidence._under[objective]


def _with_efficiency(runs: pd.DataFrame, dimensions: pd.Series) -> pd.DataFrame:
    """Add logarithms: of the best epoch, and of the efficiency on test and on validation data.

    They are null where there are no more parameters than dimensions.
    """
    dimension = runs["dataset"].map(dimensions).astype(float).fillna(0)
    epochs, parameters = (
        runs[name].to_numpy(float, na_value=np.nan) for name in ("best_epoch", "parameters")
    )
    dimension = dimension.where(dimension < parameters).to_numpy(float)
    score = runs["validation_accuracy"].fillna(runs["test_accuracy"])
    logarithms = (
        np.log(efficiency(accuracy.clip(lower=LEAST_ACCURACY), epochs, parameters, dimension))
        for accuracy in (runs["test_accuracy"].astype(float), score.astype(float))
    )
    names = ("log_efficiency", "efficiency_score")
    return runs.assign(log_best_epoch=np.log(epochs), **dict(zip(names, logarithms, strict=True)))


def _times(timings: pd.DataFrame) -> pd.DataFrame:
    """Seconds of an epoch of one network of each architecture, all its sweeps together."""
    # Models on one machine may run by different kernels, which its name holds.
    machine = timings["device"].astype(str).str.replace(", kernels: .*", "", regex=True)
    epochs = timings["epochs"] * timings["schemes"]
    key = ["dataset", "objective", "model", "depth", "seed", "device", *_MACHINE]
    spent = timings.assign(epochs=epochs, machine=machine).groupby(key)
    times = spent.agg(
        seconds=("training_seconds", "sum"),
        epochs=("epochs", "sum"),
        parameters=("parameters", "first"),
    ).reset_index()
    times = times[(times["seconds"] > 0) & (times["epochs"] > 0)]
    return times.assign(log_seconds=np.log((times["seconds"] / times["epochs"]).astype(float)))


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
    index = [name for name in by if name in table]
    rows = _narrow(table, index, across, value)
    rows = rows[rows[across].isin([first, second])]
    if rows.empty:
        return _NONE
    return _between(rows.set_index([*index, across]), across, first, second, value)


def _narrow(table: pd.DataFrame, index: list[str], across: str, value: str) -> pd.DataFrame:
    """Keep the columns that differences need; others would be copied at each step."""
    return table[[*index, across, value, *(["failed"] if "failed" in table else [])]]


def _between(
    rows: pd.DataFrame, across: str, first: object, second: object, value: str
) -> pd.DataFrame:
    """Differences between two values of a level of the index; two runs that failed are no pair."""
    wide = rows[value].unstack(across)
    if not {first, second} <= set(wide):
        return _NONE
    difference = wide[first] - wide[second]
    if "failed" in rows:
        failed = rows["failed"].unstack(across)
        difference = difference.mask(failed[first].eq(True) & failed[second].eq(True))
    return _listed(difference)


def _listed(differences: pd.Series) -> pd.DataFrame:
    """Differences with their data sets in the index, as a table; pairs with a null are no pairs."""
    pairs = differences.dropna().astype(float).rename("difference").reset_index()
    return (pairs if "seed" in pairs else pairs.assign(seed=0))[[*PAIR]]


def next_depth(table: pd.DataFrame, value: str, by: tuple[str, ...]) -> pd.DataFrame:
    """Differences of `value` that one more layer makes; pairs agree in the columns `by`."""
    if value not in table:
        return _NONE
    layers = table["depth"].str.removesuffix("layers").astype(int)
    index = [name for name in by if name in table and name != "depth"]
    rows = _narrow(table.assign(layers=layers), index, "layers", value)
    rows = rows.set_index([*index, "layers"])
    steps = [
        _between(rows, "layers", b, a, value)
        for a, b in pairwise(sorted(set(layers)))
        if b == a + 1
    ]
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
            # Of two that are right on no example neither is first: they have failed.
            known = [(a, b) for a, b in combinations(both, 2) if (a + b).all()]
            signs = [np.sign(a - b) for a, b in known]
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
    pairs = []
    for row in rows.itertuples():
        same = (rows["dataset"] == row.dataset) & (rows["seed"] == row.seed)
        rivals = rows[same & (2 * rows["width"] == row.width) & (rows["degree"] > row.degree)]
        if len(rivals) and not (row.failed and rivals["failed"].all()):
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
    failed = rows["failed"].to_dict()
    rows = rows[["test_accuracy", "parameters"]].astype(float)
    pairs = []
    for dataset, seed, layers, width, degree in rows.index:
        start, deeper = (dataset, seed, 1, width, degree), (dataset, seed, 2, width, degree)
        higher = [d for d in rows.index.unique("degree") if d > degree]
        if layers == 1 and deeper in rows.index and higher:
            raised = (dataset, seed, 1, width, min(higher))
            if raised in rows.index and not all(failed[key] for key in (start, deeper, raised)):
                gains = [rows.loc[end] - rows.loc[start] for end in (deeper, raised)]
                layer, step = (gain["test_accuracy"] / gain["parameters"] for gain in gains)
                pairs.append((dataset, seed, layer - step))
    return pd.DataFrame(pairs, columns=PAIR) if pairs else _NONE


def middle_degree(evidence: Evidence, end: Callable) -> pd.DataFrame:
    """Differences between the best degree in the middle and that at one end.

    Parameters
    ----------
    evidence
        What is known.
    end
        `min` or `max`: which end of the range of degrees.

    Returns
    -------
    DataFrame
        A pair for each data set, seed and widths that have three degrees or more; which of those
        in the middle is best, validation data say.
    """
    pairs = []
    groups = _width_degree(evidence).groupby(["dataset", "seed", "hidden_widths"])
    for (dataset, seed, _), rows in groups:
        at = rows.set_index("degree")
        ends = {at.index.min(), at.index.max()}
        middle = at[~at.index.isin(ends)]
        if len(middle) and not at["failed"].all():
            best = middle["test_accuracy"].loc[middle["score"].idxmax()]
            pairs.append((dataset, seed, best - at["test_accuracy"].loc[end(ends)]))
    return pd.DataFrame(pairs, columns=PAIR) if pairs else _NONE


def _width_degree(evidence: Evidence) -> pd.DataFrame:
    rows = evidence.follow_ups[evidence.follow_ups["experiment"] == "width_degree"]
    widths = rows["hidden_widths"].str.split("x")
    return rows.assign(
        width=widths.str[0].astype(int),
        layers=widths.str.len(),
        score=rows["validation_accuracy"].fillna(rows["test_accuracy"]),
    )


def matched_time(evidence: Evidence) -> pd.DataFrame:
    """Logarithm of a KAN's epoch over that of an MLP of as many parameters, on the same machine.

    The MLP's time is interpolated, in logarithms, between the MLPs and wide MLPs of the data set;
    KANs smaller or larger than all of these have no pair.
    """
    pairs = []
    if evidence.times.empty:
        return _NONE
    for (dataset, seed, *_), rows in backprop(evidence.times).groupby(
        ["dataset", "seed", *_MACHINE]
    ):
        kan = rows["model"] == "kan"
        mlps = rows[rows["model"].isin(["mlp", "wide_mlp"])].sort_values("parameters")
        size = np.log(mlps["parameters"].to_numpy(float))
        for row in rows[kan].itertuples():
            at = np.log(float(row.parameters))
            if len(size) > 1 and size[0] <= at <= size[-1]:
                other = np.interp(at, size, mlps["log_seconds"].to_numpy(float))
                pairs.append((dataset, seed, row.log_seconds - other))
    return pd.DataFrame(pairs, columns=PAIR) if pairs else _NONE


def shallow_and_small(evidence: Evidence) -> pd.DataFrame:
    """Efficiency of the best run of small, shallow networks over that of the best other run.

    Small and shallow are architectures of the least depth with no more parameters than the median
    architecture of the data set. Which run is the most efficient, validation data say; there is one
    pair for each data set and seed.
    """
    if "efficiency_score" not in evidence.runs:
        return _NONE
    runs = backprop(evidence.runs).dropna(subset="efficiency_score")
    pairs = []
    for (dataset, seed), rows in runs.groupby(["dataset", "seed"]):
        layers = rows["depth"].str.removesuffix("layers").astype(int)
        sizes = rows.drop_duplicates(["model", "depth"])["parameters"]
        own = (layers == layers.min()) & (rows["parameters"] <= sizes.median())
        if own.all() or not own.any() or rows["failed"].all():
            continue
        best = [part.loc[part["efficiency_score"].idxmax()] for part in (rows[own], rows[~own])]
        pairs.append((dataset, seed, best[0]["log_efficiency"] - best[1]["log_efficiency"]))
    return pd.DataFrame(pairs, columns=PAIR) if pairs else _NONE


def size_for_efficiency(evidence: Evidence, within: float) -> pd.DataFrame:
    """Logarithm of the size on more complex data over that on simpler data, as efficient.

    Parameters
    ----------
    evidence
        What is known.
    within
        How far logarithms of efficiencies that count as the same may differ.

    Returns
    -------
    DataFrame
        For each two data sets, that with the larger intrinsic dimension named, and each seed and
        architecture: that architecture and the one of the same model on the simpler data whose
        efficiency, the median over schemes, comes closest.
    """
    if evidence.complexity.empty or "log_efficiency" not in evidence.runs:
        return _NONE
    runs = backprop(evidence.runs).dropna(subset="log_efficiency")
    runs = runs[~runs["failed"]]
    medians = runs.groupby(["seed", "model", "dataset", "depth"], as_index=False).agg(
        efficiency=("log_efficiency", "median"), parameters=("parameters", "first")
    )
    pairs = []
    for (seed, _), rows in medians.groupby(["seed", "model"]):
        known = [name for name in rows["dataset"].unique() if name in evidence.complexity]
        for simple, other in combinations(sorted(known, key=evidence.complexity.get), 2):
            if evidence.complexity[simple] == evidence.complexity[other]:
                continue
            there = rows[rows["dataset"] == simple]
            for row in rows[rows["dataset"] == other].itertuples():
                apart = (there["efficiency"] - row.efficiency).abs()
                if apart.min() <= within:
                    size = there["parameters"].loc[apart.idxmin()]
                    pairs.append((other, seed, float(np.log(row.parameters / size))))
    return pd.DataFrame(pairs, columns=PAIR) if pairs else _NONE
