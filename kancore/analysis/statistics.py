"""From evaluations to runs, and from runs to the schemes and numbers that figures show."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from kancore.analysis.tables import RUNS
from kancore.schemes import Scheme, derive_seed
from kancore.tables import KEY_NAMES

SCHEME = tuple(Scheme.__dataclass_fields__)
# What schemes and seeds have in common: a data set, an objective and an architecture.
SETTING = tuple(name for name in KEY_NAMES if name not in (*SCHEME, "seed"))
# What two runs of a pair have in common unless they differ in it.
CELL = ("dataset", "depth", "seed")
# With fewer seeds on a data set there is no interval: over so few it says nothing.
FEWEST_SEEDS = 3
# What varies by less has not varied: differences of equal accuracies differ in rounding.
_ROUNDING = 1e-12
_NO_INTERVAL = float("nan"), float("nan")
# Where several values are equally common, the main figures show the paper's (section 5).
_PAPER = {"activation": "gelu", "degree": 3, "grid_size": 5}


def summarize_runs(history: pd.DataFrame) -> pd.DataFrame:
    """Sum up each run in one row.

    Parameters
    ----------
    history
        Evaluations, with the columns of `kancore.tables.HISTORY`, in any order.

    Returns
    -------
    DataFrame
        One row a run, with the columns of `kancore.analysis.tables.RUNS`, sorted by the key. The
        best epoch is the first that has the best validation accuracy; without validation data it is
        chosen, as in the published runs, on test data. A run that diverged has the values of its
        evaluations before, null where there are none.
    """
    history = history.sort_values([*KEY_NAMES, "epoch"], ignore_index=True)
    # One integer a run: joins on it are safe where key columns are null, and quick.
    history["run"] = history.groupby(list(KEY_NAMES), dropna=False, sort=False).ngroup()
    runs = history.drop_duplicates("run").set_index("run")[[*KEY_NAMES, "parameters", "code"]]
    evaluated = history[~history["diverged"]]
    chosen_by = evaluated["validation_accuracy"].fillna(evaluated["test_accuracy"])
    best = _first_best(evaluated, chosen_by)
    best_on_test = _first_best(evaluated, evaluated["test_accuracy"])
    gap = evaluated["train_accuracy"] - evaluated["test_accuracy"]
    by_run = evaluated.groupby("run")["test_accuracy"]
    falls = -by_run.diff().clip(upper=0)  # null at the first evaluation of a run
    return runs.assign(
        epochs=evaluated.groupby("run")["epoch"].max(),
        best_epoch=best["epoch"],
        train_accuracy=best["train_accuracy"],
        validation_accuracy=best["validation_accuracy"],
        test_accuracy=best["test_accuracy"],
        best_test_epoch=best_on_test["epoch"],
        best_test_accuracy=best_on_test["test_accuracy"],
        generalization_gap=gap.groupby(evaluated["run"]).mean(),
        last_test_accuracy=by_run.last(),
        mean_fall=falls.groupby(evaluated["run"]).mean(),
        diverged=history.groupby("run")["diverged"].any(),
    ).reset_index(drop=True)[RUNS.names]


def _first_best(evaluated: pd.DataFrame, score: pd.Series) -> pd.DataFrame:
    """Pick for each run its first row with the highest score; rows are in order of epochs."""
    ranked = evaluated.assign(score=score).sort_values("score", ascending=False, kind="stable")
    return ranked.drop_duplicates("run").set_index("run")


def main_grid(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the most common activation, degree and grid size, so that depth tells KANs apart.

    Parameters
    ----------
    table
        Rows with the key columns, of runs or of evaluations.

    Returns
    -------
    DataFrame
        The rows that have the values most common to their data set and model, since a protocol may
        give each its own; rows whose degree or grid size is null are kept.
    """
    for name, paper in _PAPER.items():
        keep = np.array(table[name].isna())
        for places in table.groupby(["dataset", "model"]).indices.values():
            values = table[name].iloc[places]
            common = values.mode()
            if len(common):
                value = paper if (common == paper).any() else common.iloc[0]
                keep[places] |= values.eq(value).to_numpy(bool, na_value=False)
        table = table[keep]
    return table


