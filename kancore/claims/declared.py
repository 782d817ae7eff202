"""The paper's ten claims as tests: every comparison and threshold, declared before the data.

A part of a claim holds if the interval of its summary lies between two bounds, fails if the
interval lies outside them, and is open otherwise. Where there are enough seeds, the interval is
over seeds; else it is over the pairs that there are, and what it says is only suggested.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf

import pandas as pd

from kancore.claims.comparisons import (
    CELL,
    Evidence,
    activations,
    backprop,
    best_rival,
    kans,
    layer_against_degree,
    narrow_for_wide,
    next_depth,
    paired,
    same_order,
    spread,
)
from kancore.statistics import SCHEME

# Accuracies this close, as fractions, are called comparable; this much lower, marginally lower.
COMPARABLE = 0.02
MARGINAL = 0.05
# A generalization gap that is smaller by less than this, as a fraction, has not fallen.
SAME_GAP = 0.005
# Shares of pairs that count as all, as nearly all, and as an order that stays.
ALL = 0.9
NEARLY_ALL = 0.75
# Learning rates up to this are low (paper, section 5).
LOW_RATE = 5e-4
# With fewer pairs than this a claim is not tested.
FEWEST_PAIRS = 5
CONFIDENCE = 0.95
# With fewer seeds on a data set, an interval over them says nothing.
FEWEST_SEEDS = 3

THRESHOLDS = {
    "comparable": COMPARABLE,
    "marginally_lower": MARGINAL,
    "same_gap": SAME_GAP,
    "all": ALL,
    "nearly_all": NEARLY_ALL,
    "low_learning_rate": LOW_RATE,
    "fewest_pairs": FEWEST_PAIRS,
    "confidence": CONFIDENCE,
    "fewest_seeds": FEWEST_SEEDS,
}

_CLAIMED = {
    "initialization": lambda column: column == "kaiming_normal",
    "optimizer": lambda column: column == "adam",
    "learning_rate": lambda column: column <= LOW_RATE * (1 + 1e-9),
}


@dataclass(frozen=True)
class Part:
    """One test.

    Attributes
    ----------
    question : str
        What is compared with what.
    compare : callable
        Gives the differences between pairs.
    above, below : float
        The bounds between which the summary must lie.
    summary : str
        ``effect``, the interquartile mean of the differences, or ``share``, that of the pairs with
        a difference above zero.
    unit : str
        Of the effect: ``accuracy`` or ``gap`` (fractions), ``log_efficiency``, ``order``, or
        ``accuracy_per_parameter``.
    """

    question: str
    compare: Callable[[Evidence], pd.DataFrame]
    above: float = -inf
    below: float = inf
    summary: str = "effect"
    unit: str = "accuracy"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, its tests, and what a study must have for them."""

    name: str
    statement: str
    needs: str
    parts: tuple[Part, ...]


def _best_models(evidence: Evidence, first: str, second: str) -> pd.DataFrame:
    return paired(backprop(evidence.best), "model", first, second, "test_accuracy", CELL)


def _wide_against_kan(evidence: Evidence, higgs: bool) -> pd.DataFrame:
    pairs = _best_models(evidence, "wide_mlp", "kan")
    return pairs[(pairs["dataset"] == "higgs") == higgs]


def _gaps(evidence: Evidence) -> pd.DataFrame:
    runs = backprop(evidence.runs)
    return paired(runs, "model", "kan", "mlp", "generalization_gap", (*CELL, *SCHEME))


def _spreads(evidence: Evidence) -> pd.DataFrame:
    rows = spread(backprop(evidence.best))
    return paired(rows, "model", "kan", "mlp", "spread", CELL)


def _objectives(evidence: Evidence) -> pd.DataFrame:
    return paired(evidence.best, "objective", "hsic", "backprop", "test_accuracy", ("model", *CELL))


def _efficiencies(evidence: Evidence) -> pd.DataFrame:
    runs = backprop(evidence.runs)
    return paired(runs, "model", "kan", "wide_mlp", "log_efficiency", (*CELL, *SCHEME))


