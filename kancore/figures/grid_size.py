"""Test accuracy of KANs against the number of intervals of the spline grid."""

from itertools import cycle

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kancore.figures import style
from kancore.figures.style import Look

_MARKERS = "osD^v"


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a line for each depth.

    One panel a data set, with its own scale. Lines are means over seeds, bands reach from the
    lowest seed to the highest.
    """
    runs = table[table["experiment"] == "grid_size"]
    sizes, depths = sorted(runs["grid_size"].unique()), style.in_order(runs["depth"])
    figure, panels = style.panels(style.in_order(runs["dataset"]), 3, 2.4)
    looks: dict[str, Look] = {
        depth: {"color": colour, "marker": marker, "ms": 5}
        for depth, colour, marker in zip(depths, style.shades(len(depths)), cycle(_MARKERS))
    }
    for dataset, axes in panels.items():
        axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        axes.yaxis.set_major_formatter(style.percent)
        rows = runs[runs["dataset"] == dataset]
        rows = rows.assign(place=rows["grid_size"].map(sizes.index))
        for depth, look in looks.items():
            of_depth = rows[rows["depth"] == depth]
            sns.lineplot(of_depth, x="place", y="test_accuracy", ax=axes, **style.RANGE, **look)
        axes.set(xlabel=None, ylabel=None)
    figure.supxlabel("Intervals of the grid", fontsize="medium")
    figure.supylabel("Test accuracy", fontsize="medium")
    handles = [
        Line2D([], [], **look, label=style.display_name(depth)) for depth, look in looks.items()
    ]
    bands = [Patch(color=style.GREY, label="lowest to highest seed", **style.RANGE["err_kws"])]
    several = runs["seed"].nunique() > 1
    style.legend_above(figure, [*handles, *(bands if several else [])])
    return figure
