"""How the report words the audit: what each departure of the published code changes."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from kancore.claims.declared import FEWEST_PAIRS
from kancore.figures.style import display_name, in_order
from kancore.report.tables import MISSING, Table
from kancore.report.verdicts import MARKS, quantity
from kancore.studies.protocols import CLEAN

_HEADINGS = {
    "best_accuracy": "Best scheme",
    "test_accuracy": "A scheme",
    "gap": "Gap",
    "log_efficiency": "Efficiency",
}


def effects(table: pd.DataFrame) -> Table:
    """One row a protocol, data set and model, with its effect on each measure."""
    rows = []
    several = table["dataset"].nunique() > 1
    found = dict(iter(table.groupby(["protocol", "dataset", "model"], sort=False)))
    for protocol, dataset, model in product(
        table["protocol"].unique(), in_order(table["dataset"]), in_order(table["model"])
    ):
        if (protocol, dataset, model) not in found:
            continue
        measured = found[protocol, dataset, model].set_index("measure")
        if not measured["trained"].any():
            cells = ["as clean"] * len(_HEADINGS)
        else:
            cells = [_effect(measured.loc[name], name) for name in _HEADINGS]
        place = [display_name(dataset)] if several else []
        pairs = f"{int(measured.loc['test_accuracy', 'pairs']):,}"
        rows.append((display_name(protocol), *place, display_name(model), *cells, pairs))
    names = ["Departure", *(["Data set"] if several else []), "Model", *_HEADINGS.values(), "Pairs"]
    words = len(names) - len(_HEADINGS) - 1
    numeric = [False] * words + [False] * len(_HEADINGS) + [True]
    return Table(names, numeric, rows, [False] * len(rows))


def _effect(row: pd.Series, measure: str) -> str:
    if pd.isna(row["effect"]):
        return MISSING
    unit = {"unit": measure, "summary": "effect"}
    value, low, high = (quantity(row[name], unit) for name in ("effect", "low", "high"))
    return value if pd.isna(row["low"]) else f"{value} [{low}, {high}]"


def claims(verdicts: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """One row a protocol and one column a test of a claim that the audit can make.

    Tests of one claim are counted: C4.2 is the second one of C4.
    """
    tested = [
        (number, place, name)
        for number, claim in enumerate(verdicts[CLEAN])
        for place, part in enumerate(claim["parts"])
        if part["pairs"] >= FEWEST_PAIRS
        for name in [claim["name"] if len(claim["parts"]) == 1 else f"{claim['name']}.{place + 1}"]
    ]
    rows = [
        (
            "Clean" if protocol == CLEAN else display_name(protocol),
            *(_verdict(judged[number]["parts"][place]) for number, place, _ in tested),
        )
        for protocol, judged in verdicts.items()
    ]
    names = ["Protocol", *(name for *_, name in tested)]
    return Table(names, [False] * len(names), rows, [row[0] == "Clean" for row in rows])


def _verdict(part: Mapping[str, Any]) -> str:
    value = part[part["summary"]]
    if value is None:
        return MISSING
    return f"{quantity(value, part)} {MARKS[part['verdict']]}"
