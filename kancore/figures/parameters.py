"""What figures with an axis of parameters share."""

from collections.abc import Mapping

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.figures import style
from kancore.figures.style import Look

_MARKERS = "osD^vPXp<>"


def parameters_panel(
    best: pd.DataFrame, colours: Mapping[str, str], column: str, label: str
) -> Figure:
    """Draw a mark for each architecture at its parameters and a value, joined along depth.

    Parameters
    ----------
    best
        Rows of `kancore.analysis.statistics.best_schemes`.
    colours
        Of the models.
    column
        The value; rows without it have no mark.
    label
        Label of its axis.

    Returns
    -------
    Figure
        One panel with a logarithmic axis of parameters; colours are models, marks are data sets.
    """
    drawn = best.dropna(subset=column).sort_values("parameters")
    names = style.in_order(best["dataset"])
    markers = {name: _MARKERS[place % len(_MARKERS)] for place, name in enumerate(names)}
    figure = Figure(figsize=mpl.rcParams["figure.figsize"], layout="constrained")
    axes = figure.subplots()
    for (name, model, objective), rows in drawn.groupby(["dataset", "model", "objective"]):
        axes.plot(
            rows["parameters"].to_numpy(float),
            rows[column],
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
    axes.set_ylabel(label)
    look: Look = {"color": style.GREY, "ls": "", "ms": 7, "mec": "white"}
    datasets = [
        Line2D([], [], **look, marker=marker, label=style.display_name(name))
        for name, marker in markers.items()
    ]
    style.legend_above(figure, [*style.line_handles(best, colours), *datasets])
    return figure
