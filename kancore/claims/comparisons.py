"""Paired comparisons between runs: what the tests of the claims are made of.

Each function takes `Evidence` and gives differences: a table with the columns of `PAIR`, one row a
pair, none where the evidence lacks what is compared.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise, repeat
from math import log
from typing import Any

import numpy as np
import pandas as pd

from kancore.analysis.efficiency import efficiency
from kancore.analysis.statistics import (
    CELL,
    SCHEME,
    SETTING,
    average_seeds,
    choose,
    counted,
    main_grid,
)

PAIR = ("dataset", "seed", "difference")
_NONE = pd.DataFrame(
    {name: pd.Series(dtype=dtype) for name, dtype in zip(PAIR, (object, int, float), strict=True)}
)
# The logarithm of an efficiency takes an accuracy of at least this: that of a run that failed is 0.
LEAST_ACCURACY = 0.01
# Measures of how far the test accuracies of schemes differ, by their columns of `Evidence.best`:
# interquartile range, standard deviation, and the range of the means of each factor's levels.
_DISPERSION = {name: f"spread_{name}" for name in ("quartiles", "deviation", *SCHEME)}
DISPERSIONS = tuple(_DISPERSION)
# What two times have in common to be compared.
_MACHINE = ("machine", "threads")


# Gives the differences between pairs, with the columns `PAIR`.
Comparison = Callable[["Evidence"], pd.DataFrame]


@dataclass(frozen=True)
class Comparing:
    """A comparison with its options; what equal ones compare is compared once."""

    make: Callable[..., pd.DataFrame]
    options: tuple[tuple[str, Hashable], ...]

    def __call__(self, evidence: "Evidence") -> pd.DataFrame:
        """Give the differences between pairs."""
        return self.make(evidence, **dict(self.options))


def comparing(make: Callable[..., pd.DataFrame], **options: Hashable) -> Comparing:
    """Give a comparison by a function of the evidence, with its options."""
    return Comparing(make, tuple(options.items()))


@dataclass(frozen=True)
class Evidence:
    """Runs to compare.

    Attributes
    ----------
    runs : DataFrame
        Runs of the grid, or whatever of their columns is known.
    best : DataFrame
        Of these the run of the best scheme of each architecture and seed, with ``tied``, how many
        validate equally well, ``median``, the median test accuracy over schemes, and ``spread``,
        how far it falls behind the best one; and other measures of how far schemes differ
        (`DISPERSIONS`).
    follow_ups : DataFrame
        Runs of the follow-up experiments.
    times : DataFrame
        One row an architecture and seed, with the logarithm of the seconds that one network's epoch
        took in optimizer steps (``log_seconds``) and where (``device``).
    complexity : Series
        Measured intrinsic dimension by data set.
    schemes : DataFrame
        Schemes averaged over seeds.
    """

    runs: pd.DataFrame
    best: pd.DataFrame
    follow_ups: pd.DataFrame
    times: pd.DataFrame = field(default_factory=pd.DataFrame)
    complexity: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))
    schemes: pd.DataFrame = field(default_factory=pd.DataFrame)
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

    The best scheme is chosen on validation data, by each seed for itself: so seeds are independent
    observations, and intervals over them hold what the choice does. It is one that diverged only
    where each did. Runs that diverged count as `kancore.analysis.statistics.counted` has them.

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
    runs = _with_plain_text(main_grid(runs))
    schemes, runs = average_seeds(runs), counted(runs)
    return Evidence(
        _with_efficiency(runs, dimensions),
        _best(runs),
        counted(_with_plain_text(follow_ups)),
        pd.DataFrame() if timings is None else _times(_with_plain_text(main_grid(timings))),
        pd.Series(dtype=float) if complexity is None else complexity,
        schemes,
    )


def _with_plain_text(table: pd.DataFrame) -> pd.DataFrame:
    """Keep text as Python's strings: small tables of these are compared several times as fast."""
    text = (name for name, kind in table.dtypes.items() if isinstance(kind, pd.StringDtype))
    return table.astype(dict.fromkeys(text, object))


