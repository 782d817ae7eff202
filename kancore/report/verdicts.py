"""How the report words the verdicts on the claims."""

from collections.abc import Iterable, Mapping
from math import exp
from typing import Any

from kancore.figures.style import MARKS, display_name
from kancore.report.tables import MISSING, Table

# Units of effects that are logarithms of factors.
_FACTORS = ("log_efficiency", "log_seconds", "log_epochs", "log_parameters")


def quantity(value: float, part: Mapping[str, Any], summary: str | None = None) -> str:
    """Write an effect or a share of a test of `kancore.claims` with its unit.

    Accuracies and gaps are written in points (hundredths), efficiencies, times, epochs and sizes
    as factors, shares in percent.
    """
    if (summary or part["summary"]) == "share":
        return f"{100 * value:.0f}%"
    if part["unit"] in _FACTORS:
        return f"\N{MULTIPLICATION SIGN}{exp(value):.2f}"
    return f"{100 * value + 0:+.2f}"


def measured(part: Mapping[str, Any]) -> str:
    """Write the summary that was tested, with its interval if it has one."""
    value, low, high = (part[f"{part['summary']}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return MISSING
    if low is None:
        return quantity(value, part)
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


def quoted(claim: Mapping[str, Any]) -> str:
    """Write what the paper says: in quotation marks if word by word."""
    if claim["source"] == "in short":
        return f"in short: {claim['quote']}"
    marks = "\N{LEFT DOUBLE QUOTATION MARK}{}\N{RIGHT DOUBLE QUOTATION MARK}"
    return f"{marks.format(claim['quote'])} ({claim['source']})"


def probability(value: float | None) -> str:
    """Write a p value."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


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
                **{name: claim[name] for name in ("name", "statement", "verdict", "corrected")},
                "mark": MARKS[verdict],
                "corrected_mark": MARKS[claim["corrected"]],
                "quote": quoted(claim),
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
            _question(part),
            quoted(claim),
            needed(part),
            measured(part),
            MISSING if part["share"] is None else quantity(part["share"], part, "share"),
            f"{part['pairs']:,}",
            str(part["seeds"]),
            part["verdict"],
            probability(part["p"]),
            probability(part["p_holm"]),
            part["corrected"],
            published(part),
        )
        for claim in claims
        for part in claim["parts"]
    ]
    headings = ["Claim", "What is compared", "In the paper", "Needed", "Measured [95%]"]
    headings += ["Share above zero", "Pairs", "Seeds", "Verdict", "p", "p, all tests"]
    headings += ["Corrected", "Published (pairs)"]
    numeric = [heading in ("Share above zero", "Pairs", "Seeds") for heading in headings]
    return Table(headings, numeric, rows, [False] * len(rows))


def _question(part: Mapping[str, Any]) -> str:
    """Say what is compared, and on which machine if it is times."""
    where = part["hardware"]
    return f"{part['question']}; on {', '.join(where)}" if where else part["question"]


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
            str(each["gap"]["seeds"]),
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
    numeric = [False, False, False, True, False, True, True]
    return Table([*headings, "Seeds"], numeric, rows, [False] * len(rows))


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