CLAIMS = (
    Claim(
        "C1",
        "At equal depth and width KANs and MLPs reach comparable accuracy.",
        "KANs and MLPs of one depth",
        (
            Part(
                "Best scheme of a KAN less that of the MLP of the same depth and width",
                partial(_best_models, first="kan", second="mlp"),
                above=-COMPARABLE,
                below=COMPARABLE,
            ),
        ),
    ),
    Claim(
        "C2",
        "A wide MLP with as many parameters is comparable (HIGGS) or better than a KAN (the rest).",
        "KANs and wide MLPs of one depth",
        (
            Part(
                "Best scheme of a wide MLP less that of the KAN of the same depth, without HIGGS",
                partial(_wide_against_kan, higgs=False),
                above=0,
            ),
            Part(
                "The same on HIGGS",
                partial(_wide_against_kan, higgs=True),
                above=-COMPARABLE,
                below=COMPARABLE,
            ),
        ),
    ),
    Claim(
        "C3",
        "KANs overfit more than MLPs: a larger generalization gap, for all schemes.",
        "KANs and MLPs of one depth",
        (
            Part(
                "Gap of a KAN less that of the MLP with the same scheme", _gaps, above=0, unit="gap"
            ),
            Part(
                "Share of these pairs in which the KAN has the larger gap",
                _gaps,
                above=ALL,
                summary="share",
                unit="gap",
            ),
        ),
    ),
    Claim(
        "C4",
        "KANs do best with Kaiming-normal, Adam and a low learning rate (at most 5e-4).",
        "KANs with each of these and with others",
        tuple(
            Part(
                f"{words} less the best other {axis.replace('_', ' ')}, the rest as claimed",
                lambda evidence, axis=axis: best_rival(kans(evidence.runs), axis, _CLAIMED),
                above=0,
            )
            for axis, words in {
                "initialization": "Kaiming-normal",
                "optimizer": "Adam",
                "learning_rate": "A low learning rate",
            }.items()
        ),
    ),
    Claim(
        "C5",
        "KANs are more sensitive to initialization, optimizer and learning rate than MLPs.",
        "KANs and MLPs of one depth, with several schemes",
        (
            Part(
                "Best less median scheme: of a KAN less that of the MLP of the same depth",
                _spreads,
                above=0,
            ),
        ),
    ),
    Claim(
        "C6",
        "With the HSIC bottleneck the ranking stays, with marginally lower accuracies.",
        "architectures under both objectives",
        (
            Part(
                "Best scheme under HSIC less that under backpropagation",
                _objectives,
                above=-MARGINAL,
                below=0,
            ),
            Part(
                "Share of pairs of architectures that both objectives put in the same order",
                lambda evidence: same_order(evidence.best),
                above=NEARLY_ALL,
                summary="share",
                unit="order",
            ),
        ),
    ),
    Claim(
        "C7",
        "GELU beats SiLU and ELU almost everywhere in KANs.",
        "the follow-up activation with gelu, silu and elu",
        tuple(
            Part(
                f"Share of pairs in which GELU beats {name}: same depth and seed",
                partial(activations, first="gelu", second=other),
                above=NEARLY_ALL,
                summary="share",
            )
            for other, name in {"silu": "SiLU", "elu": "ELU"}.items()
        ),
    ),
    Claim(
        "C8",
        "Width cannot be traded for degree; a higher degree helps less, for each parameter, than "
        "another layer.",
        "the follow-up width_degree with several degrees and with widths twice one another",
        (
            Part(
                "Half the width with its best higher degree less the whole width",
                narrow_for_wide,
                below=0,
            ),
            Part(
                "Share of networks for which a layer gains more a parameter than a degree does",
                layer_against_degree,
                above=0.5,
                summary="share",
                unit="accuracy_per_parameter",
            ),
        ),
    ),
    Claim(
        "C9",
        "With as many parameters KANs are more efficient than wide MLPs.",
        "KANs and wide MLPs of one depth",
        (
            Part(
                "Efficiency of a KAN over that of the wide MLP of the same depth and scheme",
                _efficiencies,
                above=0,
                unit="log_efficiency",
            ),
        ),
    ),
    Claim(
        "C10",
        "The efficiency of KANs falls as layers are added, and the generalization gap does not.",
        "KANs of neighbouring depths",
        (
            Part(
                "Efficiency of a KAN with one more layer over that without it, same scheme",
                lambda evidence: next_depth(kans(evidence.runs), "log_efficiency"),
                below=0,
                unit="log_efficiency",
            ),
            Part(
                "Gap of a KAN with one more layer less that without it, same scheme",
                lambda evidence: next_depth(kans(evidence.runs), "generalization_gap"),
                above=-SAME_GAP,
                unit="gap",
            ),
        ),
    ),
)
