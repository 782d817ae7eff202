"""How the report words the experiment on stability: what to recommend, and on what evidence."""

from collections.abc import Mapping
from math import nan
from typing import Any

import pandas as pd

from kancore.analysis.stability import ALL, BASELINE, costs, recommendations
from kancore.figures.style import display_name, in_order
from kancore.report.tables import MISSING, Table
from kancore.schemes import COMBINED

# Column of each measure: its heading, and by what it is multiplied.
_COLUMNS = {
    "median": ("Median, %", 100),
    "best": ("Best, %", 100),
    "spread": ("Spread, points", 100),
    "close": ("Close to best, %", 100),
    "failed": ("Failed, %", 100),
    "gap": ("Gap, points", 100),
    "epochs": ("Epochs to 95%", 1),
    "outside_grid": ("Outside grid, %", 100),
}
_WORDS = {
    "use": "helps",
    "avoid": "hurts",
    "no difference": "no difference",
    "unknown": "too few seeds to tell",
}


def advice(table: pd.DataFrame, chosen: list[str]) -> list[dict[str, Any]]:
    """Word the recommendations, best first, or in no order where there are fewer than three seeds.

    Parameters
    ----------
    table
        Effects, with the columns of `kancore.analysis.tables.STABILITY`.
    chosen
        The factors that are trained together.

    Returns
    -------
    list of dict
        Each ``title`` and ``text``.
    """
    together = ", ".join(map(display_name, chosen))
    advised = [each for each in recommendations(table) if chosen or each["factor"] != COMBINED]
    if all(each["advice"] == "unknown" for each in advised):
        # With so few seeds their order would say nothing, so they stand as they were listed.
        listed = list(dict.fromkeys(table["factor"]))
        advised.sort(key=lambda each: listed.index(each["factor"]))
    found = []
    for each in advised:
        median, best, spread = (
            _points(_of(table, each["factor"], measure).iloc[0])
            for measure in ("median", "best", "spread")
        )
        title = display_name(each["factor"])
        if each["factor"] == COMBINED:
            title = f"{title} ({together})"
        text = (
            f"({_WORDS[each['advice']]}): median scheme {median}, best scheme {best}, "
            f"spread between them {spread}."
        )
        if each["except"]:
            places = "; ".join(f"{display_name(d)}, {display_name(n)}" for d, n in each["except"])
            text += f" The reverse holds for {places}."
        found.append({"title": title, "text": text})
    return found


def _of(table: pd.DataFrame, factor: str, measure: str) -> pd.DataFrame:
    """Pooled row of a factor and a measure."""
    pooled = table[(table["dataset"] == ALL) & (table["depth"] == ALL)]
    return pooled[(pooled["factor"] == factor) & (pooled["measure"] == measure)]


def _points(row: Mapping[str, float]) -> str:
    value, low, high = (f"{100 * row[name]:+.2f}" for name in ("effect", "low", "high"))
    return value if pd.isna(row["low"]) else f"{value} [{low}, {high}]"


def factors(table: pd.DataFrame, timings: pd.DataFrame, chosen: list[str]) -> Table:
    """One row a factor, with the mean of each measure and the cost of a step.

    Parameters
    ----------
    table
        Effects, with the columns of `kancore.analysis.tables.STABILITY`.
    timings
        Of the experiment, with the columns of `kancore.tables.TIMINGS`.
    chosen
        The factors that are trained together; if none, a combination is the baseline again.
    """
    step = costs(timings)
    rows = []
    names = _listed(table, chosen)
    for factor in names:
        cells = []
        for measure, (_, unit) in _COLUMNS.items():
            found = _of(table, factor, measure)
            value = found["value"].iloc[0] if len(found) else nan
            cells.append(MISSING if pd.isna(value) else f"{unit * value:.1f}")
        rows.append((display_name(factor), *cells, f"\N{MULTIPLICATION SIGN}{step[factor]:.2f}"))
    headings = ["Factor", *(heading for heading, _ in _COLUMNS.values()), "Time of a step"]
    return Table(
        headings, [False, *[True] * (len(headings) - 1)], rows, [n == BASELINE for n in names]
    )


def _listed(table: pd.DataFrame, chosen: list[str]) -> list[str]:
    """Name the factors that tables list, the baseline first."""
    names = [BASELINE, *(each["factor"] for each in recommendations(table))]
    return [name for name in names if chosen or name != COMBINED]


def outside(table: pd.DataFrame, chosen: list[str]) -> Table:
    """One row a factor: shares of inputs beyond the extended grid, by depth and layer."""
    rows = table[(table["dataset"] == ALL) & (table["depth"] != ALL)]
    rows = rows[rows["measure"].str.fullmatch(r"outside_grid_\d+")].dropna(subset="value")
    names = _listed(table, chosen)
    places = [
        (depth, measure)
        for depth in in_order(rows["depth"])
        for measure in sorted(set(rows.loc[rows["depth"] == depth, "measure"]))
    ]
    values = rows.set_index(["factor", "depth", "measure"])["value"]
    cells = [
        (
            display_name(name),
            *(
                f"{100 * values[name, *place]:.1f}" if (name, *place) in values.index else MISSING
                for place in places
            ),
        )
        for name in names
    ]
    headings = [
        "Factor",
        *(f"{display_name(depth)}, layer {name.rsplit('_', 1)[1]}, %" for depth, name in places),
    ]
    numeric = [False, *[True] * len(places)]
    return Table(headings, numeric, cells, [name == BASELINE for name in names])
