"""Verdicts on the claims: what the pairs of a study say, beside what the published runs say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import nctdtr, stdtrit

from kancore.analysis.statistics import (
    FEWEST_SEEDS,
    OverSeeds,
    Resampled,
    fewest_seeds,
    holm,
    over_seeds,
    resampled,
)
from kancore.analysis.tables import VERDICTS
from kancore.claims.choices import Choice
from kancore.claims.comparisons import Evidence
from kancore.claims.declared import (
    CLAIMS,
    CONFIDENCE,
    FEWEST_PAIRS,
    FEWEST_TESTED,
    SUMMARIES,
    Claim,
    Part,
)
from kancore.claims.statements import HYPOTHESIS, TOPICS

# What is as declared, among other choices.
DECLARED = "declared"
# A hypothesis of the paper is not contradicted, but answered.
ANSWERS = {
    "supported": "answered: yes",
    "contradicted": "answered: no",
    "suggested": "answered: rather yes",
    "doubted": "answered: rather no",
    "depends": "answered: it depends",
    "inconclusive": "open",
    "not tested": "not tested",
}
# The seeds that an open test needs are those that decide it this often, up to so many.
POWER = 0.8
MOST_SEEDS = 200
# What is known of the published runs: of a test, by its claim and question, the pairs that its
# comparison finds in them and the two summaries of these.
PUBLISHED = ("claim", "question", "pairs", "effect", "share")
# How far summaries of the same pairs may be off, by their names.
Estimates = dict[str, OverSeeds | Resampled]
# What is told of a verdict by another choice.
_JUDGED = ("verdict", "nothing", "value")


def judge(
    evidence: Evidence,
    published: pd.DataFrame | None = None,
    claims: Iterable[Claim] = CLAIMS,
    other: Sequence[tuple[Choice, Evidence]] | None = None,
) -> list[dict[str, Any]]:
    """Test every claim.

    Parameters
    ----------
    evidence
        What the study has measured.
    published
        What the same comparisons say of the published runs, with the columns of `PUBLISHED`.
    claims
        The claims.
    other
        Other choices of the analysis to judge by, too (`kancore.claims.choices.changed`), beside
        those of each data set alone and left out, so that what turns is said; ``None`` for the
        declared ones alone.

    Returns
    -------
    list of dict
        For each claim ``name``, ``statement``, ``quotes`` (the paper's words, each with its
        section), ``kind``, ``verdict`` (supported, contradicted, suggested, doubted, depends,
        inconclusive or not tested), ``words`` (the verdict as one says it of this kind),
        ``corrected`` (the verdict that is left when p values are adjusted, by Holm's method, for
        all tests of all `claims`), ``reason`` (why something was not tested, or ``None``) and
        ``parts``, the results of its tests; plain values, for JSON. Suggested and doubted stand for
        supported and contradicted where there are few seeds, of which there is neither an interval
        nor a p value. A test depends where some of its choices support it and others contradict
        it, and ``turns_on`` lists them; ``declared`` is its verdict by the declared ones alone.
    """
    claims = list(claims)
    beside: dict[tuple[str, str], Mapping[str, Any]] = {}
    if published is not None:
        beside = {(row["claim"], row["question"]): row for row in published.to_dict("records")}
    tested = [
        [
            _test(part, evidence, beside.get((claim.name, part.question)), other)
            for part in claim.parts
        ]
        for claim in claims
    ]
    if other is not None:
        for part in (part for parts in tested for part in parts):
            _turn(part)
    _correct(part for parts in tested for part in parts)
    return [_judged(claim, parts) for claim, parts in zip(claims, tested, strict=True)]


def decide(evidence: Evidence, claims: Iterable[Claim] = CLAIMS) -> list[dict[str, Any]]:
    """Test every claim as `judge` does, but tell no more of it than its verdicts.

    Returns
    -------
    list of dict
        For each claim ``name``, ``verdict``, ``corrected`` and ``parts``; of these ``verdict``,
        ``nothing``, ``corrected``, ``p``, ``p_holm``, ``pairs``, ``seeds``, and the summary that
        decides: ``value``, ``low`` and ``high``.
    """
    claims = list(claims)
    tested = [[_outcome(part, evidence) for part in claim.parts] for claim in claims]
    _correct(part for parts in tested for part in parts)
    return [
        {"name": claim.name, **_joined(parts), "parts": parts}
        for claim, parts in zip(claims, tested, strict=True)
    ]


def _outcome(part: Part, evidence: Evidence) -> dict[str, Any]:
    pairs, summary = evidence.pairs(part.compare), part.summary
    estimates = _estimates(pairs, [summary])
    measured, decided = _measured(pairs, estimates), _decided(part, pairs, estimates)
    return {
        **{name: measured[name] for name in ("pairs", "seeds")},
        **{"value": measured[summary]},
        **{end: measured[f"{summary}_{end}"] for end in ("low", "high")},
        **decided,
        "corrected": decided["verdict"],
    }


def tabulate(study: str, claims: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Put the verdicts of `judge` into a table.

    Parameters
    ----------
    study
        Name of the study.
    claims
        What `judge` gave.

    Returns
    -------
    DataFrame
        One row a test, by topic, with the columns of `kancore.analysis.tables.VERDICTS`.
    """
    judged = {claim["name"]: claim for claim in claims}
    rows = []
    for topic, names in TOPICS.items():
        for claim in (judged[name] for name in names if name in judged):
            for number, part in enumerate(claim["parts"], start=1):
                summary, known = part["summary"], part["published"] or {}
                row = {
                    **{name: part[name] for name in VERDICTS.names if name in part},
                    **{"study": study, "topic": topic, "claim": claim["name"], "part": number},
                    **{"statement": claim["statement"], "claim_verdict": claim["verdict"]},
                    **{"value": part[summary], "published": known.get(summary)},
                    **{end: part[f"{summary}_{end}"] for end in ("low", "high")},
                    **{name: known.get(name) for name in ("numbers", "words_hold")},
                }
                rows.append(row)
    return pd.DataFrame(rows, columns=VERDICTS.names)


