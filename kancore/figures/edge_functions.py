"""Functions of the strongest edges in the first layer of the best KAN of each data set."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kancore.figures import style
from kancore.figures.style import Look

_LINES: dict[str, Look] = {
    # Above the sum, which is the same where splines are nothing.
    "base": {"color": style.PALETTE[4], "lw": 1.2, "ls": "--", "zorder": 3},
    "spline": {"color": style.PALETTE[5], "lw": 1.2},
    "sum": {"color": style.INK, "lw": 1.5},
}
_DENSITY: Look = {"fc": style.pale(style.PALETTE[3]), "ec": "none"}
# Edges of a data set side by side; share of a panel's height for the density.
_COLUMNS, _BELOW = 4, 0.2


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a panel for each edge: base branch, spline and their sum over the input.

    Below lies the density of the input's values. Each panel has its own scale.
    """
    if table.empty:
        return style.nothing("no KAN of images or features is kept")
    names = style.in_order(table["dataset"])
    edges = [
        (name, list(by_edge)[start : start + _COLUMNS])
        for name in names
        for by_edge in [table[table["dataset"] == name].groupby("edge")]
        for start in range(0, by_edge.ngroups, _COLUMNS)
    ]
    width, _ = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width, 1.35 * len(edges) + 0.7), layout="constrained")
    grid = figure.subplots(len(edges), _COLUMNS, squeeze=False)
    shown = None
    for (name, row), panels in zip(edges, grid, strict=True):
        for (_, points), axes in zip(row, panels, strict=False):
            _draw_panel(axes, points)
        for axes in panels[len(row) :]:
            axes.remove()
        if name != shown:
            panels[0].set_ylabel(style.fold(style.display_name(name), 1.4), fontweight="bold")
        shown = name
    figure.supxlabel("Input of the network", fontsize="medium")
    figure.supylabel("Value of the function", fontsize="medium")
    lines = [Line2D([], [], label=name, **look) for name, look in _LINES.items()]
    style.legend_above(figure, [*lines, Patch(label="density of the input's values", **_DENSITY)])
    style.describe(figure, _describe(table))
    return figure


def _draw_panel(axes: Axes, points: pd.DataFrame) -> None:
    points = points.assign(sum=points["base"] + points["spline"])
    for column, look in _LINES.items():
        axes.plot(points["x"], points[column], **look)
    low, high = axes.get_ylim()
    axes.set_ylim(low - _BELOW * (high - low), high)
    steps = points[points["density"].diff() != 0]  # where an interval of the density begins
    height = 0.9 * _BELOW * steps["density"] / steps["density"].max()
    ends = [*steps["x"], points["x"].iloc[-1]]
    axes.stairs(height, ends, fill=True, transform=axes.get_xaxis_transform(), **_DENSITY)
    first = points.iloc[0]
    size = mpl.rcParams["font.size"] - 2
    name = style.fold(f"{first['input']} \N{RIGHTWARDS ARROW}", 1.2, size)
    axes.set_title(f"{name}\nunit {first['unit']}", loc="left", fontsize=size)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=size)


def _describe(table: pd.DataFrame) -> str:
    """Name the networks."""
    return (
        f"The edges are of {style.network_names(table.drop_duplicates('dataset'), style.origin)}."
    )