def counted(runs: pd.DataFrame) -> pd.DataFrame:
    """Count runs that diverged, so that no model looks better for having lost them.

    Parameters
    ----------
    runs
        Runs, with the columns of `kancore.analysis.tables.RUNS`.

    Returns
    -------
    DataFrame
        The same runs, with ``failed``: whether a run was never evaluated. What a run that diverged
        had reached before stands, but it took all epochs that runs of its data set and objective
        take, as it was not quick to be at its best. A run that failed is right on no example. Its
        gap stays null: nothing was learned that could be overfit.
    """
    failed = runs["test_accuracy"].isna()
    cells = ["dataset", "objective"]
    budget = runs.groupby(cells)["epochs"].transform("max")
    validated = runs.groupby(cells)["validation_accuracy"].transform("count") > 0
    return runs.assign(
        failed=failed,
        best_epoch=runs["best_epoch"].mask(runs["diverged"], budget),
        validation_accuracy=runs["validation_accuracy"].mask(failed & validated, 0.0),
        test_accuracy=runs["test_accuracy"].mask(failed, 0.0),
        best_test_accuracy=runs["best_test_accuracy"].mask(failed, 0.0),
    )


def average_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """Average each scheme over its seeds.

    Parameters
    ----------
    runs
        Runs, with the columns of `kancore.analysis.tables.RUNS`; those that diverged are `counted`.

    Returns
    -------
    DataFrame
        One row a scheme of a setting (`SETTING`, `SCHEME`), in order, with means over seeds,
        ``lowest`` and ``highest`` test accuracy, ``best_epoch`` (median), ``seeds``, and
        ``diverged`` and ``failed``: how many of the seeds diverged, and were never evaluated.
    """
    grouped = counted(runs).groupby([*SETTING, *SCHEME], dropna=False, as_index=False)
    return grouped.agg(
        parameters=("parameters", "first"),
        best_epoch=("best_epoch", "median"),
        train_accuracy=("train_accuracy", "mean"),
        validation_accuracy=("validation_accuracy", "mean"),
        test_accuracy=("test_accuracy", "mean"),
        lowest=("test_accuracy", "min"),
        highest=("test_accuracy", "max"),
        generalization_gap=("generalization_gap", "mean"),
        seeds=("seed", "size"),
        diverged=("diverged", "sum"),
        failed=("failed", "sum"),
    )


def best_schemes(runs: pd.DataFrame) -> pd.DataFrame:
    """Choose the best scheme of each setting, on validation data.

    Parameters
    ----------
    runs
        Runs, with the columns of `kancore.analysis.tables.RUNS`.

    Returns
    -------
    DataFrame
        One row a setting, with the columns of `average_seeds` for the scheme whose mean validation
        accuracy is best (test accuracy where there is no validation data) among schemes of which
        no seed diverged; of equally good ones that with the earlier best epoch, then with the
        higher training accuracy; ``tied`` counts them, whose test accuracies are from ``tied_low``
        to ``tied_high``. Where all diverged the scheme and its values are null. ``median``,
        ``median_low``, ``median_high`` are the median test accuracy over schemes and the bounds of
        its interval (`median_interval`); ``schemes`` counts schemes, ``diverged_schemes`` those of
        which a seed diverged.
    """
    schemes = average_seeds(runs)
    whole = schemes[schemes["diverged"] == 0]
    best = choose(whole).drop(columns=["parameters", "diverged", "failed"])
    settings = (
        schemes.assign(unstable=schemes["diverged"] > 0)
        .groupby(list(SETTING), dropna=False, as_index=False)
        .agg(
            parameters=("parameters", "first"),
            schemes=("unstable", "size"),
            diverged_schemes=("unstable", "sum"),
            median=("test_accuracy", "median"),
            median_low=("test_accuracy", lambda values: median_interval(values)[0]),
            median_high=("test_accuracy", lambda values: median_interval(values)[1]),
        )
    )
    return settings.merge(best, on=list(SETTING), how="left")


def choose(schemes: pd.DataFrame, by: Sequence[str] = SETTING) -> pd.DataFrame:
    """Choose the best scheme of each setting; see `best_schemes`.

    Parameters
    ----------
    schemes
        From `average_seeds`, or runs that are `counted`; those that diverged come last.
    by
        The columns that tell settings apart: with ``seed`` among them each seed chooses for itself.

    Returns
    -------
    DataFrame
        The rows of those chosen, with ``tied``, ``tied_low`` and ``tied_high``.
    """
    by = [*by]
    # Means of equal accuracies may differ in rounding.
    score = schemes["validation_accuracy"].fillna(schemes["test_accuracy"]).astype(float).round(9)
    lost = schemes["diverged"].astype(bool)
    order = ["lost", "score", "best_epoch", "train_accuracy"]
    ranked = schemes.assign(score=score, lost=lost)
    ranked = ranked.sort_values(order, ascending=[True, False, True, False])
    tied = ranked.groupby([*by, "lost", "score"], dropna=False)["test_accuracy"]
    ranked = ranked.assign(
        tied=tied.transform("size"),
        tied_low=tied.transform("min"),
        tied_high=tied.transform("max"),
    )
    return ranked.drop_duplicates(by).drop(columns=["lost", "score"])