def _turn(result: dict[str, Any]) -> None:
    """Let a verdict whose sign turns by other choices depend on them."""
    own = {name: result[name] for name in ("verdict", "nothing")}
    alone = [
        {"choice": "alone", "setting": name, **{key: found[key] for key in _JUDGED}}
        for name, found in result["by_dataset"].items()
    ]
    known = [
        found
        for found in ({"choice": None, **own}, *result["by_choice"], *alone)
        # That a difference is negligible turns no sign.
        if found["verdict"] in ("supported", "contradicted") and not found["nothing"]
    ]
    if len({found["verdict"] for found in known}) > 1:
        result["turns_on"] = [found for found in known if found["choice"]]
        result["verdict"] = result["corrected"] = "depends"


def _correct(tested: Iterable[dict[str, Any]]) -> None:
    """Adjust p values for one another, and take back verdicts that then are not significant."""
    parts = [part for part in tested if part["p"] is not None]
    for part, adjusted in zip(parts, holm([part["p"] for part in parts]), strict=True):
        part["p_holm"] = float(adjusted)
        if adjusted > 1 - CONFIDENCE:
            part["corrected"] = "inconclusive"


def _judged(claim: Claim, parts: list[dict[str, Any]]) -> dict[str, Any]:
    statement, verdicts = claim.statement, _joined(parts)
    verdict = verdicts["verdict"]
    return {
        "name": claim.name,
        "statement": statement.summary,
        "quotes": [{"words": words, "section": section} for words, section in statement.quotes],
        "kind": statement.kind,
        "verdict": verdict,
        "words": ANSWERS[verdict] if statement.kind == HYPOTHESIS else verdict,
        "corrected": verdicts["corrected"],
        "reason": _reason(claim, parts),
        "parts": parts,
    }


def _joined(parts: list[dict[str, Any]]) -> dict[str, str]:
    """Verdicts on a claim, before and after correction."""
    return {name: joined(part[name] for part in parts) for name in ("verdict", "corrected")}


def joined(verdicts: Iterable[str]) -> str:
    """Verdict on a claim: one part against it decides, and all that were tested must be for it."""
    verdicts = [verdict for verdict in verdicts if verdict != "not tested"]
    if not verdicts:
        return "not tested"
    for against in ("contradicted", "doubted", "depends", "inconclusive"):
        if against in verdicts:
            return against
    return "suggested" if "suggested" in verdicts else "supported"


def _reason(claim: Claim, parts: list[dict[str, Any]]) -> str | None:
    """Say why parts were not tested."""
    if all(part["verdict"] != "not tested" for part in parts):
        return None
    found = "; ".join(
        f"{part['question']}: {part['pairs']} pair{'s' * (part['pairs'] != 1)}"
        for part in parts
        if part["verdict"] == "not tested"
    )
    return f"Not tested, for fewer than {FEWEST_TESTED} pairs: {found}. It needs {claim.needs}."


