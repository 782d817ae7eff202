"""Verdicts on the claims: what the pairs of a study say, beside what the published runs say."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from kancore.analysis.statistics import (
    FEWEST_SEEDS,
    OverSeeds,
    Resampled,
    fewest_seeds,
    holm,
    over_seeds,
    resampled,
)
from kancore.claims.comparisons import Evidence
from kancore.claims.declared import (
    CLAIMS,
    CONFIDENCE,
    FEWEST_PAIRS,
    SUMMARIES,
    Claim,
    Part,
)


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
        For each claim ``name``, ``statement``, ``quote``, ``source``, ``verdict`` (supported,
        contradicted, suggested, doubted, inconclusive or not tested), ``corrected`` (the verdict
        that is left when p values are adjusted, by Holm's method, for all tests of all `claims`),
        ``reason`` (why something was not tested, or ``None``) and ``parts``, the results of its
        tests; plain values, for JSON. Suggested and doubted stand for supported and contradicted
        where there are few seeds, of which there is neither an interval nor a p value.
    """
    claims = list(claims)
    tested = [[_test(part, evidence, published) for part in claim.parts] for claim in claims]
    _correct([part for parts in tested for part in parts if part["p"] is not None])
    return [_judged(claim, parts) for claim, parts in zip(claims, tested, strict=True)]


def _correct(parts: list[dict[str, Any]]) -> None:
    """Adjust p values for one another, and take back verdicts that then are not significant."""
    for part, adjusted in zip(parts, holm([part["p"] for part in parts]), strict=True):
        part["p_holm"] = float(adjusted)
        if adjusted > 1 - CONFIDENCE:
            part["corrected"] = "inconclusive"


def _judged(claim: Claim, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **{name: getattr(claim, name) for name in ("name", "statement", "quote", "source")},
        "verdict": joined(part["verdict"] for part in parts),
        "corrected": joined(part["corrected"] for part in parts),
        "reason": _reason(claim, parts),
        "parts": parts,
    }


def joined(verdicts: Iterable[str]) -> str:
    """Verdict on a claim: one part against it decides, and all that were tested must be for it."""
    verdicts = [verdict for verdict in verdicts if verdict != "not tested"]
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
    pairs = evidence.pairs(part.compare)
    result: dict[str, Any] = {
        "question": part.question,
        "unit": part.unit,
        "summary": part.summary,
        "above": part.above if isfinite(part.above) else None,
        "below": part.below if isfinite(part.below) else None,
        **measure(pairs),
        "verdict": "not tested",
        "corrected": "not tested",
        "p": None,
        "p_holm": None,
        "hardware": _hardware(part, evidence),
        "by_dataset": {
            name: {**_point(rows), "pairs": len(rows)} for name, rows in pairs.groupby("dataset")
        },
        "published": None,
    }
    if len(pairs) >= FEWEST_PAIRS:
        estimated = estimate(pairs, part.summary)
        result["verdict"] = _verdict(part, estimated)
        result["corrected"] = result["verdict"]
        if isinstance(estimated, OverSeeds):
            result["p"] = _p_value(part, estimated)
    known = published.pairs(part.compare)
    if len(known):
        result["published"] = {**_point(known), "pairs": len(known)}
    return result


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
    strata, seeds = (pairs[name].to_numpy() for name in ("dataset", "seed"))
    found: dict[str, float | None] = {"pairs": len(pairs), "seeds": fewest_seeds(strata, seeds)}
    for name in SUMMARIES:
        found |= {name: None, f"{name}_low": None, f"{name}_high": None}
    if not len(pairs):
        return found
    found |= _point(pairs)
    for name in SUMMARIES:
        estimated = estimate(pairs, name)
        if isinstance(estimated, OverSeeds) and isfinite(estimated.error):
            low, high = _interval(estimated, name)
            found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def estimate(pairs: pd.DataFrame, summary: str) -> OverSeeds | Resampled:
    """Tell how far a summary of pairs may be off: with other seeds, or with few by resampling.

    Resampled pairs of one seed are taken for independent, which they are not: enough for a word,
    but not for an interval.

    Parameters
    ----------
    pairs
        At least one, with the columns `kancore.claims.comparisons.PAIR`.
    summary
        One of `SUMMARIES`.
    """
    if summary == "share" and pairs["difference"].map(np.sign).nunique() == 1:
        # That all pairs go one way does not show that all others would: one more goes the other.
        against = pairs[:1].assign(difference=-pairs["difference"].iloc[0])
        pairs = pd.concat([pairs, against])
    values, strata, seeds = (pairs[name].to_numpy() for name in ("difference", "dataset", "seed"))
    if fewest_seeds(strata, seeds) >= FEWEST_SEEDS:
        return over_seeds(values, strata, seeds, SUMMARIES[summary])
    return resampled(values, strata, SUMMARIES[summary])


def _interval(estimated: OverSeeds | Resampled, summary: str) -> tuple[float, float]:
    """Interval of a summary; that of a share ends where shares end."""
    low, high = estimated.interval(CONFIDENCE)
    if summary == "share" and isfinite(low):
        return max(0.0, low), min(1.0, high)
    return low, high


def _p_value(part: Part, estimated: OverSeeds) -> float | None:
    """Find the p value of the verdict: twice a one-sided one, as the interval has two sides.

    For a claim it must reject each bound (two one-sided tests where there are two), against it one.
    It is below 1 - `CONFIDENCE` where the interval decides, and there is none without an interval.
    """
    if not isfinite(estimated.error):
        return None
    inside, outside = [], []
    if isfinite(part.above):
        inside.append(estimated.p_above(part.above))
        outside.append(estimated.p_below(part.above))
    if isfinite(part.below):
        inside.append(estimated.p_below(part.below))
        outside.append(estimated.p_above(part.below))
    return min(1.0, 2 * max(inside), 2 * min(outside))


def _verdict(part: Part, estimated: OverSeeds | Resampled) -> str:
    firm = isinstance(estimated, OverSeeds)
    low, high = _interval(estimated, part.summary)  # without an interval all below is false
    if part.above < low and high < part.below:
        return "supported" if firm else "suggested"
    if high < part.above or low > part.below:
        return "contradicted" if firm else "doubted"
    return "inconclusive"
