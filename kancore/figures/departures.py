"""What each departure of the published code changes, alone and all together, with intervals."""

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from kancore.figures import style
from kancore.studies.protocols import PUBLISHED

_TITLES = {
    "best_accuracy": "Accuracy of the best scheme, points",
    "test_accuracy": "Accuracy of a scheme, points",
    "gap": "Generalization gap, points",
    "log_efficiency": "Efficiency of a scheme, factor",
}
# What names of protocols leave of the width to the name of a data set.
_TITLE_INCHES = 2.3
# Shares of a row's height between the marks of models.
_STEP = 0.24


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw the effect of each protocol on each measure, minus the clean protocol.

    One panel a measure, and of several data sets one row of panels each; a row of marks for each
    protocol. Lines are 95% bootstrap intervals; a model that a protocol trains as the clean one
    does has a small cross at zero.
    """
    colours = style.colours(table["model"])
    protocols = list(dict.fromkeys(table["protocol"]))
    protocols.sort(key=lambda name: name != PUBLISHED)
    datasets, models = style.in_order(table["dataset"]), style.in_order(table["model"])
    height = 0.32 * len(protocols) + 0.7
    figure = Figure(
        figsize=(mpl.rcParams["figure.figsize"][0], 2 * len(datasets) * height + 0.5),
        layout="constrained",
    )
    grid = figure.subplots(2 * len(datasets), 2, squeeze=False, sharey=True)
    for place, dataset in enumerate(datasets):
        panels = grid[2 * place : 2 * place + 2].flat
        for axes, (measure, title) in zip(panels, _TITLES.items(), strict=True):
            if len(datasets) > 1:
                name = style.fold(f"{style.display_name(dataset)}:", _TITLE_INCHES)
                title = f"{name}\n{title}"
            _prepare(axes, title, protocols, measure)
            rows = table[(table["dataset"] == dataset) & (table["measure"] == measure)]
            for row in rows.dropna(subset="effect").itertuples():
                shift = (models.index(row.model) - (len(models) - 1) / 2) * _STEP
                _mark(axes, protocols.index(row.protocol) + shift, row, colours[row.model])
    handles = [
        Line2D([], [], color=colour, lw=2, marker="o", ms=5, label=style.display_name(model))
        for model, colour in colours.items()
    ]
    same = Line2D([], [], color=style.GREY, marker="x", ms=4, ls="", label="trained as clean")
    interval = style.interval_handle("95% interval")
    style.legend_above(figure, [*handles, interval, same])
    return figure


def _prepare(axes: Axes, title: str, protocols: list[str], measure: str) -> None:
    style.prepare_rows(axes, title, protocols)
    axes.axvline(1 if measure == "log_efficiency" else 0, color=style.GREY, lw=0.8)
    if measure == "log_efficiency":
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"\N{MULTIPLICATION SIGN}{value:g}")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
        axes.xaxis.set_minor_locator(NullLocator())


def _mark(axes: Axes, place: float, row, colour: str) -> None:
    low, effect, high = (_shown(value, row.measure) for value in (row.low, row.effect, row.high))
    if not row.trained:
        axes.plot(effect, place, marker="x", ms=4, color=colour)
        return
    axes.hlines(place, low, high, color=colour, lw=1.6)
    axes.plot(effect, place, marker="o", ms=4, color=colour)


def _shown(value: float, measure: str) -> float:
    """Points of an accuracy or a gap, the factor of an efficiency."""
    return math.exp(value) if measure == "log_efficiency" else 100 * value
