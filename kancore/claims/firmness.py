"""How firm verdicts are: whether other choices than the declared ones would give others.

Each variation changes one choice: the correction for many tests, a threshold, the epochs trained,
the data sets, the objective, whether runs that diverged count, or one of `kancore.claims.choices`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from kancore.analysis.statistics import summarize_runs
from kancore.analysis.tables import FIRMNESS
from kancore.claims.choices import Choice
from kancore.claims.comparisons import Evidence, measured, select, under
from kancore.claims.declared import (
    ALL_SCHEMES,
    BEST,
    CLAIMS,
    DISPERSION,
    OTHER,
    RANGES,
    Claim,
    Thresholds,
    declare,
)
from kancore.claims.verdicts import DECLARED, decide

# Shares of the epochs after which training is judged, as if it had ended there.
BUDGETS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Material:
    """All that verdicts of a study rest on.

    Attributes
    ----------
    histories : tuple of DataFrame
        Evaluations of the grid and of the follow-ups, with the columns of `kancore.tables.HISTORY`.
    timings : DataFrame
        Sweeps of the grid, with the columns of `kancore.tables.TIMINGS`.
    dimensions, complexity : Series
        Intrinsic dimensions by data set: that of efficiencies, and the measured one.
    """

    histories: tuple[pd.DataFrame, pd.DataFrame]
    timings: pd.DataFrame
    dimensions: pd.Series
    complexity: pd.Series

    def evidence(self, share: float = 1.0, diverged: bool = True) -> Evidence:
        """Evidence after a share of the epochs, with or without runs that diverged."""
        runs, follow_ups = (_runs_until(history, share) for history in self.histories)
        if not diverged:
            runs, follow_ups = (rows[~rows["diverged"]] for rows in (runs, follow_ups))
        return measured(runs, follow_ups, self.dimensions, self.timings, self.complexity)

    def choices(self) -> Iterator[Choice]:
        """Choices that take evaluations: fewer epochs, and to leave out runs that diverged."""
        over = (BEST, ALL_SCHEMES, DISPERSION, OTHER)
        for share in BUDGETS:
            yield Choice("budget", f"{share:g}", over, partial(self._instead, share=share))
        yield Choice("diverged", "dropped", over, partial(self._instead, diverged=False))

    def _instead(self, _: Evidence, **options: Any) -> Evidence:
        return self.evidence(**options)


def firmness(
    study: str, evidence: Evidence, other: Sequence[tuple[Choice, Evidence]]
) -> pd.DataFrame:
    """Judge the claims again under every variation.

    Parameters
    ----------
    study
        Name of the study.
    evidence
        What its verdicts rest on.
    other
        Other choices, as of `kancore.claims.verdicts.judge`.

    Returns
    -------
    DataFrame
        With the columns of `kancore.analysis.tables.FIRMNESS`: for each variation and setting one
        row a claim that it may change, with ``part`` 0, and one row a test, counted from 1.
    """
    rows = [
        {"study": study, "variation": variation, "setting": setting, **row}
        for variation, setting, judged in _variations(evidence, other)
        for claim in judged
        for row in _rows(claim)
    ]
    return pd.DataFrame(rows, columns=FIRMNESS.names)


def _variations(
    evidence: Evidence, other: Sequence[tuple[Choice, Evidence]]
) -> Iterator[tuple[str, str, Sequence[dict[str, Any]]]]:
    """Every variation with its settings, and the verdicts that it gives."""
    known = decide(evidence)
    yield DECLARED, DECLARED, known
    yield "correction", "holm", [_corrected(claim) for claim in known]
    for name, values in RANGES.items():
        for value in values:
            claims = _moved(name, value)
            yield name, f"{value:g}", decide(evidence, claims)
    datasets = sorted(set(evidence.runs["dataset"]))
    for dataset in datasets if len(datasets) > 1 else []:
        for variation, keep in (("alone", _on), ("without", _on_others)):
            yield variation, dataset, decide(select(evidence, partial(keep, dataset)))
    for choice, changed in other:
        own = [claim for claim in CLAIMS if any(part.over in choice.over for part in claim.parts)]
        yield choice.name, choice.setting, decide(changed, own)
    within = [claim for claim in CLAIMS if claim.within]
    objectives = sorted(set(evidence.runs["objective"]))
    for objective in objectives if len(objectives) > 1 else []:
        yield "objective", objective, decide(under(evidence, objective), within)


def _on(dataset: str, table: pd.DataFrame) -> pd.Series:
    """Whether rows are of a data set."""
    return table["dataset"] == dataset


def _on_others(dataset: str, table: pd.DataFrame) -> pd.Series:
    """Whether rows are of other data sets."""
    return table["dataset"] != dataset


def _runs_until(history: pd.DataFrame, share: float) -> pd.DataFrame:
    """Sum up runs as if each had ended after a share of the epochs of its data set and objective.

    Where no evaluation comes so early there are no runs, those that had diverged by then included.
    """
    budget = history.groupby(["dataset", "objective"])["epoch"].transform("max")
    early = history[history["epoch"] <= share * budget]
    known = early.assign(evaluated=~early["diverged"].astype(bool))
    some = known.groupby(["dataset", "objective"])["evaluated"].transform("any")
    # With the whole budget there are no later evaluations to wait for.
    return summarize_runs(early[some.astype(bool)] if share < 1 else early)


def _moved(name: str, value: float) -> list[Claim]:
    """Claims whose tests change with a threshold, as they are by this value."""
    names = ("all", "nearly_all") if name == "share" else (name,)
    claims = declare(replace(Thresholds(), **dict.fromkeys(names, value)))
    far = declare(replace(Thresholds(), **dict.fromkeys(names, 0.99)))  # changes each
    return [
        claim
        for claim, own, other in zip(claims, CLAIMS, far, strict=True)
        if own.parts != other.parts
    ]


def _corrected(claim: dict[str, Any]) -> dict[str, Any]:
    parts = [{**part, "verdict": part["corrected"]} for part in claim["parts"]]
    return {**claim, "verdict": claim["corrected"], "parts": parts}


def _rows(claim: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the row of a claim, and those of its tests."""
    nothing = dict.fromkeys(("value", "low", "high", "p", "pairs", "seeds"))
    yield {"claim": claim["name"], "part": 0, "verdict": claim["verdict"], **nothing}
    for number, part in enumerate(claim["parts"], start=1):
        told = {name: part[name] for name in ("verdict", *nothing)}
        yield {"claim": claim["name"], "part": number, **told}
