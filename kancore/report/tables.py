"""Tables of the report: which columns they have and how a value is written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from kancore.analysis.statistics import (
    SCHEME,
    SETTING,
    OverSeeds,
    average_seeds,
    choose,
    counted,
    main_grid,
    ranked_kan_schemes,
)
from kancore.claims.declared import Thresholds
from kancore.figures.style import display_name, in_order

# Half of the interval of an accuracy that needs no caution.
_PRECISE = 0.01
MISSING = "\N{EN DASH}"

# How a column is written: its heading, and how one of its values is.
_FORMATS: dict[str, Callable[[Any], str]] = {
    "name": lambda value: display_name(str(value)),
    "text": str,
    "number": lambda value: f"{value:g}",
    "count": lambda value: f"{value:,.0f}",
    "percent": lambda value: f"{100 * value:.2f}",
    "seconds": lambda value: f"{value:,.1f}",
    "short_seconds": lambda value: f"{value:,.3g}",
    "range": lambda value: f"{100 * value[0]:.1f} to {100 * value[1]:.1f}",
    "flag": lambda value: "yes" if value else "",
}
KEY_COLUMNS = {
    "study": ("Study", "text"),
    "experiment": ("Experiment", "name"),
    "protocol": ("Protocol", "text"),
    "dataset": ("Data set", "name"),
    "objective": ("Objective", "name"),
    "model": ("Model", "name"),
    "depth": ("Depth", "name"),
    "hidden_widths": ("Hidden widths", "text"),
    "activation": ("Activation", "name"),
    "degree": ("Degree", "number"),
    "grid_size": ("Grid", "number"),
    "initialization": ("Initialization", "name"),
    "optimizer": ("Optimizer", "name"),
    "learning_rate": ("Learning rate", "number"),
    "seed": ("Seed", "number"),
}
RUN_COLUMNS = {
    "parameters": ("Parameters", "count"),
    "best_epoch": ("Best epoch", "number"),
    "train_accuracy": ("Train, %", "percent"),
    "validation_accuracy": ("Validation, %", "percent"),
    "test_accuracy": ("Test, %", "percent"),
    "best_test_accuracy": ("Best on test, %", "percent"),
    "generalization_gap": ("Gap, %", "percent"),
    "diverged": ("Diverged", "flag"),
}
BEST_COLUMNS = {
    "test_accuracy": ("Test, %", "percent"),
    "best_on_test": ("Best on test, %", "percent"),
    "validation_accuracy": ("Validation, %", "percent"),
    "tied": ("Tied", "count"),
    "tied_range": ("Test of tied, %", "text"),
    "median": ("Median, %", "percent"),
    "generalization_gap": ("Gap, %", "percent"),
    "best_epoch": ("Best epoch", "number"),
    "parameters": ("Parameters", "count"),
    "schemes": ("Schemes", "count"),
    "diverged_schemes": ("Diverged", "count"),
}
TIMING_COLUMNS = {
    "experiment": ("Experiment", "name"),
    "sweep": ("Sweep", "text"),
    "schemes": ("Schemes", "count"),
    "epochs": ("Epochs", "count"),
    "steps": ("Steps", "count"),
    "seconds": ("Total, s", "seconds"),
    "training_seconds": ("Training, s", "seconds"),
    "evaluation_seconds": ("Evaluation, s", "seconds"),
    "resumes": ("Resumes", "count"),
    "device": ("Device", "text"),
    "threads": ("Threads", "count"),
}
DATASET_COLUMNS = {
    "name": ("Data set", "name"),
    "features": ("Features", "count"),
    "classes": ("Classes", "count"),
    "train": ("Training", "count"),
    "test": ("Test", "count"),
    "trained": ("Training, used", "count"),
    "tested": ("Test, used", "count"),
    "largest": ("Largest class, %", "percent"),
    "source": ("Source", "text"),
}
PUBLISHED_COLUMNS = {
    "dataset": ("Data set", "name"),
    "objective": ("Objective", "name"),
    "model": ("Model", "name"),
    "depth": ("Depth", "name"),
    "degree": ("Degree", "number"),
    "parameters": ("Parameters", "count"),
    "runs": ("Runs", "count"),
    "best": ("Best, %", "percent"),
    "median": ("Median, %", "percent"),
    "gap": ("Gap, %", "percent"),
    "seconds_per_epoch": ("Epoch, s", "seconds"),
    "own_best": ("Best here, %", "percent"),
    "own_best_range": ("Best of one more seed, %", "range"),
    "own_median": ("Median here, %", "percent"),
    "own_median_range": ("Median of one more seed, %", "range"),
    "own_gap": ("Gap here, %", "percent"),
    "own_seconds": ("Epoch here, s", "short_seconds"),
    "source": ("Source", "text"),
}


@dataclass(frozen=True)
class Table:
    """A table as written: headings, cells, which columns hold numbers, which rows stand out."""

    headings: list[str]
    numeric: list[bool]
    rows: Sequence[tuple[str, ...]]
    top: list[bool]


def table(
    frame: pd.DataFrame, columns: Mapping[str, tuple[str, str]], top: pd.Series | None = None
) -> Table:
    """Write those of `columns` that `frame` has; rows where `top` is true stand out."""
    columns = {name: column for name, column in columns.items() if name in frame}
    cells = [write(frame[name], kind) for name, (_, kind) in columns.items()]
    return Table(
        headings=[heading for heading, _ in columns.values()],
        numeric=[kind not in ("name", "text", "flag") for _, kind in columns.values()],
        rows=list(zip(*cells, strict=True)),
        top=[False] * len(frame) if top is None else top.tolist(),
    )


def write(values: pd.Series, kind: str) -> list[str]:
    """Write each value of a column as its kind is written."""
    form = _FORMATS[kind]
    return [
        MISSING if missing else form(value)
        for value, missing in zip(values, values.isna(), strict=True)
    ]


def in_reading_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort data sets, objectives, models and depths as in the figures; keep the rest as it is."""
    names = [name for name in ("dataset", "objective", "model", "depth") if name in frame]
    rank = {name: pd.Index(in_order(frame[name])) for name in names}
    return frame.sort_values(names, key=lambda column: rank[column.name].get_indexer(column))


