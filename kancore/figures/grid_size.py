"""Test accuracy of KANs against the number of intervals of the spline grid."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.figures import style

TABLE = "follow_ups"

_MARKERS = "osD^v"


def draw(table: pd.DataFrame) -> Figure:
    """Draw a line for each depth.

    Parameters
    ----------
    table
        Runs of follow-ups, with the columns of `kancore.tables.RUNS`.

    Returns
    -------
    Figure
        One panel a data set, with its own scale. Lines are means over seeds, bands reach from the
        lowest seed to the highest.
    """
    runs = table[table["experiment"] == "grid_size"]
    sizes, depths = sorted(runs["grid_size"].unique()), style.in_order(runs["depth"])
    figure, panels = style.panels(style.in_order(runs["dataset"]), 3, 2.4)
    looks = {
        depth: {"color": style.PALETTE[place], "marker": _MARKERS[place % len(_MARKERS)], "ms": 5}
        for place, depth in enumerate(depths)
    }
    for dataset, axes in panels.items():
        axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        axes.yaxis.set_major_formatter(style.percent)
        for depth, look in looks.items():
            rows = runs[(runs["dataset"] == dataset) & (runs["depth"] == depth)]
            seeds = rows.groupby("grid_size")["test_accuracy"].agg(["mean", "min", "max"])
            seeds = seeds.reindex(sizes).reset_index(drop=True)
            axes.plot(seeds["mean"], **look)
            if rows["seed"].nunique() > 1:
                axes.fill_between(
                    seeds.index, seeds["min"], seeds["max"], color=look["color"], alpha=0.2, lw=0
                )
    figure.supxlabel("Intervals of the grid", fontsize="medium")
    figure.supylabel("Test accuracy", fontsize="medium")
    handles = [
        Line2D([], [], **look, label=style.display_name(depth)) for depth, look in looks.items()
    ]
    style.legend_above(figure, handles)
    return figure
