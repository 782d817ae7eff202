"""What figures with an axis of parameters share."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    Formatter,
    LogLocator,
    NullFormatter,
    StrMethodFormatter,
)

from kancore.figures import style


def parameters_panels(
    table: pd.DataFrame, colours: Mapping[str, str], column: str, label: str, several: str
) -> Figure:
    """Draw a mark for each architecture at its parameters and a value, joined along depth.

    Parameters
    ----------
    table
        One row an architecture of a data set and objective, with ``parameters`` and what an
        interval through its mark reaches over, ``low`` and ``high``, null where there is none.
    colours
        Of the models.
    column
        The value; rows without it have no mark.
    label
        Label of its axis.
    several
        What the intervals are, in words.

    Returns
    -------
    Figure
        One panel a data set, with a logarithmic axis of parameters and a scale of its own.
    """
    drawn = table.dropna(subset=column).sort_values("parameters")
    figure, panels = style.panels(style.in_order(table["dataset"]), 3, 2.4)
    for (name, model, objective), rows in drawn.groupby(["dataset", "model", "objective"]):
        look = style.mark(colours[model], objective) | {"ms": 5.5}
        line = style.LINES.get(objective, ":")
        axes = panels[name]
        axes.plot(
            rows["parameters"].to_numpy(float),
            rows[column],
            color=colours[model],
            ls=line,
            lw=1,
            **look,
        )
        for row in rows.itertuples():
            style.draw_interval(axes, row.parameters, row.low, row.high, colours[model])
    for axes in panels.values():
        axes.set_xscale("log")
        axes.margins(x=0.1)
        _tick(axes.xaxis, axes.get_xlim(), EngFormatter(sep=""))
    figure.supxlabel("Trainable parameters", fontsize="medium")
    figure.supylabel(label, fontsize="medium")
    intervals = [style.interval_handle(several)] if (drawn["low"] < drawn["high"]).any() else []
    style.legend_above(figure, [*style.mark_handles(table, colours), *intervals])
    return figure


def logarithmic(figure: Figure) -> None:
    """Make the other axis of each panel logarithmic too, if it has a mark."""
    for axes in figure.axes:
        if axes.lines:
            axes.set_yscale("log")
            _tick(axes.yaxis, axes.get_ylim(), StrMethodFormatter("{x:g}"))


def _tick(axis: Axis, limits: tuple[float, float], form: Formatter) -> None:
    """Label so many ticks of a logarithmic axis as have room."""
    low, high = limits
    axis.set_major_locator(LogLocator(subs=(1,) if high > 30 * low else (1, 2, 5)))
    axis.set_major_formatter(form)
    axis.set_minor_formatter(NullFormatter())