def _best(runs: pd.DataFrame) -> pd.DataFrame:
    """Give the run of the best scheme of each setting and seed, with how far schemes differ."""
    setting = [*SETTING, "seed"]
    runs = runs.astype({"test_accuracy": float})
    accuracies = runs.groupby(setting, dropna=False)["test_accuracy"]
    quartiles = accuracies.quantile(0.75) - accuracies.quantile(0.25)
    measures = {
        "median": accuracies.median(),
        "quartiles": quartiles,
        "deviation": accuracies.std(),
    }
    for factor in SCHEME:
        levels = runs.groupby([*setting, factor], dropna=False)["test_accuracy"].mean()
        levels = levels.groupby(setting, dropna=False)
        measures[factor] = levels.max() - levels.min()
    table = pd.DataFrame({_DISPERSION.get(name, name): found for name, found in measures.items()})
    best = choose(runs, setting).merge(table.reset_index())
    return best.assign(spread=best["test_accuracy"] - best["median"])


def narrowed(evidence: Evidence, schemes: pd.DataFrame) -> Evidence:
    """Keep the runs of some of the schemes, and choose the best among these."""
    runs = evidence.runs.merge(schemes[[*SETTING, *SCHEME]])
    return replace(evidence, runs=runs, best=_best(runs), schemes=schemes)


def select(evidence: Evidence, keep: Callable[[pd.DataFrame], pd.Series]) -> Evidence:
    """Keep the rows of each table for which `keep` says so."""

    def of(table: pd.DataFrame) -> pd.DataFrame:
        return table[keep(table)] if len(table) else table

    tables = ("runs", "best", "follow_ups", "times", "schemes")
    return replace(evidence, **{name: of(getattr(evidence, name)) for name in tables})


def under(evidence: Evidence, objective: str) -> Evidence:
    """Put one objective in the place of backpropagation, which is what comparisons are of."""
    if objective not in evidence._under:
        own = select(evidence, lambda table: table["objective"] == objective)
        tables = ("runs", "best", "follow_ups", "times", "schemes")
        named = {name: getattr(own, name).assign(objective="backprop") for name in tables}
        evidence._under[objective] = replace(own, **named)
    return evidence._under[objective]


def _with_efficiency(runs: pd.DataFrame, dimensions: pd.Series) -> pd.DataFrame:
    """Add logarithms of the efficiency, on test and on validation data, and of its factors.

    They are null where there are no more parameters than dimensions. ``best_at_end`` is whether the
    best epoch is the last evaluation, so that more epochs might have had a better one; ``best_gap``
    the generalization gap there; ``decline`` what test accuracy lost from there to the last epoch.
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
    budget = runs.groupby(["dataset", "objective"])["epochs"].transform("max")
    accuracy = runs["test_accuracy"].astype(float).clip(lower=LEAST_ACCURACY)
    runs = runs.assign(
        log_best_epoch=np.log(epochs),
        log_speed=-np.log(epochs),
        log_accuracy=np.log(accuracy),
        log_compactness=-np.log(np.log1p(parameters - dimension)),
        best_gap=runs["train_accuracy"] - runs["test_accuracy"],
        best_at_end=(runs["best_epoch"] >= budget).fillna(True).astype(bool),
        **dict(zip(names, logarithms, strict=True)),
    )
    if "last_test_accuracy" in runs:  # tables of old studies lack it
        decline = runs["test_accuracy"].astype(float) - runs["last_test_accuracy"].astype(float)
        runs = runs.assign(decline=decline)
    return runs


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
    own = table["objective"] == "backprop"
    return table if own.all() else table[own]


def kans(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of KANs under backpropagation."""
    return backprop(table)[lambda rows: rows["model"] == "kan"]