def varying(runs: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Columns of the key that tell runs apart; which have no degree and grid, the model tells."""
    several = runs[list(KEY_COLUMNS)].nunique() > 1
    return {name: column for name, column in KEY_COLUMNS.items() if several[name]}


def common(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Headings and values of the key columns that all runs share, but for missing ones."""
    skipped = ("study", "experiment", *varying(runs))
    return [
        (heading, value)
        for name, (heading, kind) in KEY_COLUMNS.items()
        if name not in skipped and runs[name].notna().any()
        for value in write(runs[name].head(1), kind)
    ]


def with_best_on_test(best: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Add the accuracy of each setting that is found if test data choose epoch and scheme.

    So the published runs were chosen; schemes that diverged count with what they had reached.
    """
    schemes = counted(runs).groupby([*SETTING, *SCHEME], dropna=False)["best_test_accuracy"].mean()
    highest = schemes.groupby(list(SETTING), dropna=False).max().rename("best_on_test")
    return best.merge(highest.reset_index(), on=list(SETTING), how="left")


def with_ties(best: pd.DataFrame) -> pd.DataFrame:
    """Say of rows whose scheme is not the only best one what all of these reach on test data.

    The number of schemes is left out where all rows have as many, and of those that diverged where
    none did.
    """
    if best["schemes"].nunique() == 1:
        best = best.drop(columns="schemes")
    if not best["diverged_schemes"].any():
        best = best.drop(columns="diverged_schemes")
    several = _tied(best)
    if not several.any():
        return best.drop(columns="tied")
    bounds = zip(best["tied_low"], best["tied_high"], strict=True)
    ranges = pd.Series([f"{100 * low:.2f} to {100 * high:.2f}" for low, high in bounds], best.index)
    return best.assign(tied=best["tied"].where(several), tied_range=ranges.where(several))


def as_good_for_follow_ups(runs: pd.DataFrame, dataset: str, chosen: Any) -> int:
    """Count the schemes of a data set that `best_kan_scheme` might have chosen as well."""
    schemes = ranked_kan_schemes(runs, dataset).set_index(list(SCHEME)).round(9)
    own = schemes.loc[tuple(getattr(chosen, name) for name in SCHEME)]
    return int((schemes == own).all(axis=1).sum()) - 1


def _tied(best: pd.DataFrame) -> pd.Series:
    # Without validation data they tie in the very number that is shown.
    return (best["tied"] > 1) & best["validation_accuracy"].notna()


def published(figures: pd.DataFrame, runs: pd.DataFrame, timings: pd.DataFrame) -> Table:
    """Write the published figures, and beside them ours, of test data as published.

    Ours are of a network of the same depth with as many parameters; elsewhere there are none.
    Best and median are over schemes, of the best accuracy on test data, as means over seeds, with 0
    for a run that was never evaluated; the gap is the mean over runs; the time is that of one
    network's epoch, its evaluations included, in a sweep on one process. With several seeds best
    and median have the interval beside them in which one more seed would be (`one_more`), since the
    published runs have one.
    """
    by = ["dataset", "objective", "model", "depth", "degree"]
    runs, timings = (
        main_grid(rows[rows["experiment"] == "grid"]).astype({"degree": float})
        for rows in (runs, timings)
    )
    seeds = counted(runs).groupby([*by, "seed"], dropna=False)["best_test_accuracy"]
    seeds = seeds.agg(best="max", median="median").groupby(by, dropna=False)
    spent = timings.assign(epochs=timings["epochs"] * timings["schemes"])
    spent = spent.groupby(by, dropna=False)[["seconds", "epochs"]].sum()
    own = pd.DataFrame(
        {
            **{f"own_{name}": seeds[name].mean() for name in ("best", "median")},
            **{f"own_{name}_range": seeds[name].agg(one_more) for name in ("best", "median")},
            "own_parameters": runs.groupby(by, dropna=False)["parameters"].first(),
            "own_gap": runs.groupby(by, dropna=False)["generalization_gap"].mean(),
            "own_seconds": spent["seconds"] / spent["epochs"],
        }
    )
    found = figures.merge(own.reset_index(), on=by, how="left")
    # The paper's tables name no sizes: their networks are those of the runs.
    sizes = found.groupby(["dataset", "model", "depth", "degree"], dropna=False)["parameters"]
    within, ratio = Thresholds().same_size, found["own_parameters"] / sizes.transform("first")
    found[own.columns] = found[own.columns].where(ratio.between(1 / within, within))
    shown = [name for name in PUBLISHED_COLUMNS if name not in own or found[name].notna().any()]
    return table(found, {name: PUBLISHED_COLUMNS[name] for name in shown})


def one_more(seeds: pd.Series) -> tuple[float, float] | None:
    """Give Student's 95% prediction interval of one more seed's accuracy.

    There is none where seeds do not tell how far another may be off: of one, or where all agree.
    """
    count = len(seeds)
    if seeds.nunique() < 2:
        return None
    error = seeds.std() * (1 + 1 / count) ** 0.5
    low, high = OverSeeds(seeds.mean(), error, count - 1).interval(0.95)
    return max(0.0, low), min(1.0, high)


def highest(best: pd.DataFrame) -> pd.Series:
    """Whether a row has the highest test accuracy of its data set and objective."""
    group = best.groupby(["dataset", "objective"])["test_accuracy"]
    return best["test_accuracy"] == group.transform("max")


def _of_models(best: pd.DataFrame) -> pd.DataFrame:
    """Keep the best architecture of each model, by the rule that chooses its scheme.

    ``tied``, with the bounds of what they reach, counts the schemes of all architectures that
    validate as well, and ``architectures`` those that have any.
    """
    by = ["dataset", "objective", "model"]
    # An architecture all of whose schemes diverged has no best one, and comes last.
    ranked = choose(best.assign(diverged=best["test_accuracy"].isna()), by)
    ranked = ranked.rename(columns={"tied": "architectures"})
    score = best["validation_accuracy"].astype(float).round(9)
    highest = score == score.groupby([best[name] for name in by]).transform("max")
    tied = best[highest].groupby(by, as_index=False)
    tied = tied.agg(
        tied=("tied", "sum"), tied_low=("tied_low", "min"), tied_high=("tied_high", "max")
    )
    ranked = ranked.drop(columns=["tied_low", "tied_high", "diverged"])
    return in_reading_order(ranked.merge(tied, on=by, how="left"))


def cautions(best: pd.DataFrame, tested: Mapping[str, int]) -> list[str]:
    """Say how far the numbers of `summary` are to be trusted, where that is not far.

    Parameters
    ----------
    best
        As for `summary`.
    tested
        Test examples of each data set.
    """
    ranked, found = _of_models(best), []
    for row in ranked[_tied(ranked)].itertuples():
        of = ", ".join(map(display_name, (row.dataset, row.objective, row.model)))
        several = f" of {row.architectures} architectures" if row.architectures > 1 else ""
        found.append(
            f"{of}: {row.tied:.0f} schemes{several} tie for the best validation accuracy, "
            f"{100 * row.validation_accuracy:.2f}%; their test accuracies are "
            f"{100 * row.tied_low:.2f} to {100 * row.tied_high:.2f}%."
        )
    for name, accuracy in ranked.groupby("dataset", sort=False)["test_accuracy"].max().items():
        if pd.isna(accuracy) or name not in tested:
            continue
        count = tested[name]
        right = binomtest(round(accuracy * count), count)
        low, high = right.proportion_ci(method="wilson")
        if high - low > 2 * _PRECISE:
            found.append(
                f"{display_name(name)}: one of its {count:,} test examples is "
                f"{100 / count:.2f} points, and the 95% interval of {100 * accuracy:.2f}% over "
                f"such examples is {100 * low:.1f} to {100 * high:.1f}%."
            )
    return found


def summary(best: pd.DataFrame, keys: Mapping[str, tuple[str, str]]) -> Table:
    """Put side by side what the best architecture of each model reaches on each data set."""
    wide = _of_models(best).pivot(
        index=["dataset", "objective"], columns="model", values="test_accuracy"
    )
    columns = {name: KEY_COLUMNS[name] for name in ("dataset", "objective") if name in keys}
    columns = {"dataset": KEY_COLUMNS["dataset"], **columns, **_models(best)}
    return table(in_reading_order(wide.reset_index()), columns)


def schemes(runs: pd.DataFrame) -> Table:
    """Write for each scheme the mean test accuracy of each model over data sets and depths."""
    means = average_seeds(runs).groupby([*SCHEME, "model"])["test_accuracy"].mean()
    columns = {name: KEY_COLUMNS[name] for name in ("initialization", "optimizer", "learning_rate")}
    return table(means.unstack().reset_index(), {**columns, **_models(runs)})


def _models(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    return {model: (display_name(model), "percent") for model in in_order(frame["model"])}
