"""Epochs after which runs were at their best, by data set and architecture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from kancore.analysis.statistics import counted, main_grid
from kancore.figures import style


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw the distribution of the best epoch of each architecture over its runs.

    One panel a data set. A disc's area is the share of the architecture's runs that were at their
    best at that epoch; a line marks the median. Runs that diverged took all epochs.
    """
    colours = style.colours(table["model"])
    table = counted(main_grid(table))
    figure, places = style.architecture_panels(table, 2.4)
    figure.supylabel("Best epoch", fontsize="medium")
    for axes in figure.axes:
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    grouped = table.groupby(["dataset", "model", "depth", "objective"])
    for (dataset, model, depth, objective), runs in grouped:
        axes, place, width = places(dataset, model, depth, objective)
        epochs = runs["best_epoch"].dropna().to_numpy(float)
        look = style.mark(colours[model], objective)
        _draw_discs(axes, epochs, place, width, look)
    median = Line2D([], [], color=style.MEDIAN, label="median run")
    style.legend_above(figure, [*style.mark_handles(table, colours), median])
    style.describe(figure, _describe(table))
    return figure


def _describe(table: pd.DataFrame) -> str:
    """Count the runs that were at their best at the last evaluation."""
    known = table.dropna(subset=["best_epoch", "validation_accuracy"])
    known = known[~known["diverged"]]
    last = (known["best_epoch"] == known["epochs"]).groupby(known["model"]).mean()
    shares = [
        f"{style.display_name(model)} {last[model]:.0%}" for model in style.in_order(last.index)
    ]
    return f"Runs at their best at the last evaluation: {', '.join(shares)}." if shares else ""


def _draw_discs(
    axes: Axes, epochs: np.ndarray, place: float, width: float, look: style.Look
) -> None:
    if not len(epochs):
        return
    values, counts = np.unique(epochs, return_counts=True)
    axes.margins(y=0.1)
    axes.scatter(
        np.full(len(values), place),
        values,
        s=240 * width * counts / len(epochs) + 3,
        color=look["mfc"],
        ec=look["mec"],
        lw=0.9,
        zorder=3,
    )
    ends = place - width / 2, place + width / 2
    axes.hlines(np.median(epochs), *ends, color=style.MEDIAN, zorder=4)