def _test(
    part: Part,
    evidence: Evidence,
    published: Mapping[str, Any] | None,
    other: Sequence[tuple[Choice, Evidence]] | None,
) -> dict[str, Any]:
    pairs = evidence.pairs(part.compare)
    estimates = _estimates(pairs)
    measured, decided = _measured(pairs, estimates), _decided(part, pairs, estimates)
    needed = None
    if decided["verdict"] == "inconclusive" and decided["p"] is not None:
        needed = _seeds_needed(part, pairs, estimates[part.summary])
    result: dict[str, Any] = {
        "question": part.question,
        "unit": part.unit,
        "summary": part.summary,
        "above": part.above if isfinite(part.above) else None,
        "below": part.below if isfinite(part.below) else None,
        "negligible": part.negligible or None,
        **measured,
        **decided,
        "declared": decided["verdict"],
        "p_holm": None,
        "seeds_needed": needed,
        "turns_on": [],
        "hardware": _hardware(part, evidence),
        "shown": [
            {"question": words, **measure(evidence.pairs(compare))} for words, compare in part.shown
        ],
        "by_dataset": {
            name: _of_dataset(part, rows)
            for name, rows in (pairs.groupby("dataset") if other is not None else ())
        },
        "by_choice": [
            {"choice": choice, "setting": setting, **_judged_alone(part, own)}
            for choice, setting, own in _by_other_choices(part, pairs, other)
            if len(own)
        ],
        "published": _published(part, published, measured),
    }
    result["corrected"] = result["verdict"]
    return result


