"""Test accuracy of the best scheme, by data set and architecture (the paper's accuracy bars)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.analysis.statistics import best_schemes, main_grid
from kancore.figures import style
from kancore.figures.style import Look

# A bar below this is too short for its height to be written into it.
_SHORT = 0.2
_MEDIAN: Look = {"marker": "D", "ms": 4.5, "mfc": "white", "mec": "black", "mew": 0.9, "ls": ""}


def draw(table: pd.DataFrame) -> Figure:
    """Draw a bar for each architecture, and where the median over its schemes lies.

    One panel a data set; the best scheme is chosen on validation data. A line through a median is
    its bootstrap interval; one at the end of a bar reaches over the seeds.
    """
    colours = style.colours(table["model"])
    best = best_schemes(main_grid(table))
    figure, places = style.architecture_panels(best, 2.4, sharey=True)
    for row in best.itertuples():
        axes, place, width = places(row.dataset, row.model, row.depth, row.objective)
        axes.set_ylim(0, 1.02)
        _draw_bar(axes, row, place, width, colours[row.model])
        _draw_median(axes, row, place)
    median = Line2D([], [], **_MEDIAN, label="median over schemes")
    style.legend_above(figure, [*style.patch_handles(best, colours), median])
    return figure


def _draw_bar(axes: Axes, row, place: float, width: float, colour: str) -> None:
    """Draw the bar of one row of `best_schemes`, with its height in percent in it or above."""
    label: Look = {"x": place, "rotation": 90, "ha": "center", "va": "bottom", "fontsize": "small"}
    if pd.isna(row.test_accuracy):
        axes.text(y=0.02, s="all diverged", color=colour, **label)
        return
    hatch = style.HATCHES.get(row.objective)
    axes.bar(place, row.test_accuracy, width * 0.94, color=colour, hatch=hatch, ec="white", lw=0)
    inside = row.test_accuracy >= _SHORT
    axes.text(
        y=0.03 if inside else row.highest + 0.03,
        s=f"{100 * row.test_accuracy:.1f}",
        color="white" if inside else colour,
        fontweight="bold",
        bbox={"fc": colour, "ec": "none", "pad": 0.6} if inside and hatch else None,
        **label,
    )
    if row.seeds > 1:
        axes.vlines(place, row.lowest, row.highest, color="black", lw=1.4)


def _draw_median(axes: Axes, row, place: float) -> None:
    if not pd.isna(row.median):
        axes.vlines(place, row.median_low, row.median_high, color="white", lw=2.4)
        axes.vlines(place, row.median_low, row.median_high, color="black", lw=0.9)
        axes.plot(place, row.median, **_MEDIAN, zorder=4)
