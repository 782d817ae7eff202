"""Test accuracy under the HSIC bottleneck beside backpropagation (the paper's HSIC bars)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.analysis.statistics import best_schemes, main_grid
from kancore.figures import style

_PAIR = ["dataset", "model", "depth"]
_TRAINED = ["dataset", "model"]
_MARK = {"marker": "o", "ms": 6, "mew": 1.4, "ls": ""}


def draw(table: pd.DataFrame) -> Figure:
    """Draw a pair of marks for each architecture, backpropagation at the left, joined by a line.

    One panel a data set that has runs with HSIC, with the models that have. Marks are test
    accuracies of the best scheme, chosen on validation data; bars through them reach over the
    seeds. Below each pair stands how many percentage points HSIC is better, or worse where it is
    negative.
    """
    colours = style.colours(table["model"])
    best = best_schemes(main_grid(table))
    with_hsic = best.loc[best["objective"] == "hsic", _TRAINED].drop_duplicates()
    best = best.merge(with_hsic, on=_TRAINED)
    if best.empty:
        return _nothing()
    figure, places = style.architecture_panels(best, 2.4)
    for (dataset, model, depth), pair in best.groupby(_PAIR):
        pair = pair.sort_values("objective")  # backprop, hsic
        spots = [places(dataset, model, depth, objective) for objective in pair["objective"]]
        _draw_pair(spots[0][0], pair, [place for _, place, _ in spots], colours[model])
    for axes in figure.axes:
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.15 * (high - low), high)  # room for the differences below
    for dataset, rows in best[best["test_accuracy"].isna()].groupby("dataset"):
        axes, *_ = places(dataset, *rows[["model", "depth", "objective"]].iloc[0])
        style.note(axes, (_describe(row) for row in rows.itertuples()))
    style.legend_above(figure, [*style.model_handles(best["model"], colours), *_legend()])
    return figure


def _nothing() -> Figure:
    figure = Figure(layout="constrained")
    text = "no runs with the objective hsic"
    figure.text(0.5, 0.5, text, ha="center", va="center", color=style.GREY)
    return figure


def _draw_pair(axes: Axes, pair: pd.DataFrame, places: list[float], colour: str) -> None:
    axes.plot(places, pair["test_accuracy"], color=colour, lw=1.2)
    for place, row in zip(places, pair.itertuples(), strict=True):
        if pd.isna(row.test_accuracy):
            continue
        axes.plot(place, row.test_accuracy, **_mark(row.objective, colour), zorder=3)
        if row.seeds > 1:
            axes.vlines(place, row.lowest, row.highest, color=colour, lw=1.4)
    if pair["test_accuracy"].notna().all() and len(pair) == 2:
        backprop, hsic = pair["test_accuracy"]
        axes.annotate(
            f"{100 * (hsic - backprop):+.1f}".replace("-", "\N{MINUS SIGN}"),
            (sum(places) / 2, pair["lowest"].min()),
            (0, -7),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize="small",
            color=colour,
        )


def _mark(objective: str, colour: str) -> dict:
    return {**_MARK, "mec": colour, "mfc": colour if objective == "backprop" else "white"}


def _describe(row) -> str:
    names = style.display_name(row.model), style.display_name(row.depth)
    return f"{', '.join(names)}, {style.display_name(row.objective)}: all diverged"


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], **_mark(objective, style.GREY), label=style.display_name(objective))
        for objective in ("backprop", "hsic")
    ]
