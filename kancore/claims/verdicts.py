"""Verdicts on the claims: what the pairs of a study say, beside what the published runs say."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import pandas as pd

from kancore.claims.comparisons import Evidence
from kancore.claims.declared import CLAIMS, CONFIDENCE, FEWEST_PAIRS, Claim, Part
from kancore.statistics import interquartile_mean, probability_of_improvement, stratified_interval

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
        For each claim ``name``, ``statement``, ``verdict`` (supported, contradicted, inconclusive
        or not tested), ``reason`` (why something was not tested, or ``None``) and ``parts``, the
        results of its tests; plain values, for JSON.
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
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if set(verdicts) == {"supported"} else "inconclusive"


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
        "pairs": len(pairs),
        "verdict": "not tested",
        "by_dataset": {
            name: {**_point(rows), "pairs": len(rows)} for name, rows in pairs.groupby("dataset")
        },
        "published": None,
    }
    for name in SUMMARIES:
        result |= {name: None, f"{name}_low": None, f"{name}_high": None}
    if len(pairs):
        result |= _measure(pairs)
    if len(pairs) >= FEWEST_PAIRS:
        result["verdict"] = _verdict(part, *(result[f"{part.summary}_{end}"] for end in _ENDS))
    known = part.compare(published)
    if len(known):
        result["published"] = {**_point(known), "pairs": len(known)}
    return result


_ENDS = ("low", "high")


def _point(pairs: pd.DataFrame) -> dict[str, float]:
    values = pairs["difference"].to_numpy()
    return {name: float(summary(values)) for name, summary in SUMMARIES.items()}


def _measure(pairs: pd.DataFrame) -> dict[str, float]:
    """Both summaries of the pairs, with intervals."""
    values, strata = pairs["difference"].to_numpy(), pairs["dataset"].to_numpy()
    found = _point(pairs)
    for name, summary in SUMMARIES.items():
        ends = stratified_interval(values, strata, summary, CONFIDENCE)
        found |= {f"{name}_{end}": value for end, value in zip(_ENDS, ends, strict=True)}
    return found


def _verdict(part: Part, low: float, high: float) -> str:
    if part.above < low and high < part.below:
        return "supported"
    if high < part.above or low > part.below:
        return "contradicted"
    return "inconclusive"
