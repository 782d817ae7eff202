"""Estimates of the intrinsic dimension with their intervals, beside published ones."""

import itertools

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.figures import style
from kancore.figures.style import Look
from kancore.intrinsic_dimension.estimates import MEASURED
from kancore.intrinsic_dimension.subspaces import REFERENCE

_MEASURED: Look = {"ls": "", "marker": "o", "ms": 5, "color": style.OTHERS[2]}
_PUBLISHED: Look = {
    "ls": "",
    "marker": "D",
    "ms": 6.5,
    "mfc": "none",
    "mec": style.INK,
    "mew": 1.2,
}


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a row for each estimate of a data set.

    One panel a data set, all with the same logarithmic axis of the dimension. A line through a dot
    is its 95% interval; beside it stands the estimate. What has no estimate has no row.
    """
    table = table.assign(row=[_name(row) for row in table.itertuples()])
    known = table[table["dimension"].notna()]
    rows = {
        name: list(dict.fromkeys(known.loc[known["dataset"] == name, "row"]))
        for name in style.in_order(table["dataset"])
    }
    height = 0.2 * max(map(len, rows.values())) + 0.35
    longest = max(map(len, itertools.chain(*rows.values())), default=0)
    labels = 0.065 * longest  # inches of its characters
    figure, by_name = style.panels(list(rows), 2, height, labels, sharex=True)
    for name, axes in by_name.items():
        _draw_panel(axes, known[known["dataset"] == name], rows[name])
    figure.supxlabel("Intrinsic dimension", fontsize="medium")
    sources = sorted(set(table["source"]) - {MEASURED})
    measured = known[known["source"] == MEASURED]
    intervals = (measured["low"] < measured["high"]).any()
    handles = [Line2D([], [], **_MEASURED, label="measured")]
    if intervals:
        line = Line2D([], [], color=_MEASURED["color"], lw=1.6, label="95% interval")
        handles.append(line)
    if sources:
        handles.append(Line2D([], [], **_PUBLISHED, label=f"published: {', '.join(sources)}"))
    style.legend_above(figure, handles)
    style.describe(figure, _describe(table[table["dimension"].isna()]))
    return figure


def _describe(lost: pd.DataFrame) -> str:
    """Name what has no estimate."""
    if lost.empty:
        return ""
    names = [f"{style.display_name(row.dataset)}, {row.row}" for row in lost.itertuples()]
    return f"There is no estimate of {'; '.join(names)}."


def _name(row) -> str:
    """Name of an estimate's row: its estimator, and neighbours or a network of its own."""
    name = style.display_name(row.estimator)
    if row.estimator == "mle":
        return f"{name}, k = {row.neighbors:.0f}"
    if pd.isna(row.network) or row.network == REFERENCE.name:
        return name
    return f"{name}: {'-'.join(row.network.split('-')[:2])}"


def _draw_panel(axes: Axes, drawn: pd.DataFrame, rows: list[str]) -> None:
    for row in drawn.itertuples():
        place = rows.index(row.row)
        if row.source != MEASURED:
            axes.plot(row.dimension, place, zorder=4, **_PUBLISHED)
            continue
        axes.plot(row.dimension, place, zorder=3, **_MEASURED)
        right = row.dimension if pd.isna(row.high) else row.high
        beside = drawn.loc[drawn["row"] == row.row, "dimension"].max()  # a published one's mark
        axes.hlines(place, right if pd.isna(row.low) else row.low, right, color=_MEASURED["color"])
        axes.annotate(
            f"{row.dimension:.3g}" if row.dimension < 1000 else f"{row.dimension:,.0f}",
            (max(right, beside), place),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=mpl.rcParams["font.size"] - 2,
            color=style.GREY,
        )
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.2)
    axes.grid(True, axis="both")
