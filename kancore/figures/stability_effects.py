"""What each factor changes in the median scheme of KANs and in the spread over schemes."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kancore.analysis.stability import ALL, BASELINE
from kancore.figures import style
from kancore.schemes import COMBINED

_TITLES = {
    "median": "Median scheme, points",
    "spread": "Best minus median scheme, points",
}
# Share of a row's height between the marks of depths.
_STEP = 0.24
_MARKERS = "osD^vPX"
_POOLED = style.PALETTE[1]  # that of KANs


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw the effect of each factor on the median accuracy and on the spread.

    Two panels, a row a factor, that which raises the median most at the top. Large marks are means
    over all data sets and depths, with 95% intervals, small ones those of a depth. A combination of
    no factor has no row.
    """
    combined = table[table["factor"] == COMBINED]
    if (combined["effect"].fillna(0) == 0).all():
        table = table[table["factor"] != COMBINED]
    table = table[(table["dataset"] == ALL) & (table["factor"] != BASELINE)]
    table = table.dropna(subset="effect")
    pooled = table[(table["depth"] == ALL) & (table["measure"] == "median")]
    factors = list(pooled.sort_values("effect", ascending=False, kind="stable")["factor"])
    depths = style.in_order(set(table["depth"]) - {ALL})
    if len(depths) == 1:  # the same marks again
        depths = []
    colours = dict(zip(depths, style.shades(len(depths)), strict=True))
    figure = Figure(
        figsize=(mpl.rcParams["figure.figsize"][0], 0.32 * len(factors) + 1.1),
        layout="constrained",
    )
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (measure, title) in zip(panels, _TITLES.items(), strict=True):
        style.prepare_rows(axes, title, factors)
        axes.axvline(0, color=style.GREY, lw=0.8)
        for row in table[table["measure"] == measure].itertuples():
            if row.factor not in factors or row.depth not in (ALL, *depths):
                continue
            number = [ALL, *depths].index(row.depth)
            place = factors.index(row.factor) + (number - len(depths) / 2) * _STEP
            colour, size = (_POOLED, 6) if row.depth == ALL else (colours[row.depth], 3.5)
            axes.hlines(place, 100 * row.low, 100 * row.high, color=colour, lw=1.4)
            marker = _MARKERS[number % len(_MARKERS)]
            axes.plot(100 * row.effect, place, marker=marker, ms=size, color=colour)
    handles = [
        Line2D([], [], color=colour, marker=_MARKERS[number % len(_MARKERS)], ls="", label=label)
        for number, (colour, label) in enumerate(
            [
                (_POOLED, "all depths" if depths else "all data sets"),
                *((colours[depth], style.display_name(depth)) for depth in depths),
            ]
        )
    ]
    if table["low"].notna().any():
        handles.append(style.interval_handle("95% interval"))
    style.legend_above(figure, handles)
    return figure
