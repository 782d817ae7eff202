"""Test accuracy of all schemes of each architecture (the paper's box plots)."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kancore.analysis.statistics import average_seeds, main_grid
from kancore.figures import style
from kancore.figures.style import Look

# Of what is not trained by backpropagation.
_HATCH = "////"


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a box for each architecture over its schemes, and a dot for each scheme.

    One panel a data set. A scheme is averaged over its seeds; above each box stands how many
    schemes diverged. Boxes count those without any evaluation as 0, points leave them out.
    """
    colours = style.colours(table["model"])
    schemes = average_seeds(main_grid(table))
    figure, places = style.architecture_panels(schemes, 2.6)
    grouped = schemes.groupby(["dataset", "model", "depth", "objective"])
    for (dataset, model, depth, objective), group in grouped:
        axes, place, width = places(dataset, model, depth, objective)
        axes.margins(y=0.1)  # room for the numbers above
        _draw_box(axes, group, place, width, colours[model])
    for dataset, group in schemes[schemes["failed"] < schemes["seeds"]].groupby("dataset"):
        axes, *_ = places(dataset, *group.iloc[0][["model", "depth", "objective"]])
        low, high = group["test_accuracy"].agg(["min", "max"])
        room = 0.1 * (high - low) or 0.01
        axes.set_ylim(low - room, high + room)
    handles: list[Artist] = [
        Patch(fc=style.pale(colours[model]), ec=colours[model], label=style.display_name(model))
        for model in style.in_order(schemes["model"])
    ]
    objectives = style.in_order(schemes["objective"])
    grey: Look = {"fc": style.pale(style.GREY), "ec": style.GREY}
    handles += [
        Patch(hatch=hatch(name), label=style.display_name(name), **grey)
        for name in objectives
        if len(objectives) > 1
    ]
    handles.append(Line2D([], [], color=style.MEDIAN, label="median"))
    if schemes["diverged"].any():
        look: Look = {"ls": "", "marker": r"$\mathrm{n}$", "color": style.GREY}
        handles.append(Line2D([], [], **look, label="schemes that diverged"))
    style.legend_above(figure, handles)
    style.describe(figure, _describe(schemes))
    return figure


def hatch(objective: str) -> str | None:
    """Pattern of the boxes of an objective."""
    return None if objective == "backprop" else _HATCH


def _describe(schemes: pd.DataFrame) -> str:
    """Compare how far schemes of each model and objective lie apart."""
    places = ["objective", "model", "dataset", "depth"]
    quartiles = schemes.groupby(places)["test_accuracy"].quantile([0.25, 0.75]).unstack()
    points = 100 * (quartiles[0.75] - quartiles[0.25]).groupby(["objective", "model"]).median()
    several = schemes["objective"].nunique() > 1
    words = [
        f"{style.display_name(model)}{f' ({style.display_name(objective)})' if several else ''} "
        f"{points[objective, model]:.1f}"
        for objective in style.in_order(schemes["objective"])
        for model in style.in_order(schemes["model"])
        if (objective, model) in points.index
    ]
    return (
        f"Points from the lower to the upper quartile of schemes, median box: {', '.join(words)}."
    )


def _draw_box(axes: Axes, group: pd.DataFrame, place: float, width: float, colour: str) -> None:
    pattern = hatch(group["objective"].iloc[0])
    values = group.loc[group["failed"] < group["seeds"], "test_accuracy"].to_numpy()
    if len(values):
        axes.boxplot(
            group["test_accuracy"].to_numpy(),
            positions=[place],
            widths=width * 0.85,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={
                "fc": style.pale(colour),
                "ec": colour,
                "hatch": pattern,
            },
            medianprops={"color": style.MEDIAN, "lw": 1.6},
            whiskerprops={"color": colour},
            capprops={"color": colour},
        )
        # Spread evenly, not at random, so that the figure is the same each time.
        spread = np.linspace(-0.3, 0.3, len(values)) * width
        axes.plot(place + spread, values, ".", ms=4, color=colour, mec="none", zorder=3)
    if diverged := int((group["diverged"] > 0).sum()):
        where: Look = {"xy": (place, 1), "xycoords": ("data", "axes fraction"), "ha": "center"}
        axes.annotate(f"{diverged}", **where, va="top", fontsize="small", color=style.GREY)
