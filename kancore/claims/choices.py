"""Choices of the analysis that the paper's words leave open, each of which might turn a verdict.

They change what is compared: which schemes count, and how their dispersion is measured. That data
sets are pooled is another one; `kancore.claims.verdicts` judges each alone beside them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from kancore.analysis.statistics import SCHEME, SETTING
from kancore.claims.comparisons import DISPERSIONS, Evidence, narrowed
from kancore.claims.declared import ALL_SCHEMES, BEST, DISPERSION

# Schemes have learned whose mean validation accuracy over seeds comes so near the best one's.
LEARNED = 0.02


@dataclass(frozen=True)
class Choice:
    """One other choice.

    Attributes
    ----------
    name, setting : str
        What is chosen, and how.
    over : tuple of str
        Of tests over what it may be made, as `kancore.claims.declared.Part.over` has it.
    change : callable
        Gives the evidence with this choice.
    """

    name: str
    setting: str
    over: tuple[str, ...]
    change: Callable[[Evidence], Evidence]


def changed(evidence: Evidence, more: Iterable[Choice] = ()) -> list[tuple[Choice, Evidence]]:
    """Give the choices that some evidence leaves, and more, each with the evidence by it.

    Parameters
    ----------
    evidence
        The evidence by the declared choices.
    more
        Choices that take more than the evidence (`kancore.claims.firmness.Material.choices`).
    """
    return [(choice, choice.change(evidence)) for choice in (*choices(evidence), *more)]


def choices(evidence: Evidence) -> Iterator[Choice]:
    """Give the choices that some evidence leaves."""
    if evidence.schemes.empty:
        return
    yield Choice("schemes", "median", (BEST,), _medians)
    yield Choice("schemes", "best", (ALL_SCHEMES,), _best_alone)
    yield Choice("schemes", "learned", (ALL_SCHEMES, DISPERSION), _learned)
    for factor in SCHEME:
        levels = sorted(evidence.schemes[factor].unique())
        for level in levels if len(levels) > 1 else ():
            change = partial(_level, factor=factor, level=level)
            name = f"{level:g}" if factor == "learning_rate" else str(level)
            yield Choice(factor, name, (ALL_SCHEMES, DISPERSION), change)
    for measure in DISPERSIONS:
        yield Choice("dispersion", measure, (DISPERSION,), partial(_measure, measure=measure))


def _medians(evidence: Evidence) -> Evidence:
    """Take the median scheme of each architecture in place of the best."""
    return replace(evidence, best=evidence.best.assign(test_accuracy=evidence.best["median"]))


def _best_alone(evidence: Evidence) -> Evidence:
    """Take the best scheme of each architecture and seed, whichever it is, in place of all."""
    best = evidence.runs.merge(evidence.best[[*SETTING, *SCHEME, "seed"]])
    return replace(evidence, runs=best.assign(initialization="", optimizer="", learning_rate=0.0))


def _learned(evidence: Evidence) -> Evidence:
    """Leave out schemes that come nowhere near the best one of their architecture."""
    schemes = evidence.schemes
    score = schemes["validation_accuracy"].fillna(schemes["test_accuracy"]).astype(float)
    best = score.groupby([schemes[name] for name in SETTING], dropna=False).transform("max")
    return narrowed(evidence, schemes[score >= best - LEARNED])


def _level(evidence: Evidence, factor: str, level: object) -> Evidence:
    """Take the schemes of one optimizer, learning rate or initialization."""
    return narrowed(evidence, evidence.schemes[evidence.schemes[factor] == level])


def _measure(evidence: Evidence, measure: str) -> Evidence:
    """Measure otherwise how far schemes differ."""
    best = evidence.best
    return replace(evidence, best=best.assign(spread=best[f"spread_{measure}"]))
