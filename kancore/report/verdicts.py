"""How the report words the verdicts on the claims."""

from collections.abc import Iterable, Mapping
from math import exp
from typing import Any

from kancore.figures.style import display_name
from kancore.report.tables import MISSING, Table

MARKS = {
    "supported": "\N{CHECK MARK}",
    "contradicted": "\N{MULTIPLICATION X}",
    "suggested": "(\N{CHECK MARK})",
    "doubted": "(\N{MULTIPLICATION X})",
    "inconclusive": "?",
    "not tested": MISSING,
}


def quantity(value: float, part: Mapping[str, Any], summary: str | None = None) -> str:
    """Write an effect or a share of a test of `kancore.claims` with its unit.

    Accuracies and gaps are written in points (hundredths), efficiencies as factors, shares in
    percent.
    """
    if (summary or part["summary"]) == "share":
        return f"{100 * value:.0f}%"
    if part["unit"] == "log_efficiency":
        return f"\N{MULTIPLICATION SIGN}{exp(value):.2f}"
    return f"{100 * value + 0:+.2f}"


def measured(part: Mapping[str, Any]) -> str:
    """Write the summary that was tested, with its interval."""
    value, low, high = (part[f"{part['summary']}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return MISSING
    return f"{quantity(value, part)} [{quantity(low, part)}, {quantity(high, part)}]"


def needed(part: Mapping[str, Any]) -> str:
    """Write the bounds between which the interval must lie."""
    above, below = (
        None if part[end] is None else quantity(part[end], part).replace("+0.00", "0")
        for end in ("above", "below")
    )
    if above and below:
        return f"{above} to {below}"
    return f"above {above}" if above else f"below {below}"


def published(part: Mapping[str, Any]) -> str:
    """Write what the published runs say, and in how many pairs."""
    known = part["published"]
    if known is None:
        return MISSING
    return f"{quantity(known[part['summary']], part)} ({known['pairs']})"


def overview(claims: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row a claim: name, statement, verdict, its mark, and the first test that has it."""
    rows = []
    for claim in claims:
        verdict = claim["verdict"]
        part = next(part for part in claim["parts"] if part["verdict"] == verdict)
        rows.append(
            {
                **{name: claim[name] for name in ("name", "statement", "verdict")},
                "mark": MARKS[verdict],
                "question": part["question"],
                "measured": measured(part),
                "published": published(part),
                "reason": claim["reason"] or "",
            }
        )
    return rows


def details(claims: Iterable[Mapping[str, Any]]) -> Table:
    """One row a test."""
    rows = [
        (
            claim["name"],
            part["question"],
            needed(part),
            measured(part),
            MISSING if part["share"] is None else quantity(part["share"], part, "share"),
            f"{part['pairs']:,}",
            str(part["seeds"]),
            part["verdict"],
            published(part),
        )
        for claim in claims
        for part in claim["parts"]
    ]
    headings = ["Claim", "What is compared", "Needed", "Measured [95%]", "Share above zero"]
    headings += ["Pairs", "Seeds", "Verdict", "Published (pairs)"]
    numeric = [False, False, False, False, True, True, True, False, False]
    return Table(headings, numeric, rows, [False] * len(rows))


def own_models(comparisons: Iterable[Mapping[str, Any]]) -> Table:
    """One row for each model of the user's own and each model that it is compared with."""
    rows = [
        (
            display_name(each["model"]),
            display_name(each["rival"]),
            measured(each["best_accuracy"]),
            f"{each['best_accuracy']['pairs']:,}",
            measured(each["gap"]),
            f"{each['gap']['pairs']:,}",
            each["gap"]["interval_over"] or MISSING,
        )
        for each in comparisons
    ]
    headings = [
        "Model",
        "Compared with",
        "Best scheme [95%]",
        "Pairs",
        "Gap of a scheme [95%]",
        "Pairs",
    ]
    numeric = [False, False, False, True, False, True, False]
    return Table([*headings, "Interval over"], numeric, rows, [False] * len(rows))


def of_dataset(claims: Iterable[Mapping[str, Any]], dataset: str) -> Table:
    """One row a test that has pairs on a data set, with what they say, without a verdict."""
    rows = []
    for claim in claims:
        for part in claim["parts"]:
            found = part["by_dataset"].get(dataset)
            if found:
                value = quantity(found[part["summary"]], part)
                rows.append((claim["name"], part["question"], value, f"{found['pairs']:,}"))
    headings = ["Claim", "What is compared", "Measured", "Pairs"]
    return Table(headings, [False, False, True, True], rows, [False] * len(rows))
