"""Best test accuracy against the number of parameters, for all data sets."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.figures import style
from kancore.statistics import best_schemes, main_grid

TABLE = "runs"

_MARKERS = "osD^vPXp<>"


def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each architecture, joined along depth.

    Parameters
    ----------
    table
        Runs, with the columns of `kancore.tables.RUNS`.

    Returns
    -------
    Figure
        One panel with a logarithmic axis of parameters; colours are models, marks are data sets.
        The best scheme is chosen on validation data; where all diverged there is no mark.
    """
    best = best_schemes(main_grid(table))
    drawn = best.dropna(subset="test_accuracy").sort_values("parameters")
    names = style.in_order(best["dataset"])
    markers = {name: _MARKERS[place % len(_MARKERS)] for place, name in enumerate(names)}
    figure = Figure(figsize=mpl.rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    colours = style.colours(best["model"])
    for (name, model, objective), rows in drawn.groupby(["dataset", "model", "objective"]):
        axes.plot(
            rows["parameters"].to_numpy(float),
            rows["test_accuracy"],
            color=colours[model],
            marker=markers[name],
            ms=7,
            mfc=colours[model] if objective == "backprop" else "white",
            mec="white" if objective == "backprop" else colours[model],
            mew=0.7,
            lw=1,
            ls=style.LINES.get(objective, ":"),
        )
    axes.set_xscale("log")
    axes.grid(True, axis="x")
    axes.set_xlabel("Trainable parameters")
    axes.set_ylabel("Test accuracy of the best scheme")
    axes.yaxis.set_major_formatter(style.percent)
    look = {"color": style.GREY, "ls": "", "ms": 7, "mec": "white"}
    datasets = [
        Line2D([], [], **look, marker=marker, label=style.display_name(name))
        for name, marker in markers.items()
    ]
    style.legend_above(figure, [*style.line_handles(best), *datasets])
    return figure
