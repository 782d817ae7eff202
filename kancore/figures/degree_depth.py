"""What a degree and what a layer brings, on a common axis of parameters."""

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from kancore.figures import style
from kancore.figures.style import Look

_LAYERS: dict[int, Look] = {
    1: {"ls": "-", "marker": "o"},
    2: {"ls": "--", "marker": "s", "mfc": "white"},
}
_COLOUR = style.OTHERS[2]
_LOOK: Look = {"color": _COLOUR, "lw": 1.2, "ms": 3.5}
# Accuracies of a small test part differ by chance, which should not fill a panel.
_LEAST = 0.1


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw accuracy against parameters, a line for each number of hidden layers.

    A row of panels for each data set, a column for each degree, with the least degree's line of one
    hidden layer in all of them. Axes of parameters are logarithmic; marks are means over seeds,
    lines through them reach from the lowest seed to the highest.
    """
    runs = table[table["experiment"] == "width_degree"]
    runs = runs.assign(layers=runs["hidden_widths"].str.count("x") + 1)
    names, degrees = style.in_order(runs["dataset"]), sorted(runs["degree"].unique())
    width, _ = mpl.rcParams["figure.figsize"]
    figure = Figure(figsize=(width, 1.7 * len(names) + 0.8), layout="constrained")
    grid = figure.subplots(len(names), len(degrees), sharex="row", sharey="row", squeeze=False)
    keys = ["dataset", "degree", "layers", "parameters"]
    seeds = runs.groupby(keys)["test_accuracy"].agg(["mean", "min", "max"]).reset_index()
    for degree, axes in zip(degrees, grid[0], strict=True):
        axes.set_title(f"Degree {degree}", fontweight="bold")
    for name, panels in zip(names, grid, strict=True):
        rows = seeds[seeds["dataset"] == name]
        least = rows[(rows["degree"] == degrees[0]) & (rows["layers"] == 1)]
        for degree, axes in zip(degrees, panels, strict=True):
            axes.plot(least["parameters"].to_numpy(float), least["mean"], color=style.GREY, lw=0.8)
            _draw_panel(axes, rows[rows["degree"] == degree])
        style.widen(panels[0], _LEAST)  # and so all of the row
        panels[0].set_ylabel(style.fold(style.display_name(name), 1.4), fontweight="bold")
    figure.supxlabel("Trainable parameters", fontsize="medium")
    figure.supylabel("Test accuracy", fontsize="medium")
    handles = [
        Line2D([], [], color=style.GREY, lw=0.8, label=f"degree {degrees[0]}, 1 hidden layer"),
        Line2D([], [], label="1 hidden layer", **_LOOK, **_LAYERS[1]),
        Line2D([], [], label="2 hidden layers", **_LOOK, **_LAYERS[2]),
        *style.seed_handles(runs["seed"].nunique() > 1),
    ]
    style.legend_above(figure, handles)
    return figure


def _draw_panel(axes: Axes, seeds: pd.DataFrame) -> None:
    """Draw the lines of one data set and degree."""
    for layers, rows in seeds.groupby("layers"):
        for row in rows.itertuples():
            style.draw_interval(axes, row.parameters, row.min, row.max, _COLOUR)
        axes.plot(rows["parameters"].to_numpy(float), rows["mean"], **_LOOK, **_LAYERS[layers])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(style.percent)
