"""How the report words the verdicts on the claims."""

from collections.abc import Iterable, Mapping
from math import exp
from typing import Any

from kancore.figures.style import MARKS, display_name, in_order, setting_name
from kancore.report.tables import MISSING, Table

# Units of effects that are logarithms of factors.
_FACTORS = ("log_efficiency", "log_seconds", "log_epochs", "log_parameters")

# What a test may depend on, by the name of the choice.
_CHOICES = {
    "schemes": "which schemes count",
    "initialization": "the initialization",
    "optimizer": "the optimizer",
    "learning_rate": "the learning rate",
    "dispersion": "the measure of dispersion",
    "alone": "the data set",
    "without": "the data set",
    "budget": "the epochs",
    "diverged": "runs that diverged",
}


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
    """Write what the paper says, word by word, with the section and the kind of statement."""
    marks = "\N{LEFT DOUBLE QUOTATION MARK}{}\N{RIGHT DOUBLE QUOTATION MARK}"
    quotes = [
        f"{marks.format(quote['words'])} ({_section(quote['section'])})"
        for quote in claim["quotes"]
    ]
    return f"a {claim['kind']}: {'; '.join(quotes)}"


def _section(name: str) -> str:
    return f"section {name}" if name[0].isdigit() else name.lower()


def turns(part: Mapping[str, Any]) -> str:
    """Say in a sentence on what the sign of a test depends; else nothing."""
    if not part["turns_on"]:
        return ""
    sides = {
        verdict: ", ".join(
            f"{setting_name(found['choice'], found['setting'])} ({quantity(found['value'], part)})"
            for found in part["turns_on"]
            if found["verdict"] == verdict
        )
        for verdict in ("supported", "contradicted")
    }
    # If the declared choices decide, it depends on those that say the opposite.
    apart = [found for found in part["turns_on"] if found["verdict"] != part["declared"]]
    names = dict.fromkeys(_CHOICES[found["choice"]] for found in apart)
    named = "; ".join(f"{verdict} by {those}" for verdict, those in sides.items() if those)
    return f"depends on {' and '.join(names)}: {named}"


def probability(value: float | None) -> str:
    """Write a p value."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def published(part: Mapping[str, Any]) -> str:
    """Write what the published runs say, in how many pairs, and beside what."""
    known = part["published"]
    if known is None:
        return MISSING
    return f"{quantity(known[part['summary']], part)} ({known['pairs']})"


def agreement(part: Mapping[str, Any]) -> tuple[str, str]:
    """Say whether our numbers are the published ones, and if the paper's words hold for those."""
    known = part["published"]
    if known is None:
        return MISSING, MISSING
    return known["numbers"] or MISSING, "hold" if known["words_hold"] else "do not hold"


def overview(claims: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row a claim that was tested: its verdict, and the first test that has it."""
    rows = []
    for claim in claims:
        verdict = claim["verdict"]
        if verdict == "not tested":
            continue
        part = next(part for part in claim["parts"] if part["verdict"] == verdict)
        numbers, words = agreement(part)
        which = "It" if len(claim["parts"]) == 1 else "One test"
        rows.append(
            {
                **{name: claim[name] for name in ("name", "statement", "verdict", "corrected")},
                "words": claim["words"],
                "turns": "; ".join(f"{which} {t}" for t in map(turns, claim["parts"]) if t),
                "mark": MARKS[verdict],
                "corrected_mark": MARKS[claim["corrected"]],
                "quote": quoted(claim),
                "question": part["question"],
                "measured": measured(part),
                "needed": needed(part),
                "published": published(part),
                "numbers": numbers,
                "words_hold": words,
            }
        )
    return rows


def details(claims: Iterable[Mapping[str, Any]]) -> Table:
    """One row a test."""
    rows = []
    for claim in claims:
        for part in claim["parts"]:
            found = (
                MISSING if part["share"] is None else quantity(part["share"], part, "share"),
                f"{part['pairs']:,}",
                str(part["seeds"]),
                part["verdict"],
                probability(part["p"]),
                probability(part["p_holm"]),
                part["corrected"],
                MISSING if part["seeds_needed"] is None else str(part["seeds_needed"]),
                turns(part) or MISSING,
                published(part),
                *agreement(part),
            )
            text = _question(part), needed(part), measured(part), by_dataset(part)
            rows.append((claim["name"], *text, *found))
            for beside in part["shown"]:
                # What is shown beside a test has its summary, and no verdict.
                value = measured({**beside, "summary": part["summary"], "unit": part["unit"]})
                rest = [MISSING] * (1 + len(found))
                rows.append((claim["name"], beside["question"], MISSING, value, *rest))
    headings = ["Claim", "What is compared", "Needed", "Measured [95%]", "By data set"]
    headings += ["Share above zero", "Pairs", "Seeds", "Verdict", "p", "p, all tests"]
    headings += ["Corrected", "Seeds to decide", "Turns on", "Published (pairs)"]
    headings += ["Numbers", "Words"]
    counts = "Share above zero", "Pairs", "Seeds", "Seeds to decide"
    numeric = [heading in counts for heading in headings]
    return Table(headings, numeric, rows, [False] * len(rows))


def by_dataset(part: Mapping[str, Any]) -> str:
    """Write what each data set alone says, with the mark of its verdict, if there are several."""
    found = part["by_dataset"]
    if len(found) < 2:
        return MISSING
    return "; ".join(
        f"{display_name(name)} {_measured_alone(part, found[name])} {MARKS[found[name]['verdict']]}"
        for name in in_order(found)
    )


def _measured_alone(part: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    return measured({**found, "summary": part["summary"], "unit": part["unit"]})


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
    """One row a test that has pairs on a data set, with what these say alone."""
    rows = []
    for claim in claims:
        for part in claim["parts"]:
            found = part["by_dataset"].get(dataset)
            if found:
                value, verdict = _measured_alone(part, found), found["verdict"]
                named = f"{MARKS[verdict]} {verdict}"
                rows.append((claim["name"], part["question"], value, f"{found['pairs']:,}", named))
    headings = ["Claim", "What is compared", "Measured [95%]", "Pairs", "Alone"]
    return Table(headings, [False, False, True, True, False], rows, [False] * len(rows))
