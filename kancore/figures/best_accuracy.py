"""Test accuracy of the best scheme, by data set and architecture (the paper's accuracy bars)."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from kancore.analysis.statistics import best_schemes, main_grid
from kancore.figures import style

_ARCHITECTURE = ["dataset", "model", "depth"]
# An axis shows at least so much, and each point of accuracy if it shows no more than the other.
_LEAST, _MOST = 0.02, 0.12


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each architecture; two objectives stand side by side, joined by a line.

    One panel a data set, with its own scale; the best scheme is chosen on validation data. Lines
    through marks reach from the lowest seed to the highest.
    """
    colours = style.colours(table["model"])
    best = best_schemes(main_grid(table))
    figure, places = style.architecture_panels(best, 2.4)
    for (dataset, model, depth), rows in best.groupby(_ARCHITECTURE, dropna=False):
        spots = [places(dataset, model, depth, objective) for objective in rows["objective"]]
        axes = spots[0][0]
        axes.plot(
            [place for _, place, _ in spots], rows["test_accuracy"], color=colours[model], lw=0.8
        )
        for (_, place, _), row in zip(spots, rows.itertuples(), strict=True):
            style.draw_interval(axes, place, row.lowest, row.highest, colours[model])
            axes.plot(place, row.test_accuracy, **style.mark(colours[model], row.objective))
    for axes in figure.axes:
        _scale(axes)
    several = best["objective"].nunique() > 1
    for dataset, rows in best[best["test_accuracy"].isna()].groupby("dataset"):
        axes, *_ = places(dataset, *rows[["model", "depth", "objective"]].iloc[0])
        style.note(axes, (style.all_diverged(row, several) for row in rows.itertuples()))
    seeds = style.seed_handles((best["seeds"] > 1).any())
    style.legend_above(figure, [*style.mark_handles(best, colours), *seeds])
    style.describe(figure, _describe(best))
    return figure


def _scale(axes: Axes) -> None:
    low, high = style.widen(axes, _LEAST)
    if high - low <= _MOST:
        axes.yaxis.set_minor_locator(MultipleLocator(0.01))
        axes.grid(True, axis="y", which="minor")


def _describe(best: pd.DataFrame) -> str:
    """Name the highest of each data set, and what the other objective changes."""
    known = best.dropna(subset="test_accuracy")
    if known.empty:
        return "All runs diverged."
    highest = known.loc[known.groupby("dataset")["test_accuracy"].idxmax()]
    several = best["objective"].nunique() > 1

    def reached(row: Any) -> str:
        objective = f"{style.display_name(row.objective)}, " if several else ""
        return f"{objective}{100 * row.test_accuracy:.1f}%"

    names = style.network_names(highest, reached)
    text = f"The highest marks are {names}."
    wide = known.pivot(index=_ARCHITECTURE, columns="objective", values="test_accuracy")
    if "hsic" in wide and "backprop" in wide:
        points = 100 * (wide["hsic"] - wide["backprop"]).dropna()
        text += (
            f" With the HSIC bottleneck {(points > 0).sum()} of {len(points)} architectures reach "
            f"more than with backpropagation; the median difference is {points.median():+.1f} "
            "points."
        )
    return text
