"""The paper's claims as tests: every comparison and threshold, declared before the data.

A part of a claim holds if the interval of its summary lies between two bounds, fails if the
interval lies outside them, and is open otherwise. Where there are enough seeds, the interval is
over seeds; else it is over the pairs that there are, and what it says is only suggested.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import inf, log

import numpy as np
import pandas as pd

from kancore.analysis.statistics import (
    FEWEST_SEEDS,
    SCHEME,
    interquartile_mean,
    probability_of_improvement,
)
from kancore.claims.comparisons import (
    CELL,
    PAIR,
    Comparison,
    Evidence,
    activations,
    backprop,
    best_rival,
    kans,
    layer_against_degree,
    matched_time,
    middle_degree,
    narrow_for_wide,
    next_depth,
    paired,
    same_order,
    shallow_and_small,
    size_for_efficiency,
    spread,
    under,
)

# With fewer pairs than this a claim is not tested.
FEWEST_PAIRS = 5
CONFIDENCE = 0.95

SUMMARIES = {"effect": interquartile_mean, "share": probability_of_improvement}


@dataclass(frozen=True)
class Thresholds:
    """Bounds of the tests.

    Attributes
    ----------
    comparable, marginally_lower : float
        Accuracies this close, as fractions, are comparable; this much lower, marginally lower.
    same_gap : float
        A generalization gap that is smaller by less than this, as a fraction, has not fallen.
    all, nearly_all : float
        Shares of pairs that count as all, and as nearly all or an order that stays.
    low_learning_rate : float
        Learning rates up to this are low (paper, section 5).
    same_efficiency : float
        Efficiencies that differ by no more than this factor are the same.
    """

    comparable: float = 0.02
    marginally_lower: float = 0.05
    same_gap: float = 0.005
    all: float = 0.9
    nearly_all: float = 0.75
    low_learning_rate: float = 5e-4
    same_efficiency: float = 1.1


THRESHOLDS = {
    **asdict(Thresholds()),
    "fewest_pairs": FEWEST_PAIRS,
    "confidence": CONFIDENCE,
    "fewest_seeds": FEWEST_SEEDS,
}
# How far thresholds may be moved before a verdict is called firm; a share stands for both.
RANGES = {
    "comparable": (0.01, 0.02, 0.03),
    "marginally_lower": (0.03, 0.05, 0.07),
    "same_gap": (0.0025, 0.005, 0.01),
    "share": (0.75, 0.9, 0.95),
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
        Of the effect: ``accuracy`` or ``gap`` (fractions); ``log_efficiency``, ``log_seconds``,
        ``log_epochs`` or ``log_parameters`` (of factors); ``order``, or
        ``accuracy_per_parameter``.
    """

    question: str
    compare: Comparison
    above: float = -inf
    below: float = inf
    summary: str = "effect"
    unit: str = "accuracy"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and its tests.

    Attributes
    ----------
    name, statement : str
        What it is called here, and what it says.
    quote : str
        The paper's own words.
    source : str
        Where in the paper: ``abstract`` if word by word; ``in short`` if shortened from its body.
    needs : str
        What a study must have for the tests.
    parts : tuple of Part
        The tests.
    within : bool
        Whether all that they compare has one objective, so that each objective can be asked.
    """

    name: str
    statement: str
    quote: str
    source: str
    needs: str
    parts: tuple[Part, ...]
    within: bool = False


def _best_models(evidence: Evidence, first: str, second: str) -> pd.DataFrame:
    return paired(backprop(evidence.best), "model", first, second, "test_accuracy", CELL)


def _wide_against_kan(evidence: Evidence, higgs: bool) -> pd.DataFrame:
    pairs = _best_models(evidence, "wide_mlp", "kan")
    return pairs[(pairs["dataset"] == "higgs") == higgs]


def _rivals(evidence: Evidence, axis: str, claimed: dict[str, Callable]) -> pd.DataFrame:
    return best_rival(kans(evidence.runs), axis, claimed)


def _gaps(evidence: Evidence) -> pd.DataFrame:
    runs = backprop(evidence.runs)
    return paired(runs, "model", "kan", "mlp", "generalization_gap", (*CELL, *SCHEME))


def _spreads(evidence: Evidence) -> pd.DataFrame:
    rows = spread(backprop(evidence.best))
    return paired(rows, "model", "kan", "mlp", "spread", CELL)


def _objectives(evidence: Evidence) -> pd.DataFrame:
    return paired(evidence.best, "objective", "hsic", "backprop", "test_accuracy", ("model", *CELL))


def _kan_objectives(table: pd.DataFrame, value: str, by: tuple[str, ...]) -> pd.DataFrame:
    rows = table[table["model"] == "kan"]
    return paired(rows, "objective", "hsic", "backprop", value, by)


def _efficiencies(evidence: Evidence) -> pd.DataFrame:
    runs = backprop(evidence.runs)
    return paired(runs, "model", "kan", "wide_mlp", "log_efficiency", (*CELL, *SCHEME))


def _best_epochs(evidence: Evidence, rival: str) -> pd.DataFrame:
    runs = backprop(evidence.runs)
    return paired(runs, "model", "kan", rival, "log_best_epoch", (*CELL, *SCHEME))


def _alike(evidence: Evidence, parts: tuple[Part, ...]) -> pd.DataFrame:
    """Give each test, data set and seed 1 if both objectives have the same outcome, else -1."""
    rows = []
    objectives = [under(evidence, name) for name in ("backprop", "hsic")]
    if any(known.best.empty for known in objectives):
        return pd.DataFrame(columns=PAIR)
    for part in parts:
        sides = [_outcomes(part, known) for known in objectives]
        both = pd.concat(sides, axis=1, join="inner")
        rows.append(both.iloc[:, 0].eq(both.iloc[:, 1]).map({True: 1.0, False: -1.0}))
    found = pd.concat(rows).rename("difference").rename_axis(["dataset", "seed"])
    return found.reset_index()[[*PAIR]]


def _outcomes(part: Part, evidence: Evidence) -> pd.Series:
    """Whether the summary of each data set and seed lies between the bounds."""
    pairs = evidence.pairs(part.compare)
    found = pairs.groupby(["dataset", "seed"])["difference"].agg(
        lambda values: float(SUMMARIES[part.summary](np.asarray(values)))
    )
    return (found > part.above) & (found < part.below)


def _claimed(low_rate: float) -> dict[str, Callable]:
    """Say what is claimed to be the best of each part of a scheme."""
    return {
        "initialization": lambda column: column == "kaiming_normal",
        "optimizer": lambda column: column == "adam",
        "learning_rate": lambda column: column <= low_rate * (1 + 1e-9),
    }


def declare(thresholds: Thresholds, like: Sequence[Claim] = ()) -> tuple[Claim, ...]:
    """Give all claims with their tests, by these thresholds.

    Parameters
    ----------
    thresholds
        Bounds of the tests.
    like
        Claims by thresholds that differ in bounds alone, whose comparisons are taken over: so what
        was compared for them is not compared again.
    """
    found = (*_on_accuracy(thresholds), *_on_training(thresholds), *_on_efficiency(thresholds))
    single = sorted(found, key=lambda claim: int(claim.name[1:]))
    for place, known in enumerate(like[: len(single)]):
        pairs = zip(single[place].parts, known.parts, strict=True)
        parts = tuple(replace(part, compare=before.compare) for part, before in pairs)
        single[place] = replace(single[place], parts=parts)
    compared = tuple(part for claim in single if claim.within for part in claim.parts)
    return (*single, _on_both_objectives(thresholds, compared))


def _on_accuracy(thresholds: Thresholds) -> tuple[Claim, ...]:
    """Claims on what KANs and MLPs reach, and by which schemes."""
    claimed = _claimed(thresholds.low_learning_rate)
    return (
        Claim(
            "C1",
            "At equal depth and width KANs and MLPs reach comparable accuracy.",
            "KANs are an effective alternative to MLP architectures",
            "abstract",
            "KANs and MLPs of one depth",
            (
                Part(
                    "Best scheme of a KAN less that of the MLP of the same depth and width",
                    partial(_best_models, first="kan", second="mlp"),
                    above=-thresholds.comparable,
                    below=thresholds.comparable,
                ),
            ),
            within=True,
        ),
        Claim(
            "C2",
            "A wide MLP with as many parameters is comparable (HIGGS) or better than a KAN (the "
            "rest).",
            "a wide MLP is comparable on HIGGS and better elsewhere",
            "in short",
            "KANs and wide MLPs of one depth",
            (
                Part(
                    "Best scheme of a wide MLP less that of the KAN of the same depth, without "
                    "HIGGS",
                    partial(_wide_against_kan, higgs=False),
                    above=0,
                ),
                Part(
                    "The same on HIGGS",
                    partial(_wide_against_kan, higgs=True),
                    above=-thresholds.comparable,
                    below=thresholds.comparable,
                ),
            ),
            within=True,
        ),
        Claim(
            "C4",
            "KANs do best with Kaiming-normal, Adam and a low learning rate (at most 5e-4).",
            "Kaiming-normal, Adam, learning rate of at most 5e-4",
            "in short",
            "KANs with each of these and with others",
            tuple(
                Part(
                    f"{words} less the best other {axis.replace('_', ' ')}, the rest as claimed",
                    partial(_rivals, axis=axis, claimed=claimed),
                    above=0,
                )
                for axis, words in {
                    "initialization": "Kaiming-normal",
                    "optimizer": "Adam",
                    "learning_rate": "A low learning rate",
                }.items()
            ),
            within=True,
        ),
        Claim(
            "C6",
            "With the HSIC bottleneck the ranking stays, with marginally lower accuracies.",
            "the same ranking, with marginally lower accuracies",
            "in short",
            "architectures under both objectives",
            (
                Part(
                    "Best scheme under HSIC less that under backpropagation",
                    _objectives,
                    above=-thresholds.marginally_lower,
                    below=0,
                ),
                Part(
                    "Share of pairs of architectures that both objectives put in the same order",
                    lambda evidence: same_order(evidence.best),
                    above=thresholds.nearly_all,
                    summary="share",
                    unit="order",
                ),
            ),
        ),
        Claim(
            "C7",
            "GELU beats SiLU and ELU almost everywhere in KANs.",
            "GELU is better almost everywhere",
            "in short",
            "the follow-up activation with gelu, silu and elu",
            tuple(
                Part(
                    f"Share of pairs in which GELU beats {name}: same depth and seed",
                    partial(activations, first="gelu", second=other),
                    above=thresholds.nearly_all,
                    summary="share",
                )
                for other, name in {"silu": "SiLU", "elu": "ELU"}.items()
            ),
        ),
        Claim(
            "C8",
            "Width cannot be traded for degree; a higher degree helps less, for each parameter, "
            "than another layer.",
            "width cannot be traded for degree; another layer helps more for each parameter",
            "in short",
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
            "C15",
            "With the degree of its splines the error of a KAN first falls, then rises.",
            "the error first falls, then rises with the degree",
            "in short",
            "the follow-up width_degree with three degrees or more",
            tuple(
                Part(
                    f"Best degree between the lowest and the highest less the {name}",
                    partial(middle_degree, end=end),
                    above=0,
                )
                for name, end in {"lowest": min, "highest": max}.items()
            ),
        ),
    )


def _on_training(thresholds: Thresholds) -> tuple[Claim, ...]:
    """Claims on overfitting, stability, and the time and epochs that training takes."""
    return (
        Claim(
            "C3",
            "KANs overfit more than MLPs: a larger generalization gap, for all schemes.",
            "a larger generalization error than MLPs, for all schemes",
            "in short",
            "KANs and MLPs of one depth",
            (
                Part(
                    "Gap of a KAN less that of the MLP with the same scheme",
                    _gaps,
                    above=0,
                    unit="gap",
                ),
                Part(
                    "Share of these pairs in which the KAN has the larger gap",
                    _gaps,
                    above=thresholds.all,
                    summary="share",
                    unit="gap",
                ),
            ),
            within=True,
        ),
        Claim(
            "C5",
            "KANs are more sensitive to initialization, optimizer and learning rate than MLPs.",
            "suffer from more unstable training dynamics",
            "abstract",
            "KANs and MLPs of one depth, with several schemes",
            (
                Part(
                    "Best less median scheme: of a KAN less that of the MLP of the same depth",
                    _spreads,
                    above=0,
                ),
            ),
            within=True,
        ),
        Claim(
            "C11",
            "KANs take longer to train than MLPs of as many parameters.",
            "KANs take longer to train",
            "in short",
            "timed sweeps of KANs, and of smaller and larger MLPs, on one machine",
            (
                Part(
                    "Seconds of an epoch of a KAN over those of an MLP of as many parameters",
                    matched_time,
                    above=0,
                    unit="log_seconds",
                ),
            ),
            within=True,
        ),
        Claim(
            "C12",
            "KANs reach their best accuracy after fewer epochs than MLPs.",
            "KANs reach their best accuracy earlier",
            "in short",
            "KANs, MLPs and wide MLPs of one depth, evaluated several times",
            tuple(
                Part(
                    f"Best epoch of a KAN over that of the {name} of the same depth and scheme",
                    partial(_best_epochs, rival=rival),
                    below=0,
                    unit="log_epochs",
                )
                for rival, name in {"mlp": "MLP", "wide_mlp": "wide MLP"}.items()
            ),
            within=True,
        ),
        Claim(
            "C13",
            "Deeper KANs are more sensitive to initialization, optimizer and learning rate.",
            "training stability of larger KAN models",
            "abstract",
            "KANs of neighbouring depths, with several schemes",
            (
                Part(
                    "Best less median scheme: of a KAN with one more layer less that without it",
                    lambda evidence: next_depth(spread(kans(evidence.best)), "spread", CELL),
                    above=0,
                ),
            ),
            within=True,
        ),
        Claim(
            "C14",
            "The HSIC bottleneck makes the training of KANs more stable, and they overfit less.",
            "more stable, with less overfitting, than by backpropagation",
            "in short",
            "KANs under both objectives, with several schemes",
            (
                Part(
                    "Best less median scheme of a KAN: under HSIC less under backpropagation",
                    lambda evidence: _kan_objectives(spread(evidence.best), "spread", CELL),
                    below=0,
                ),
                Part(
                    "Gap of a KAN under HSIC less that under backpropagation, same scheme",
                    lambda evidence: _kan_objectives(
                        evidence.runs, "generalization_gap", (*CELL, *SCHEME)
                    ),
                    below=0,
                    unit="gap",
                ),
            ),
        ),
    )


def _on_efficiency(thresholds: Thresholds) -> tuple[Claim, ...]:
    """Claims on accuracy for epochs and parameters."""
    return (
        Claim(
            "C9",
            "With as many parameters KANs are more efficient than wide MLPs.",
            "somewhat better parameter efficiency",
            "abstract",
            "KANs and wide MLPs of one depth",
            (
                Part(
                    "Efficiency of a KAN over that of the wide MLP of the same depth and scheme",
                    _efficiencies,
                    above=0,
                    unit="log_efficiency",
                ),
            ),
            within=True,
        ),
        Claim(
            "C10",
            "The efficiency of KANs falls as layers are added, and the generalization gap does "
            "not.",
            "more layers, less efficiency, and no smaller generalization error",
            "in short",
            "KANs of neighbouring depths",
            (
                Part(
                    "Efficiency of a KAN with one more layer over that without it, same scheme",
                    partial(_one_more_layer, value="log_efficiency"),
                    below=0,
                    unit="log_efficiency",
                ),
                Part(
                    "Gap of a KAN with one more layer less that without it, same scheme",
                    partial(_one_more_layer, value="generalization_gap"),
                    above=-thresholds.same_gap,
                    unit="gap",
                ),
            ),
            within=True,
        ),
        Claim(
            "C16",
            "The most efficient network is small and shallow.",
            "the most efficient networks are small and shallow",
            "in short",
            "architectures of several depths and sizes",
            (
                Part(
                    "Most efficient run of the least depth and at most median size over any other",
                    shallow_and_small,
                    above=0,
                    unit="log_efficiency",
                ),
            ),
            within=True,
        ),
        Claim(
            "C17",
            "More complex data, of a higher intrinsic dimension, need larger models for the same "
            "efficiency.",
            "more complex data need larger models for the same efficiency",
            "in short",
            "data sets whose intrinsic dimension is measured, with architectures as efficient",
            (
                Part(
                    "Parameters on the more complex data over those on the simpler, as efficient",
                    partial(size_for_efficiency, within=log(thresholds.same_efficiency)),
                    above=0,
                    unit="log_parameters",
                ),
            ),
            within=True,
        ),
    )


def _on_both_objectives(thresholds: Thresholds, compared: tuple[Part, ...]) -> Claim:
    """Claim that what is claimed holds under either objective."""
    return Claim(
        "C18",
        "What holds under backpropagation holds with the HSIC bottleneck.",
        "the conclusions hold for the HSIC bottleneck too",
        "in short",
        "architectures under both objectives",
        (
            Part(
                "Share of tests, data sets and seeds with the same outcome under both objectives",
                partial(_alike, parts=compared),
                above=thresholds.nearly_all,
                summary="share",
                unit="order",
            ),
        ),
    )


def _one_more_layer(evidence: Evidence, value: str) -> pd.DataFrame:
    return next_depth(kans(evidence.runs), value, (*CELL, *SCHEME))


CLAIMS = declare(Thresholds())
