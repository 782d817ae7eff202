"""Verdicts on the claims: what the pairs of a study say, beside what the published runs say."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import pandas as pd

from kancore.claims.comparisons import Evidence
from kancore.claims.declared import CLAIMS, CONFIDENCE, FEWEST_PAIRS, FEWEST_SEEDS, Claim, Part
from kancore.statistics import (
    interquartile_mean,
    interval_over_seeds,
    probability_of_improvement,
    stratified_interval,
)

SUMMARIES = {"effect": interquartile_mean, "share": probability_of_improvement}


def judge(
    evidence: Evidence, published: Evidence, claims: Iterable[Claim] = CLAIMS
) -> list[dict[str, Any]]:
    """Test every claim.

    Parameters
    ----------
    evidence
        What the study has measured.
    published
        What is known of the published runs.
    claims
        The claims.

    Returns
    -------
    list of dict
        For each claim ``name``, ``statement``, ``verdict`` (supported, contradicted, suggested,
        doubted, inconclusive or not tested), ``reason`` (why something was not tested, or ``None``)
        and ``parts``, the results of its tests; plain values, for JSON. Suggested and doubted stand
        for supported and contradicted where there are few seeds.
    """
    return [_judge(claim, evidence, published) for claim in claims]


def _judge(claim: Claim, evidence: Evidence, published: Evidence) -> dict[str, Any]:
    parts = [_test(part, evidence, published) for part in claim.parts]
    tested = [part["verdict"] for part in parts if part["verdict"] != "not tested"]
    return {
        "name": claim.name,
        "statement": claim.statement,
        "verdict": _joined(tested),
        "reason": _reason(claim, parts),
        "parts": parts,
    }


def _joined(verdicts: list[str]) -> str:
    """Verdict on a claim: one part against it decides, and all must be for it."""
    if not verdicts:
        return "not tested"
    for against in ("contradicted", "doubted", "inconclusive"):
        if against in verdicts:
            return against
    return "suggested" if "suggested" in verdicts else "supported"


def _reason(claim: Claim, parts: list[dict[str, Any]]) -> str | None:
    """Say why parts were not tested."""
    if all(part["verdict"] != "not tested" for part in parts):
        return None
    found = "; ".join(
        f"{part['question']}: {part['pairs']} pairs"
        for part in parts
        if part["verdict"] == "not tested"
    )
    return f"Not tested, for fewer than {FEWEST_PAIRS} pairs: {found}. It takes {claim.needs}."


def _test(part: Part, evidence: Evidence, published: Evidence) -> dict[str, Any]:
    pairs = part.compare(evidence)
    result = {
        "question": part.question,
        "unit": part.unit,
        "summary": part.summary,
        "above": part.above if isfinite(part.above) else None,
        "below": part.below if isfinite(part.below) else None,
        **measure(pairs),
        "verdict": "not tested",
        "by_dataset": {
            name: {**_point(rows), "pairs": len(rows)} for name, rows in pairs.groupby("dataset")
        },
        "published": None,
    }
    if len(pairs) >= FEWEST_PAIRS:
        ends = (result[f"{part.summary}_{end}"] for end in _ENDS)
        result["verdict"] = _verdict(part, *ends, firm=result["interval_over"] == "seeds")
    known = part.compare(published)
    if len(known):
        result["published"] = {**_point(known), "pairs": len(known)}
    return result


_ENDS = ("low", "high")


def _point(pairs: pd.DataFrame) -> dict[str, float]:
    values = pairs["difference"].to_numpy()
    return {name: float(summary(values)) for name, summary in SUMMARIES.items()}


def _seeds(pairs: pd.DataFrame) -> int:
    """Fewest seeds that a data set has pairs of."""
    return int(pairs.groupby("dataset")["seed"].nunique().min()) if len(pairs) else 0


def measure(pairs: pd.DataFrame) -> dict[str, float | str | None]:
    """Sum up pairs in both ways, with intervals: over seeds where these are enough.

    Parameters
    ----------
    pairs
        Differences, with the columns of `kancore.claims.comparisons.PAIR`.

    Returns
    -------
    dict
        ``pairs``, ``seeds`` (the fewest of a data set), ``interval_over`` (seeds or pairs), and
        each summary with its ``..._low`` and ``..._high``; null where there are no pairs.
    """
    found = {"pairs": len(pairs), "seeds": _seeds(pairs), "interval_over": None}
    for name in SUMMARIES:
        found |= {name: None, f"{name}_low": None, f"{name}_high": None}
    if not len(pairs):
        return found
    values, strata = pairs["difference"].to_numpy(), pairs["dataset"].to_numpy()
    found |= _point(pairs)
    over_seeds = _seeds(pairs) >= FEWEST_SEEDS
    found["interval_over"] = "seeds" if over_seeds else "pairs"
    for name, summary in SUMMARIES.items():
        if over_seeds:
            seeds = pairs["seed"].to_numpy()
            ends = interval_over_seeds(values, strata, seeds, summary, CONFIDENCE)
        else:
            ends = stratified_interval(values, strata, summary, CONFIDENCE)
        if name == "share":
            ends = (max(0.0, ends[0]), min(1.0, ends[1]))
        found |= {f"{name}_{end}": value for end, value in zip(_ENDS, ends, strict=True)}
    return found


def _verdict(part: Part, low: float, high: float, firm: bool) -> str:
    if part.above < low and high < part.below:
        return "supported" if firm else "suggested"
    if high < part.above or low > part.below:
        return "contradicted" if firm else "doubted"
    return "inconclusive"
