"""Efficiency and generalization gap of the best scheme, by data set and architecture."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.analysis.efficiency import best_scheme_efficiency
from kancore.figures import style
from kancore.figures.style import Look
from kancore.intrinsic_dimension.estimates import PAPER

_MEDIAN: Look = {"marker": "D", "ms": 4.5, "mfc": "white", "mec": "black", "mew": 0.9, "ls": ""}


def draw(table: pd.DataFrame) -> Figure:
    """Draw a pair of panels for each data set, with a bar for each architecture.

    Left the efficiency with the paper's constant for the intrinsic dimension, where a line at the
    end of a bar reaches over all other sources of it; right the generalization gap.
    """
    colours = style.colours(table["model"])
    best = best_scheme_efficiency(table, PAPER)
    names, objectives = style.in_order(best["dataset"]), style.in_order(best["objective"])
    pairs = style.architectures(best)
    width, _ = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width, 1.8 * len(names) + 0.6), layout="constrained")
    grid = figure.subplots(len(names), 2, sharex=True, squeeze=False)
    for name, (left, right) in zip(names, grid, strict=True):
        left.set_title(style.display_name(name), loc="left", fontweight="bold")
        left.set_ylabel("Efficiency")
        right.set_ylabel("Generalization gap")
        right.axhline(0, color=style.GREY, lw=0.6)
        right.yaxis.set_major_formatter(style.percent)
        for axes in (left, right):
            axes.set_xticks(range(len(pairs)), [depth.removesuffix("layers") for _, depth in pairs])
            axes.tick_params(axis="x", length=0, labelbottom=True)
    bar = 0.86 / len(objectives)
    for row in best.itertuples():
        shift = (objectives.index(row.objective) - (len(objectives) - 1) / 2) * bar
        place = pairs.index((row.model, row.depth)) + shift
        _draw_row(grid[names.index(row.dataset)], row, place, bar, colours[row.model])
    figure.supxlabel("Layers", fontsize="medium")
    median = Line2D([], [], **_MEDIAN, label="median over schemes")
    style.legend_above(figure, [*style.patch_handles(best, colours), median])
    return figure


def _draw_row(pair, row, place: float, width: float, colour: str) -> None:
    """Draw both bars of one row of `best_scheme_efficiency`; nothing where all runs diverged."""
    look = {"color": colour, "hatch": style.HATCHES.get(row.objective), "ec": "white", "lw": 0}
    for axes, value in zip(pair, (row.efficiency, row.generalization_gap), strict=True):
        if not pd.isna(value):
            axes.bar(place, value, width * 0.94, **look)
    if not pd.isna(row.least):
        pair[0].vlines(place, row.least, row.greatest, color="black", lw=1.4, zorder=3)
    if not pd.isna(row.median_efficiency):
        pair[0].plot(place, row.median_efficiency, **_MEDIAN, zorder=4)
