"""The verdicts on the paper's claims in one picture: effects, bounds, published values."""

import math
from collections import Counter
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from kancore.figures import style
from kancore.figures.style import Look

_FOR, _AGAINST, _NEITHER = style.PALETTE[2], style.PALETTE[1], style.GREY
# Shape and colour of each verdict; open ones rest on few seeds, or on nothing that decides.
LOOKS: dict[str, Look] = {
    "supported": {"marker": "o", "mfc": _FOR, "mec": _FOR},
    "suggested": {"marker": "o", "mfc": "white", "mec": _FOR},
    "contradicted": {"marker": "X", "mfc": _AGAINST, "mec": _AGAINST},
    "doubted": {"marker": "X", "mfc": "white", "mec": _AGAINST},
    "depends": {"marker": "D", "mfc": style.PALETTE[3], "mec": style.PALETTE[3]},
    "inconclusive": {"marker": "s", "mfc": "white", "mec": _NEITHER},
}
_PUBLISHED: Look = {"marker": "|", "ms": 9, "mew": 1.8, "color": style.PALETTE[0], "ls": ""}
_REGION: Look = {"fc": style.pale(_FOR), "ec": "none"}


class _Panel(NamedTuple):
    """A column of effects of one kind: its title, share of the width, ticks, their form."""

    title: str
    width: float
    ticks: tuple[float, ...]
    nothing: float | None


_PANELS = {
    "points": _Panel("Points", 2.2, (-50, -10, -2, 0, 2, 10, 50), 0),
    "factor": _Panel("Factor", 1.4, (0.01, 0.1, 0.3, 1, 3, 10, 100), 1),
    "share": _Panel("Share of pairs", 1.1, (0, 50, 100), None),
}
# Inches of a test's row, of a line of a statement, and of what separates claims.
_ROW, _LINE, _GAP = 0.16, 0.125, 0.05
# Share of the width that statements take.
_WORDS = 3.4


