"""Test accuracy of KANs by base activation (the paper's accuracy by activation)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.figures import style
from kancore.figures.style import Look

_MARKERS = "osD^v"
# Marks this far below the median of their panel, as a fraction, are set at its lower edge, with
# their value, so that the others can be told apart.
_ROOM = 0.1


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a mark for each activation at each depth.

    One panel a data set, with its own scale. Marks are means over seeds, lines reach from the
    lowest seed to the highest. A mark with a number stands for one far below the panel.
    """
    runs = table[table["experiment"] == "activation"]
    names, depths = style.in_order(runs["activation"]), style.in_order(runs["depth"])
    figure, panels = style.panels(style.in_order(runs["dataset"]), 3, 2.6)
    looks: dict[str, Look] = {
        name: {"color": style.OTHERS[place], "marker": _MARKERS[place], "ms": 6, "mec": "white"}
        for place, name in enumerate(names)
    }
    for dataset, axes in panels.items():
        axes.set_xticks(range(len(depths)), [depth.removesuffix("layers") for depth in depths])
        axes.set_xlim(-0.5, len(depths) - 0.5)
        axes.yaxis.set_major_formatter(style.percent)
        floor = runs.loc[runs["dataset"] == dataset, "test_accuracy"].median() - _ROOM
        for place, name in enumerate(names):
            shift = (place - (len(names) - 1) / 2) * 0.8 / len(names)
            rows = runs[(runs["dataset"] == dataset) & (runs["activation"] == name)]
            _draw_activation(axes, rows, depths, shift, looks[name], floor)
    figure.supxlabel("Layers", fontsize="medium")
    figure.supylabel("Test accuracy", fontsize="medium")
    handles = [
        Line2D([], [], **look, ls="", label=style.display_name(name))
        for name, look in looks.items()
    ]
    style.legend_above(figure, [*handles, *style.seed_handles(runs["seed"].nunique() > 1)])
    style.describe(figure, _describe(runs))
    return figure


def _describe(runs: pd.DataFrame) -> str:
    """Count how often each activation has the highest mark, or one of them, of a depth."""
    marks = runs.groupby(["dataset", "depth", "activation"])["test_accuracy"].mean().dropna()
    if marks.empty:
        return "All runs diverged."
    groups = marks.groupby(["dataset", "depth"])
    wins = marks[np.isclose(marks, groups.transform("max"), rtol=0, atol=1e-9)].reset_index()
    counts = wins["activation"].value_counts()
    words = [f"{style.display_name(name)} {counts[name]}" for name in style.in_order(counts.index)]
    shared = len(wins) - groups.ngroups
    ties = ", where a tie counts for each" if shared else ""
    return f"Highest of its data set and depth: {', '.join(words)} of {groups.ngroups} times{ties}."


def _draw_activation(
    axes: Axes, rows: pd.DataFrame, depths: list, shift: float, look: dict, floor: float
) -> None:
    over_seeds = rows.groupby("depth")["test_accuracy"].agg(["mean", "min", "max"])
    over_seeds = over_seeds.reindex(depths).dropna()
    for depth, mean, low, high in over_seeds.itertuples():
        place = depths.index(depth) + shift
        if mean < floor:
            axes.plot(place, floor, **look, mew=0.7)
            axes.annotate(
                f"{100 * mean:.0f}%",
                (place, floor),
                (0, 5),
                textcoords="offset points",
                ha="center",
                fontsize="small",
            )
        else:
            axes.vlines(place, max(low, floor), high, color=look["color"], lw=1.2)
            axes.plot(place, mean, **look, ls="", mew=0.7)