def paired(
    table: pd.DataFrame,
    across: str,
    first: object,
    second: object,
    value: str,
    by: tuple[str, ...],
    lost: str = "failed",
) -> pd.DataFrame:
    """Differences of `value` between rows that have `first` and `second` in column `across`.

    Pairs agree in the columns `by`; two rows that both are `lost` are no pair.
    """
    if value not in table:
        return _NONE
    # Not by pandas' pivots: verdicts make a thousand comparisons, and most are small.
    columns = [table[name].tolist() for name in (*by, across, value)]
    failed = table[lost].fillna(False).astype(bool).tolist() if lost in table else repeat(False)
    places = {first: 0, second: 1}
    found: dict[tuple, list] = {}
    for *key, side, number, gone in zip(*columns, failed, strict=False):
        if (place := places.get(side)) is not None:
            pair = found.setdefault(tuple(key), [None, None])
            if pair[place] is not None:
                raise ValueError(f"two rows of {across} {side} agree in {by}; expected one")
            pair[place] = number, gone
    pairs = []
    for cell, sides in sorted(found.items()):
        if None not in sides:
            (one, one_failed), (other, other_failed) = sides
            difference = one - other
            if not (pd.isna(difference) or (one_failed and other_failed)):
                known = dict(zip(by, cell, strict=True))
                pairs.append((known["dataset"], known["seed"], float(difference)))
    return _table(pairs)


def _table(pairs: list[tuple[str, int, float]]) -> pd.DataFrame:
    """Put pairs into a table with the columns of `PAIR`, text as Python's strings."""
    if not pairs:
        return _NONE
    datasets, seeds, differences = zip(*pairs, strict=True)
    columns = np.array(datasets, dtype=object), np.array(seeds), np.array(differences, dtype=float)
    return pd.DataFrame(dict(zip(PAIR, columns, strict=True)))


def next_depth(
    table: pd.DataFrame, value: str, by: tuple[str, ...], lost: str = "failed"
) -> pd.DataFrame:
    """Differences of `value` that one more layer makes; pairs agree in the columns `by`.

    Two rows that both are `lost` are no pair.
    """
    if value not in table:
        return _NONE
    layers = table["depth"].str.removesuffix("layers").astype(int)
    rows, index = table.assign(layers=layers), tuple(name for name in by if name != "depth")
    steps = [
        paired(rows, "layers", b, a, value, index, lost)
        for a, b in pairwise(sorted(set(layers)))
        if b == a + 1
    ]
    return pd.concat(steps) if steps else _NONE


def of_equal_size(table: pd.DataFrame, first: str, second: str, within: float) -> pd.DataFrame:
    """Rows of data sets and depths at which two models have as many parameters, within a factor."""
    places = [*zip(table["dataset"], table["depth"], strict=True)]
    parameters = table["parameters"].to_numpy(float, na_value=np.nan)
    sizes: dict[tuple, dict[str, float]] = {}
    for place, model, size in zip(places, table["model"], parameters, strict=True):
        sizes.setdefault(place, {}).setdefault(model, size)
    equal = {
        place
        for place, known in sizes.items()
        if known.get(first, 0) > 0 < known.get(second, 0)
        and abs(log(known[first] / known[second])) <= log(within)
    }
    # An array: an empty list would choose no columns.
    return table[np.array([place in equal for place in places], dtype=bool)]


