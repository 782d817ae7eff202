"""What a degree and what a layer brings, on a common axis of parameters."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from kancore.figures import style

_LINES = {1: "-", 2: "--"}


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw accuracy against parameters, a line for each degree and number of hidden layers.

    One panel a data set, with a logarithmic axis of parameters; marks are means over seeds, lines
    through them reach from the lowest seed to the highest.
    """
    runs = table[table["experiment"] == "width_degree"]
    runs = runs.assign(layers=runs["hidden_widths"].str.count("x") + 1)
    degrees = sorted(runs["degree"].unique())
    colours = dict(zip(degrees, style.shades(len(degrees)), strict=True))
    figure, panels = style.panels(style.in_order(runs["dataset"]), 3, 2.7)
    keys = ["dataset", "layers", "degree", "parameters"]
    seeds = runs.groupby(keys)["test_accuracy"].agg(["mean", "min", "max"]).reset_index()
    for (dataset, layers, degree), rows in seeds.groupby(keys[:3]):
        for row in rows.itertuples():
            style.draw_interval(panels[dataset], row.parameters, row.min, row.max, colours[degree])
        panels[dataset].plot(
            rows["parameters"].to_numpy(float),
            rows["mean"],
            color=colours[degree],
            ls=_LINES[layers],
            marker="o" if layers == 1 else "s",
            mfc=colours[degree] if layers == 1 else "white",
            ms=4,
        )
    for axes in panels.values():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(style.percent)
    figure.supxlabel("Trainable parameters", fontsize="medium")
    figure.supylabel("Test accuracy", fontsize="medium")
    handles = [
        *(Line2D([], [], color=colours[d], lw=3, label=f"degree {d}") for d in degrees),
        Line2D([], [], color=style.GREY, ls="-", marker="o", ms=4, label="1 hidden layer"),
        Line2D(
            [],
            [],
            color=style.GREY,
            ls="--",
            marker="s",
            ms=4,
            mfc="white",
            label="2 hidden layers",
        ),
        *style.seed_handles(runs["seed"].nunique() > 1),
    ]
    style.legend_above(figure, handles)
    return figure