@style.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a row for each test that could be made, under the statement of its claim.

    Claims are grouped by topic. Effects stand in columns by unit: differences in points, on an axis
    that is linear up to 2 points and logarithmic beyond; factors, logarithmic; shares of pairs.
    Where the whole interval must lie for the claim to hold is shaded.
    """
    tested = table[table["verdict"].isin(LOOKS)]
    tested = tested.assign(kind=[kind(row) for row in tested.itertuples()])
    if tested.empty:
        return style.nothing("no claim of the paper can be tested with these runs")
    kinds = {name: panel for name, panel in _PANELS.items() if (tested["kind"] == name).any()}
    width, _ = mpl.rcParams["figure.figsize"]
    widths = [_WORDS, *(panel.width for panel in kinds.values())]
    size = mpl.rcParams["font.size"] - 1.5
    blocks, height = _blocks(tested, width * _WORDS / sum(widths), size)
    figure = Figure(figsize=(width, height + 1.3), layout="constrained")
    words, *grid = figure.subplots(1, len(widths), sharey=True, width_ratios=widths)
    words.set_axis_off()
    words.set_xlim(0, 1)
    words.set_ylim(height, 0)
    panels = dict(zip(kinds, grid, strict=True))
    for name, axes in panels.items():
        _prepare(axes, kinds[name], _extent(tested[tested["kind"] == name]))
    for topic, claim, rows, top, lines in blocks:
        if topic:
            words.text(0, top - 0.13, topic, va="center", fontweight="bold")
        words.text(0.09, top, "\n".join(lines), va="top", fontsize=size, linespacing=1.15)
        words.plot(0.035, top + _LINE / 2, ms=6, ls="", **LOOKS[claim])
        for number, row in enumerate(rows.itertuples()):
            place = top + (number + 0.35) * _ROW
            if len(rows) > 1:
                words.text(1, place, f"{row.part}", va="center", ha="right", fontsize=size)
            _draw_test(panels[row.kind], row, place)
    style.legend_above(figure, _legend(tested))
    style.describe(figure, _describe(table))
    return figure


def kind(row: Any) -> str:
    """Tell in which of the columns the value of a test stands."""
    if row.summary == "share":
        return "share"
    return "factor" if row.unit.startswith("log_") else "points"


def shown(value: float, kind: str) -> float:
    """Give a value as its column has it: in points or percent, or as a factor."""
    return math.exp(value) if kind == "factor" else 100 * value


def _blocks(tested: pd.DataFrame, inches: float, size: float) -> tuple[list, float]:
    """Place claims from the top down: topic if it is new, verdict, tests, top, lines of words."""
    blocks, top, last = [], 0.0, None
    for (topic, claim), rows in tested.groupby(["topic", "claim"], sort=False):
        first = rows.iloc[0]
        lines = style.fold(f"{claim}  {first['statement']}", inches, size).splitlines()
        if topic != last:
            top += 0.3
        verdict = first["claim_verdict"]
        blocks.append((topic if topic != last else None, verdict, rows, top, lines))
        top += max(len(rows) * _ROW, len(lines) * _LINE) + _GAP
        last = topic
    return blocks, top


def _extent(rows: pd.DataFrame) -> tuple[float, float]:
    """Least and greatest of all values that a column has."""
    columns = ["value", "low", "high", "above", "below", "published"]
    values = [shown(value, row["kind"]) for _, row in rows.iterrows() for value in row[columns]]
    known = [value for value in values if not math.isnan(value)]
    return min(known), max(known)


def _prepare(axes: Axes, panel: _Panel, extent: tuple[float, float]) -> None:
    low, high = extent
    axes.set_title(panel.title, fontsize="medium", pad=18)
    if panel.title == "Points":
        axes.set_xscale("symlog", linthresh=2, linscale=0.8)
        axes.set_xlim(min(-4, 1.6 * low), max(4, 1.6 * high))
    elif panel.title == "Factor":
        axes.set_xscale("log")
        axes.set_xlim(min(0.4, 0.7 * low), max(2.5, 1.4 * high))
    else:
        axes.set_xlim(-6, 106)
    left, right = axes.get_xlim()
    ticks = [tick for tick in panel.ticks if left <= tick <= right]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    sign = {"Points": "{:+g}", "Factor": "\N{MULTIPLICATION SIGN}{:g}"}.get(panel.title, "{:g}%")
    axes.set_xticks(ticks, [sign.format(tick).replace("+0", "0") for tick in ticks])
    axes.tick_params(axis="x", labeltop=True, labelsize="small")
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.grid(False)
    axes.grid(True, axis="x")
    axes.spines["left"].set_visible(False)
    if panel.nothing is not None:
        axes.axvline(panel.nothing, color=style.GREY, lw=0.8)


def _draw_test(axes: Axes, row: Any, place: float) -> None:
    low, high = (
        edge if pd.isna(bound) else shown(bound, row.kind)
        for bound, edge in zip((row.above, row.below), axes.get_xlim(), strict=True)
    )
    corner = (low, place - 0.4 * _ROW)
    axes.add_patch(Rectangle(corner, high - low, 0.8 * _ROW, zorder=0.5, **_REGION))
    look = LOOKS[row.verdict]
    if not pd.isna(row.low):
        ends = shown(row.low, row.kind), shown(row.high, row.kind)
        axes.hlines(place, *ends, color=look["mec"], lw=1.6)
    if not pd.isna(row.published):
        axes.plot(shown(row.published, row.kind), place, zorder=3, **_PUBLISHED)
    axes.plot(shown(row.value, row.kind), place, ms=5.5, ls="", zorder=4, **look)


def _legend(tested: pd.DataFrame) -> list:
    present = {*tested["verdict"], *tested["claim_verdict"]}
    handles: list = [
        Line2D([], [], ls="", ms=6, label=verdict, **look)
        for verdict, look in LOOKS.items()
        if verdict in present
    ]
    if tested["low"].notna().any():
        handles.append(style.interval_handle("95% interval over seeds"))
    if tested["published"].notna().any():
        handles.append(Line2D([], [], label="published runs", **_PUBLISHED))
    return [*handles, Patch(label="where the claim holds", **_REGION)]


def _describe(table: pd.DataFrame) -> str:
    """Count the claims by their verdicts."""
    claims = table.drop_duplicates("claim")
    counts = Counter(claims["claim_verdict"])
    called = {"depends": "dependent on choices"}
    words = [
        f"{counts[name]} {called.get(name, name)}"
        for name in (*LOOKS, "not tested")
        if counts[name]
    ]
    return f"Of {len(claims)} claims: {', '.join(words)}."