def at_equal_size(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Value of a KAN minus that of an MLP of its size, on the same machine if it is timed.

    That of the MLP is interpolated, over logarithms of sizes, between the MLPs and wide MLPs of the
    data set; KANs smaller or larger than all of these have no pair.
    """
    if value not in table:
        return _NONE
    table = backprop(table).dropna(subset=value)
    pairs = []
    by = ["dataset", "seed", *(name for name in _MACHINE if name in table)]
    for (dataset, seed, *_), rows in table.groupby(by):
        if _all_failed(rows):
            continue
        mlps = rows[rows["model"].isin(["mlp", "wide_mlp"])].sort_values("parameters")
        size, known = (mlps[name].to_numpy(float) for name in ("parameters", value))
        for row in rows[rows["model"] == "kan"].itertuples():
            other = _interpolated(float(row.parameters), size, known)
            if other is not None:
                pairs.append((dataset, seed, getattr(row, value) - other))
    return _table(pairs)


def _all_failed(rows: pd.DataFrame) -> bool:
    return "failed" in rows and bool(rows["failed"].all())


def _interpolated(parameters: float, sizes: np.ndarray, values: np.ndarray) -> float | None:
    """Value at a size between others in ascending order, by their logarithms; None outside."""
    if len(sizes) < 2 or not sizes[0] <= parameters <= sizes[-1]:
        return None
    return float(np.interp(np.log(parameters), np.log(sizes), values))


def smallest_competitive(evidence: Evidence, within: float) -> pd.DataFrame:
    """Logarithm of the size of the smallest competitive KAN over that of the smallest such MLP.

    Competitive is a best scheme whose test accuracy comes within `within` of the best of the data
    set and seed. Where no architecture of one side is, its largest one stands for it, which favours
    that side. There is one pair for each data set and seed.
    """
    best = backprop(evidence.best)
    pairs = []
    for (dataset, seed), rows in best.groupby(["dataset", "seed"]):
        if _all_failed(rows):
            continue
        near = rows["test_accuracy"] >= rows["test_accuracy"].max() - within
        sizes = []
        for models in (("kan",), ("mlp", "wide_mlp")):
            own = rows["model"].isin(models)
            reached = rows.loc[own & near, "parameters"].astype(float)
            known = rows.loc[own, "parameters"].astype(float)
            sizes.append(reached.min() if len(reached) else known.max())
        pairs.append((dataset, seed, float(np.log(sizes[0] / sizes[1]))))
    found = pd.DataFrame(pairs, columns=PAIR).dropna(ignore_index=True)
    return found if len(found) else _NONE


def seed_deviations(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """Add ``deviation``: how far a run lies from the mean of the other seeds of its scheme."""
    grouped = runs.groupby([*SETTING, *SCHEME], dropna=False)[value]
    count, total = grouped.transform("count"), grouped.transform("sum")
    others = (total - runs[value]) / (count - 1).where(count > 1)
    return runs.assign(deviation=(runs[value] - others).abs())


def same_orders(evidence: Evidence) -> pd.DataFrame:
    """Share of orders of a KAN and an MLP that both objectives share, minus that two seeds share.

    The orders are of best schemes, of every KAN and every MLP or wide MLP of a data set. Other
    seeds under backpropagation put them in the same order only so often, which is all that can be
    asked of another objective (`between_seeds`). There is one pair for each data set and seed.
    """
    best = evidence.best
    pairs = []
    for dataset, rows in best.groupby("dataset"):
        signs = {
            key: _orders(own.set_index(["model", "depth"])["test_accuracy"].astype(float))
            for key, own in rows.groupby(["objective", "seed"])
        }
        own = {seed: orders for (objective, seed), orders in signs.items() if objective != "hsic"}
        for seed, ceiling in between_seeds(own, _agreement).items():
            if ("hsic", seed) in signs:
                shared = _agreement(own[seed], signs["hsic", seed])
                pairs.append((dataset, seed, shared - ceiling))
    return pd.DataFrame(pairs, columns=PAIR).dropna(ignore_index=True) if pairs else _NONE


def between_seeds(
    own: Mapping[Hashable, pd.Series], alike: Callable[[pd.Series, pd.Series], float]
) -> dict[Hashable, float]:
    """Give how alike two seeds are, as a value for each seed.

    The mean of these values is that of all pairs of seeds. Since a seed takes part in many pairs,
    they are not what it has with the others, but the pseudo-values of the jackknife (Tukey 1958),
    by which intervals over seeds are those of a mean over pairs.

    Parameters
    ----------
    own
        What each seed gives; with fewer than two there are no values.
    alike
        Compares two.
    """
    found = {pair: alike(*(own[seed] for seed in pair)) for pair in combinations(own, 2)}
    if not found:
        return {}
    whole = np.mean([*found.values()])
    values = {}
    for seed in own:
        rest = [value for pair, value in found.items() if seed not in pair]
        without = np.mean(rest) if rest else whole
        values[seed] = float(len(own) * whole - (len(own) - 1) * without)
    return values


def _orders(accuracy: pd.Series) -> pd.Series:
    """Sign of the difference between each KAN and each other network; two that failed have none."""
    names = sorted(accuracy.index)
    kans_, others = ([name for name in names if (name[0] == "kan") == is_kan] for is_kan in (1, 0))
    return pd.Series(
        {
            (kan, other): np.sign(accuracy[kan] - accuracy[other])
            for kan in kans_
            for other in others
            if accuracy[kan] or accuracy[other]
        },
        dtype=float,
    )


def _agreement(first: pd.Series, second: pd.Series) -> float:
    """Share of orders that are the same in both, ties with anything else counted a half."""
    products = (first * second).dropna()
    return float((products.mean() + 1) / 2)


def activations(evidence: Evidence, first: str, second: str) -> pd.DataFrame:
    """Differences in test accuracy between two base activations of KANs."""
    rows = evidence.follow_ups[evidence.follow_ups["experiment"] == "activation"]
    return paired(rows, "activation", first, second, "test_accuracy", CELL)


def degree_for_width(evidence: Evidence) -> pd.DataFrame:
    """Accuracy of a degree minus that of the least one and a larger width, with as many parameters.

    Networks have one hidden layer. A study trains the widths of the least degree that take as many
    parameters (`kancore.studies.experiments`); where that is no whole number, or they are not
    there, the accuracy is interpolated over the logarithms of sizes between the nearest widths.
    """
    pairs = []
    for key, networks in _networks(evidence, "width_degree", ["dataset", "seed"]):
        shallow = [network for network in networks if "x" not in network.hidden_widths]
        least = min((network.degree for network in shallow), default=0)
        curve = [network for network in shallow if network.degree == least]
        higher = [network for network in shallow if network.degree > least]
        pairs += [(*key, difference) for difference in _beside(higher, curve)]
    return _table(pairs)


def layer_for_degree(evidence: Evidence) -> pd.DataFrame:
    """Accuracy of one layer more minus that of higher degrees, with as many parameters.

    Both start from one network of one hidden layer; the layer has its width and its degree. The
    accuracy that degrees give for the parameters of the layer is interpolated between them.
    """
    pairs = []
    for key, networks in _networks(evidence, "width_degree", ["dataset", "seed"]):
        for start in (network for network in networks if "x" not in network.hidden_widths):
            width = start.hidden_widths
            curve = [n for n in networks if n.hidden_widths == width and n.degree >= start.degree]
            deeper = [
                network
                for network in networks
                if network.hidden_widths == f"{width}x{width}" and network.degree == start.degree
            ]
            pairs += [(*key, difference) for difference in _beside(deeper, curve)]
    return _table(pairs)


def _beside(networks: list[Any], curve: list[Any]) -> list[float]:
    """Accuracies of networks minus those of a curve at their sizes; none if all failed."""
    sizes, values = (
        np.array([getattr(network, name) for network in curve], dtype=float)
        for name in ("parameters", "test_accuracy")
    )
    found = []
    for network in networks:
        other = _interpolated(float(network.parameters), sizes, values)
        if other is not None and not (network.failed and all(n.failed for n in curve)):
            found.append(network.test_accuracy - other)
    return found


def middle(evidence: Evidence, experiment: str, axis: str, end: Callable) -> pd.DataFrame:
    """Differences between the best value in the middle of an axis and that at one end.

    Parameters
    ----------
    evidence
        What is known.
    experiment, axis
        The follow-up and its column, ``degree`` or ``grid_size``.
    end
        `min` or `max`: which end of the range of values.

    Returns
    -------
    DataFrame
        A pair for each data set, seed and widths that have three values or more; which of those in
        the middle is best, validation data say.
    """

    def place(network: Any) -> int:
        return getattr(network, axis)

    pairs = []
    by = ["dataset", "seed", "hidden_widths"]
    for (dataset, seed, _), networks in _networks(evidence, experiment, by):
        least, *between, greatest = sorted(networks, key=place)
        if between and not all(network.failed for network in networks):
            best = max(between, key=lambda network: network.score)
            other = end((least, greatest), key=place)
            pairs.append((dataset, seed, best.test_accuracy - other.test_accuracy))
    return _table(pairs)


def _networks(
    evidence: Evidence, experiment: str, by: list[str]
) -> Iterator[tuple[tuple, list[Any]]]:
    """Give runs of a follow-up in groups of two or more, smaller ones first, as named tuples."""
    rows = evidence.follow_ups[evidence.follow_ups["experiment"] == experiment]
    rows = rows.assign(score=rows["validation_accuracy"].fillna(rows["test_accuracy"]))
    for key, own in rows.sort_values("parameters", kind="stable").groupby(by):
        if len(own) > 1:
            yield key, list(own.itertuples())


def seconds_to_best(evidence: Evidence) -> pd.DataFrame:
    """Add to times the logarithm of the seconds to the best epoch of the best scheme."""
    if evidence.times.empty:
        return evidence.times
    key = ["dataset", "objective", "model", "depth", "seed"]
    epochs = evidence.best[[*key, "best_epoch"]].dropna()
    times = evidence.times.merge(epochs, on=key)
    seconds = times["log_seconds"] + np.log(times["best_epoch"].astype(float))
    return times.assign(log_seconds_to_best=seconds)


def shallow_mlp(evidence: Evidence, datasets: Sequence[str] = ()) -> pd.DataFrame:
    """Efficiency of the best run of the MLP of least depth over that of the best other run.

    Parameters
    ----------
    evidence
        What is known.
    datasets
        Names of data sets; none: all.

    Returns
    -------
    DataFrame
        One pair for each data set and seed. Which run is the most efficient, validation data say.
    """
    runs = backprop(evidence.runs).dropna(subset="efficiency_score")
    pairs = []
    for (dataset, seed), rows in runs.groupby(["dataset", "seed"]):
        layers = rows["depth"].str.removesuffix("layers").astype(int)
        own = (layers == layers.min()) & (rows["model"] == "mlp")
        known = not datasets or dataset in datasets
        if not known or own.all() or not own.any() or rows["failed"].all():
            continue
        best = [part.loc[part["efficiency_score"].idxmax()] for part in (rows[own], rows[~own])]
        pairs.append((dataset, seed, best[0]["log_efficiency"] - best[1]["log_efficiency"]))
    return _table(pairs)


def size_for_efficiency(evidence: Evidence, within: float, gross: bool = False) -> pd.DataFrame:
    """Logarithm of the size that more complex data take over that of simpler data, as efficient.

    A network with as many units is larger on the data set with more inputs, whatever its data; so
    sizes are those that both architectures have on the simpler data.

    Parameters
    ----------
    evidence
        What is known.
    within
        How far logarithms of efficiencies that count as the same may differ.
    gross
        Take the sizes that they have on their own data, inputs and all.

    Returns
    -------
    DataFrame
        For each two data sets, that with the larger intrinsic dimension named, and each seed and
        architecture: that architecture and the one of the same model on the simpler data whose
        efficiency, the median over schemes, comes closest.
    """
    if evidence.complexity.empty:
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
            there = rows[rows["dataset"] == simple].set_index("depth")
            for row in rows[rows["dataset"] == other].itertuples():
                apart = (there["efficiency"] - row.efficiency).abs()
                if row.depth in there.index and apart.min() <= within:
                    size = row.parameters if gross else there.loc[row.depth, "parameters"]
                    nearest = there.loc[apart.idxmin(), "parameters"]
                    pairs.append((other, seed, float(np.log(size / nearest))))
    return _table(pairs)


def depth_gains(evidence: Evidence) -> pd.DataFrame:
    """Give what the deepest KAN gains on the shallowest, minus what MLPs of their depths gain.

    Of best schemes; one pair for each data set and seed.
    """
    best = backprop(evidence.best)
    layers = best["depth"].str.removesuffix("layers").astype(int)
    pairs = []
    for (dataset, seed), rows in best.assign(layers=layers).groupby(["dataset", "seed"]):
        rows = rows[rows["model"].isin(["kan", "mlp"])]
        if _all_failed(rows):
            continue
        wide = rows.pivot(index="layers", columns="model", values="test_accuracy")
        if {"kan", "mlp"} <= set(wide) and len(wide := wide.dropna()) > 1:
            less = (wide["kan"] - wide["mlp"]).astype(float).sort_index()
            pairs.append((dataset, seed, less.iloc[-1] - less.iloc[0]))
    return _table(pairs)