def _by_other_choices(
    part: Part, pairs: pd.DataFrame, other: Sequence[tuple[Choice, Evidence]] | None
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Give each choice, its setting, and the pairs that it leaves of a test."""
    if other is None:
        return
    for choice, changed in other:
        if part.over in choice.over:
            yield choice.name, choice.setting, changed.pairs(part.compare)
    names = pairs["dataset"].unique()
    for name in names if len(names) > 2 else ():  # of two one is without the other
        yield "without", name, pairs[pairs["dataset"] != name]


def _of_dataset(part: Part, pairs: pd.DataFrame) -> dict[str, Any]:
    """Sum up the pairs of one data set, and tell what they say."""
    estimates = _estimates(pairs)
    return {**_measured(pairs, estimates), **_judged_alone(part, pairs, estimates)}


def _judged_alone(
    part: Part, pairs: pd.DataFrame, estimates: Estimates | None = None
) -> dict[str, Any]:
    """Tell what pairs by another choice say: the verdict, whether of nothing, and the value."""
    if estimates is None:
        estimates = _estimates(pairs, [part.summary])
    found = {**_decided(part, pairs, estimates), "value": _point(pairs)[part.summary]}
    return {name: found[name] for name in _JUDGED}


def _decided(part: Part, pairs: pd.DataFrame, estimates: Estimates) -> dict[str, Any]:
    """Judge a test: its verdict, whether by a negligible difference (nothing), and its p value."""
    found: dict[str, Any] = {"verdict": "not tested", "nothing": False, "p": None}
    if len(pairs) < FEWEST_TESTED:
        return found
    estimated = estimates[part.summary]
    low, high = _interval(estimated, part.summary)  # without an interval all below is false
    firm = isinstance(estimated, OverSeeds)
    found["verdict"] = "inconclusive"
    if part.above < low and high < part.below:
        found["verdict"] = "supported" if firm else "suggested"
    elif -part.negligible < low and high < part.negligible:
        found |= {"verdict": "contradicted" if firm else "doubted", "nothing": True}
    elif high < part.above or low > part.below:
        found["verdict"] = "contradicted" if firm else "doubted"
    if isinstance(estimated, OverSeeds) and isfinite(estimated.error):
        found["p"] = _p_value(part, estimated)
    return found


def _published(
    part: Part, known: Mapping[str, Any] | None, found: dict[str, float | None]
) -> dict[str, Any] | None:
    """Tell what the published runs say: if the paper's words hold there, and our numbers agree."""
    if known is None:
        return None
    value = known[part.summary]
    own, low, high = (found[f"{part.summary}{end}"] for end in ("", "_low", "_high"))
    numbers = None
    if own is not None:
        same_side = _holds(part, own) == _holds(part, value)
        numbers = "same side" if same_side else "other side"
        if low is not None and high is not None and low <= value <= high:
            numbers = "agree"
    said = {name: known[name] for name in ("effect", "share", "pairs")}
    return {**said, "words_hold": _holds(part, value), "numbers": numbers}


def _holds(part: Part, value: float) -> bool:
    """Whether a summary lies between the bounds."""
    return bool(part.above < value < part.below)


def _hardware(part: Part, evidence: Evidence) -> list[str] | None:
    """Where times were measured, if it is times that are compared."""
    if part.unit != "log_seconds" or evidence.times.empty:
        return None
    return sorted(evidence.times["device"].unique())


def _point(pairs: pd.DataFrame) -> dict[str, float]:
    values = pairs["difference"].to_numpy()
    return {name: float(summary(values)) for name, summary in SUMMARIES.items()}


def measure(pairs: pd.DataFrame) -> dict[str, float | None]:
    """Sum up pairs in both ways, with intervals over seeds.

    Parameters
    ----------
    pairs
        Differences, with the columns of `kancore.claims.comparisons.PAIR`.

    Returns
    -------
    dict
        ``pairs``, ``seeds`` (the fewest of a data set), and each summary with its ``..._low`` and
        ``..._high``; null where there are no pairs, and where seeds give no interval.
    """
    return _measured(pairs, _estimates(pairs))


def _measured(pairs: pd.DataFrame, estimates: Estimates) -> dict[str, float | None]:
    """Give what `measure` does, with the intervals of these estimates."""
    strata, seeds = (pairs[name].to_numpy() for name in ("dataset", "seed"))
    found: dict[str, float | None] = {"pairs": len(pairs), "seeds": fewest_seeds(strata, seeds)}
    for name in SUMMARIES:
        found |= {name: None, f"{name}_low": None, f"{name}_high": None}
    if not len(pairs):
        return found
    found |= _point(pairs)
    for name, estimated in estimates.items():
        if isinstance(estimated, OverSeeds) and isfinite(estimated.error):
            low, high = _interval(estimated, name)
            found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def _estimates(pairs: pd.DataFrame, summaries: Iterable[str] = SUMMARIES) -> Estimates:
    """Estimate these summaries of pairs; none where there are no pairs."""
    return {name: estimate(pairs, name) for name in summaries} if len(pairs) else {}


def estimate(pairs: pd.DataFrame, summary: str) -> OverSeeds | Resampled:
    """Tell how far a summary of pairs may be off: with other seeds, or with few by resampling.

    That goes for few pairs too. Resampled pairs of one seed are taken for independent, which they
    are not: enough for a word, but not for an interval.

    Parameters
    ----------
    pairs
        At least one, with the columns `kancore.claims.comparisons.PAIR`.
    summary
        One of `SUMMARIES`.
    """
    values, strata, seeds = (pairs[name].to_numpy() for name in ("difference", "dataset", "seed"))
    if summary == "share" and len(np.unique(np.sign(values))) == 1:
        # That all pairs go one way does not show that all others would: one more goes the other.
        values = np.append(values, -values[:1])
        strata, seeds = (np.append(labels, labels[:1]) for labels in (strata, seeds))
    if fewest_seeds(strata, seeds) >= FEWEST_SEEDS and len(values) >= FEWEST_PAIRS:
        return over_seeds(values, strata, seeds, SUMMARIES[summary])
    return resampled(values, strata, SUMMARIES[summary])


def _interval(estimated: OverSeeds | Resampled, summary: str) -> tuple[float, float]:
    """Interval of a summary; that of a share ends where shares end."""
    low, high = estimated.interval(CONFIDENCE)
    if summary == "share" and isfinite(low):
        return max(0.0, low), min(1.0, high)
    return low, high


def _p_value(part: Part, estimated: OverSeeds) -> float:
    """Find the p value of the verdict: twice a one-sided one, as the interval has two sides.

    For a claim it must reject each bound (two one-sided tests where there are two), against it one,
    or both that a negligible difference has. It is below 1 - `CONFIDENCE` where the interval
    decides.
    """
    inside, outside, nothing = [], [], [1.0]
    if isfinite(part.above):
        inside.append(estimated.p_above(part.above))
        outside.append(estimated.p_below(part.above))
    if isfinite(part.below):
        inside.append(estimated.p_below(part.below))
        outside.append(estimated.p_above(part.below))
    if part.negligible:
        nothing = [estimated.p_above(-part.negligible), estimated.p_below(part.negligible)]
    return min(1.0, 2 * max(inside), 2 * min(outside), 2 * max(nothing))


def _seeds_needed(part: Part, pairs: pd.DataFrame, estimated: OverSeeds | Resampled) -> int | None:
    """Count the seeds of each data set that would decide an open test with a chance of `POWER`.

    If the summary is what it is here, and more seeds vary as these do: the power of Student's test,
    by the noncentral distribution. None if it takes more than `MOST_SEEDS`.
    """
    if not isinstance(estimated, OverSeeds):
        return None
    seeds = fewest_seeds(*(pairs[name].to_numpy() for name in ("dataset", "seed")))
    bounds = [bound for bound in (part.above, part.below) if isfinite(bound)]
    distance = min(abs(estimated.middle - bound) for bound in bounds)
    if part.negligible:  # or that there is no difference is shown
        distance = max(distance, part.negligible - abs(estimated.middle))
    counts = np.arange(seeds + 1, MOST_SEEDS + 1)
    freedom = estimated.freedom * (counts - 1) / (seeds - 1)
    error = estimated.error * np.sqrt(seeds / counts)
    critical = stdtrit(freedom, (1 + CONFIDENCE) / 2)
    enough = counts[nctdtr(freedom, distance / error, critical) <= 1 - POWER]
    return int(enough[0]) if len(enough) else None