def best_kan_scheme(runs: pd.DataFrame, dataset: str) -> Scheme:
    """Choose the scheme that suits the KANs of a data set, of all depths, best.

    Parameters
    ----------
    runs
        Runs of the grid, with the columns of `kancore.analysis.tables.RUNS`.
    dataset
        Name of the data set.

    Returns
    -------
    Scheme
        That with the best validation accuracy under backpropagation, as a mean over depths and
        seeds (test accuracy where there is no validation data); before it comes any with fewer
        runs that diverged. Where all diverged before they were evaluated, the first: what follows
        it diverges too, and the study goes on to say so.
    """
    return Scheme(**ranked_kan_schemes(runs, dataset).iloc[0][list(SCHEME)])


def ranked_kan_schemes(runs: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Order the schemes by what `best_kan_scheme` chooses by: ``diverged`` and ``score``."""
    runs = main_grid(runs[(runs["objective"] == "backprop") & (runs["model"] == "kan")])
    runs = runs[runs["dataset"] == dataset]
    score = runs["validation_accuracy"].fillna(runs["test_accuracy"])
    schemes = runs.assign(score=score).groupby(list(SCHEME), as_index=False)
    schemes = schemes.agg(diverged=("diverged", "sum"), score=("score", "mean"))
    return schemes.sort_values(["diverged", "score"], ascending=[True, False], kind="stable")


def choice_of_scheme(runs: pd.DataFrame, dataset: str) -> dict[str, Any]:
    """Give `best_kan_scheme` as jobs take it that wait for it, in plain values.

    Beside a scheme with an optimizer or initialization of the user's own stands the code that
    trained it: new code is another choice, by which these jobs train again.
    """
    chosen = asdict(best_kan_scheme(runs, dataset))
    if any(":" in str(value) for value in chosen.values()):
        same = {"dataset": dataset, "model": "kan", "objective": "backprop", **chosen}
        trained = runs[(runs[list(same)] == pd.Series(same)).all(axis=1)]
        chosen["code"] = sorted(set(trained["code"]))
    return chosen


def median_interval(
    values: pd.Series | np.ndarray, confidence: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Bootstrap percentile interval of a median.

    Parameters
    ----------
    values
        Observations; nulls are left out.
    confidence
        Share of resampled medians inside the interval.
    resamples
        Number of resamples; their seed depends on the number of observations only.

    Returns
    -------
    tuple of float
        Lower and upper bound; NaN where resampled medians do not vary.
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return _NO_INTERVAL
    one = np.zeros(len(values))
    medians = resampled(values, one, lambda drawn: np.median(drawn, axis=-1), resamples)
    return medians.interval(confidence)


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of the middle half along the last axis, a quarter trimmed off each end.

    The aggregate of Agarwal et al. 2021 (rliable), less moved by outliers than a mean and less
    noisy than a median.
    """
    ordered = np.sort(values, axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def _in_middle_half(values: np.ndarray) -> np.ndarray:
    """Whether each of some values is one of those of which `interquartile_mean` is the mean."""
    cut = len(values) // 4
    rank = np.argsort(np.argsort(values, kind="stable"))
    return (rank >= cut) & (rank < len(values) - cut)


def probability_of_improvement(differences: np.ndarray) -> np.ndarray:
    """Share of paired differences above zero along the last axis, ties counted as a half."""
    return (np.sign(differences).mean(axis=-1) + 1) / 2


@dataclass(frozen=True)
class Resampled:
    """A statistic as it is in bootstrap resamples of the observations."""

    values: np.ndarray

    def interval(self, confidence: float) -> tuple[float, float]:
        """Percentile interval that holds this share of the resamples; NaN where they agree."""
        if np.ptp(self.values) <= _ROUNDING:
            return _NO_INTERVAL
        outside = (1 - confidence) / 2
        low, high = np.quantile(self.values, [outside, 1 - outside])
        return float(low), float(high)


@dataclass(frozen=True)
class OverSeeds:
    """A statistic with its standard error over seeds, of so many degrees of freedom.

    The error is NaN where seeds do not tell it: there are few, or all agree. Then there is neither
    an interval nor a p value; all are NaN.
    """

    middle: float
    error: float
    freedom: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """Student's interval."""
        half = float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.error
        return self.middle - half, self.middle + half

    def p_above(self, bound: float) -> float:
        """One-sided p value of the hypothesis that the statistic is not above `bound`."""
        return self._p(self.middle - bound)

    def p_below(self, bound: float) -> float:
        """One-sided p value of the hypothesis that the statistic is not below `bound`."""
        return self._p(bound - self.middle)

    def _p(self, beyond: float) -> float:
        return float(stdtr(self.freedom, -beyond / self.error))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p values of a family of tests by Holm's step-down method.

    Parameters
    ----------
    p_values
        p values, in any order.

    Returns
    -------
    ndarray
        Adjusted ones: with those below a level, the chance that any of them is wrong is below it.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def resampled(
    values: np.ndarray,
    strata: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    resamples: int = 2000,
) -> Resampled:
    """Resample a statistic within strata (rliable's way).

    Parameters
    ----------
    values
        Observations ``[n]``, at least one.
    strata
        Label of the stratum of each, ``[n]``.
    statistic
        Maps ``[resamples, n]`` to ``[resamples]``.
    resamples
        Number of resamples; their seed depends on the sizes of the strata only.
    """
    groups = [np.asarray(values)[strata == stratum] for stratum in np.unique(strata)]
    generator = np.random.default_rng(derive_seed("strata", *map(len, groups)))
    block = max(1, 2_000_000 // len(values))  # at most so many numbers at once
    found = []
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = [generator.choice(group, size=(size, len(group))) for group in groups]
        found.append(statistic(np.concatenate(drawn, axis=1)))
    return Resampled(np.concatenate(found))


def fewest_seeds(strata: np.ndarray, seeds: np.ndarray) -> int:
    """Count the seeds of the stratum that has fewest; 0 without observations."""
    counts = Counter(stratum for stratum, _ in {*zip(strata.tolist(), seeds.tolist(), strict=True)})
    return min(counts.values(), default=0)


def over_seeds(
    values: np.ndarray,
    strata: np.ndarray,
    seeds: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
) -> OverSeeds:
    """Tell how far a statistic may vary with what else seeds might have given.

    All else is as it is. Observations of one seed share minibatches, a validation split and first
    weights, so it is the seeds of a stratum that are independent, not they. The variance is that of
    the stratified jackknife, which leaves out one seed of one stratum at a time and counts the
    others of that stratum more (Wolter 2007, Introduction to Variance Estimation, section 4.5);
    degrees of freedom are Satterthwaite's. An interquartile mean has as many fewer as seeds have no
    observation in the middle half, as a trimmed mean has (Tukey & McLaughlin 1963): of five seeds
    with one each, two are left.

    Parameters
    ----------
    values
        Observations ``[n]``.
    strata
        Label of the stratum of each, ``[n]``: a data set. Seeds of different strata are different.
    seeds
        Seed of each, ``[n]``; with fewer than `FEWEST_SEEDS` in a stratum there is no error.
    statistic
        Maps ``[..., n]`` to ``[...]``.
    """
    middle = float(statistic(values))
    if fewest_seeds(strata, seeds) < FEWEST_SEEDS:
        return OverSeeds(middle, float("nan"), float("nan"))
    # Numbers, as they are compared again and again.
    strata, seeds = (np.unique(labels, return_inverse=True)[1] for labels in (strata, seeds))
    variances, freedoms, all_seeds, told_seeds = [], [], 0, 0
    trimmed = statistic is interquartile_mean
    told = _in_middle_half(values) if trimmed else np.ones(len(values), bool)
    for stratum in np.unique(strata):
        inside = strata == stratum
        numbers = np.unique(seeds[inside])
        count = len(numbers)
        left = []
        for number in numbers:
            weights = np.where(inside, np.where(seeds == number, 0, count), count - 1)
            left.append(statistic(np.repeat(values, weights)))
        variances.append((count - 1) * np.var(left))
        freedoms.append(count - 1)
        all_seeds += count
        told_seeds += len(np.unique(seeds[inside & told]))
    variance = float(sum(variances))
    if variance <= _ROUNDING**2:
        return OverSeeds(middle, float("nan"), float("nan"))
    freedom = variance**2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    freedom *= (told_seeds - 1) / (all_seeds - 1)
    return OverSeeds(middle, variance**0.5, max(1.0, float(freedom)))


def interval_over_seeds(
    values: np.ndarray,
    strata: np.ndarray,
    seeds: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Student's interval of a statistic over seeds; see `over_seeds`.

    Returns
    -------
    tuple of float
        Lower and upper bound; NaN with fewer than `FEWEST_SEEDS`, or where all agree.
    """
    return over_seeds(values, strata, seeds, statistic).interval(confidence)
