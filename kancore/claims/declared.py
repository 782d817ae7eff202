"""Tests of the paper's statements: every comparison and threshold, declared before the data.

A test holds if the interval of its summary lies between two bounds, fails if the interval lies
outside them, or so near to nothing that the difference is negligible, and is open otherwise. Where
there are enough seeds, the interval is over seeds; else what the pairs say is only suggested.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf, log
from typing import Any

import numpy as np
import pandas as pd

from kancore.analysis.statistics import (
    CELL,
    FEWEST_SEEDS,
    SCHEME,
    interquartile_mean,
    probability_of_improvement,
)
from kancore.claims.comparisons import (
    PAIR,
    Comparison,
    Evidence,
    activations,
    at_equal_size,
    backprop,
    between_seeds,
    comparing,
    degree_for_width,
    depth_gains,
    kans,
    layer_for_degree,
    middle,
    next_depth,
    of_equal_size,
    paired,
    same_orders,
    seconds_to_best,
    seed_deviations,
    shallow_mlp,
    size_for_efficiency,
    smallest_competitive,
    under,
)
from kancore.claims.statements import STATEMENTS, Statement

# With fewer pairs than this there is no interval, and with fewer than `FEWEST_TESTED` no test.
FEWEST_PAIRS = 5
FEWEST_TESTED = 3
CONFIDENCE = 0.95

SUMMARIES = {"effect": interquartile_mean, "share": probability_of_improvement}

# The data sets that the paper calls comparable, and better, with wide MLPs (section 4.0.1).
_COMPARABLE, _BETTER = "higgs", ("mnist", "fashion_mnist", "cifar10", "imdb")
# Those of the paper that have hundreds of inputs or more.
_HIGH_DIMENSIONAL = _BETTER
_WORDS = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "imdb": "IMDB",
    "higgs": "HIGGS",
}


@dataclass(frozen=True)
class Thresholds:
    """Bounds of the tests.

    Attributes
    ----------
    comparable, marginally_lower : float
        Accuracies this close, as fractions, are comparable; this much lower, marginally lower.
    negligible : float
        A difference in accuracy this small, as a fraction, is none.
    same_gap : float
        A generalization gap that is smaller by less than this, as a fraction, has not fallen.
    same_order : float
        Orders that stay, as a share, may be fewer by less than this than seeds leave.
    all, nearly_all : float
        Shares of pairs that count as all, and as nearly all.
    low_learning_rate : float
        Learning rates up to this are low (paper, section 4.0.1).
    same_efficiency, same_size : float
        Efficiencies, and numbers of parameters, that differ by no more than this factor are equal.
    large : float
        A KAN with as many parameters is large.
    """

    comparable: float = 0.02
    marginally_lower: float = 0.05
    negligible: float = 0.005
    same_gap: float = 0.005
    same_order: float = 0.1
    all: float = 0.9
    nearly_all: float = 0.75
    low_learning_rate: float = 5e-4
    same_efficiency: float = 1.1
    same_size: float = 1.1
    large: float = 1e6


THRESHOLDS = {
    **asdict(Thresholds()),
    "fewest_pairs": FEWEST_PAIRS,
    "fewest_tested": FEWEST_TESTED,
    "confidence": CONFIDENCE,
    "fewest_seeds": FEWEST_SEEDS,
}
# Values of thresholds by which firmness is told; a share stands for both.
RANGES = {
    "comparable": (0.01, 0.02, 0.03),
    "marginally_lower": (0.03, 0.05, 0.07),
    "negligible": (0.0025, 0.005, 0.01),
    "same_gap": (0.0025, 0.005, 0.01),
    "same_order": (0.05, 0.1, 0.2),
    "share": (0.75, 0.9, 0.95),
    "same_size": (1.01, 1.1, 1.25),
    "large": (3e5, 1e6, 3e6),
}

# What pairs are made of, which says by what other choices they could be made (`choices`): the best
# schemes, all schemes, measures of how far schemes differ, or anything else.
BEST, ALL_SCHEMES, DISPERSION, OTHER = "best", "all schemes", "dispersion", "other"


@dataclass(frozen=True)
class Part:
    """One test.

    Attributes
    ----------
    question : str
        What is compared with what.
    compare : callable
        Gives the differences between pairs; hashable.
    above, below : float
        The bounds between which the summary must lie.
    summary : str
        ``effect``, the interquartile mean of the differences, or ``share``, that of the pairs with
        a difference above zero.
    unit : str
        Of the effect: ``accuracy`` or ``gap`` (fractions); ``log_efficiency``, ``log_seconds``,
        ``log_epochs`` or ``log_parameters`` (of factors); or ``order`` (a share).
    over : str
        `BEST`, `ALL_SCHEMES`, `DISPERSION` or `OTHER`.
    negligible : float
        The test fails too if the interval lies within this of zero: there is no difference.
    shown : tuple of (str, callable)
        What is measured beside it, in words and as a comparison, without a verdict: parts of the
        difference that follow from arithmetic, or what it would be without them.
    """

    question: str
    compare: Comparison
    above: float = -inf
    below: float = inf
    summary: str = "effect"
    unit: str = "accuracy"
    over: str = BEST
    negligible: float = 0.0
    shown: tuple[tuple[str, Comparison], ...] = ()


@dataclass(frozen=True)
class Claim:
    """A statement of the paper and its tests.

    Attributes
    ----------
    name : str
        What it is called here.
    statement : Statement
        What it says, in the paper's words.
    needs : str
        What a study must have for the tests.
    parts : tuple of Part
        The tests.
    within : bool
        Whether all that they compare has one objective, so that each objective can be asked.
    concluded : bool
        Whether it is one of the conclusions that the paper draws for both objectives (section 7).
    """

    name: str
    statement: Statement
    needs: str
    parts: tuple[Part, ...]
    within: bool = False
    concluded: bool = False


def declare(thresholds: Thresholds) -> tuple[Claim, ...]:
    """Give all claims with their tests, by these thresholds."""
    found = (*_on_accuracy(thresholds), *_on_training(thresholds), *_on_efficiency(thresholds))
    found = (*found, *_on_schemes(thresholds), *_on_splines(thresholds))
    found = (*found, *_on_objectives(thresholds, [claim for claim in found if claim.concluded]))
    return tuple(sorted(found, key=lambda claim: int(claim.name[1:])))


def _claim(name: str, needs: str, *parts: Part, **options: bool) -> Claim:
    return Claim(name, STATEMENTS[name], needs, parts, **options)


def _on_accuracy(thresholds: Thresholds) -> tuple[Claim, ...]:
    """Claims on what KANs and MLPs reach."""
    near = thresholds.comparable
    return (
        _claim(
            "C1",
            "KANs and MLPs of one depth",
            Part(
                "Best scheme of a KAN minus that of the MLP of the same depth and width",
                comparing(_best_models, first="kan", second="mlp"),
                above=-near,
                below=near,
            ),
            within=True,
            concluded=True,
        ),
        _claim(
            "C2",
            "KANs and wide MLPs of one depth and as many parameters",
            *(
                Part(
                    "Best scheme of a wide MLP minus that of the KAN of the same depth and size: "
                    f"{_WORDS[name]}",
                    comparing(_wide_against_kan, datasets=(name,), within=thresholds.same_size),
                    above=0,
                    negligible=thresholds.negligible,
                )
                for name in _BETTER
            ),
            Part(
                f"The same: {_WORDS[_COMPARABLE]}",
                comparing(_wide_against_kan, datasets=(_COMPARABLE,), within=thresholds.same_size),
                above=-near,
                below=near,
            ),
            Part(
                f"The same: every data set but {_WORDS[_COMPARABLE]}, pooled",
                comparing(_wide_against_kan, datasets=(), within=thresholds.same_size),
                above=0,
                negligible=thresholds.negligible,
            ),
            within=True,
        ),
        _claim(
            "C19",
            "KANs and MLPs of one depth on data of hundreds of inputs",
            Part(
                "Best scheme of a KAN minus that of the MLP of the same depth and width: "
                + ", ".join(_WORDS[name] for name in _HIGH_DIMENSIONAL),
                comparing(_best_models, first="kan", second="mlp", datasets=_HIGH_DIMENSIONAL),
                above=-thresholds.comparable,
            ),
            within=True,
        ),
        _claim(
            "C20",
            "KANs, and smaller and larger MLPs",
            Part(
                "Best scheme of a KAN minus that of an MLP of as many parameters, interpolated",
                comparing(_best_at_equal_size),
                below=0,
                negligible=thresholds.negligible,
            ),
            within=True,
        ),
        _claim(
            "C22",
            "KANs and MLPs of several sizes",
            Part(
                "Parameters of the smallest KAN that comes within "
                f"{100 * thresholds.comparable:g} points of the best network over those of the "
                "smallest MLP that does",
                comparing(smallest_competitive, within=thresholds.comparable),
                below=0,
                unit="log_parameters",
            ),
            within=True,
            concluded=True,
        ),
        _claim(
            "C25",
            "KANs and MLPs of several depths",
            Part(
                "Best scheme of a KAN minus that of the MLP: at the largest depth minus at "
                "the least",
                comparing(depth_gains),
                below=0,
                negligible=thresholds.negligible,
            ),
            within=True,
        ),
    )


def _on_training(thresholds: Thresholds) -> tuple[Claim, ...]:
    """Claims on overfitting, stability, and the time and epochs that training takes."""
    size = thresholds.same_size
    gap = comparing(_models, first="kan", second="mlp", value="generalization_gap")
    wide: dict[str, Any] = {"first": "kan", "second": "wide_mlp", "within": size}
    rivals: dict[str, dict[str, Any]] = {
        "MLP of the same depth": {"first": "kan", "second": "mlp"},
        "wide MLP of the same depth, size": wide,
    }
    large = {"first": "kan", "second": "mlp", "least": thresholds.large}
    return (
        _claim(
            "C3",
            "KANs and MLPs of one depth",
            Part(
                "Gap of a KAN minus that of the MLP with the same scheme",
                gap,
                above=0,
                unit="gap",
                over=ALL_SCHEMES,
            ),
            Part(
                "Share of these pairs in which the KAN has the larger gap",
                gap,
                above=thresholds.all,
                summary="share",
                unit="gap",
                over=ALL_SCHEMES,
            ),
            within=True,
            concluded=True,
        ),
        _claim(
            "C5",
            "KANs and MLPs of one depth, with several schemes",
            Part(
                "Best minus median scheme: a KAN's minus that of the MLP of the same depth",
                comparing(_best_models, first="kan", second="mlp", value="spread"),
                above=0,
                over=DISPERSION,
            ),
            within=True,
            concluded=True,
        ),
        _claim(
            "C11",
            "timed sweeps of KANs, and of smaller and larger MLPs, on one machine",
            Part(
                "Seconds of an epoch of a KAN over those of an MLP of as many parameters",
                comparing(_times, value="log_seconds"),
                above=0,
                unit="log_seconds",
                over=OTHER,
            ),
            Part(
                "Seconds to the best epoch of the best scheme, likewise",
                comparing(_times, value="log_seconds_to_best"),
                above=0,
                unit="log_seconds",
                over=OTHER,
            ),
            within=True,
        ),
        _claim(
            "C12",
            "KANs, MLPs and wide MLPs of one depth, these of as many parameters, evaluated several "
            "times",
            *(
                Part(
                    f"Best epoch of a KAN over that of the {name} and scheme, "
                    "unless both are the last",
                    comparing(_best_epochs, **rival),
                    below=0,
                    unit="log_epochs",
                    over=ALL_SCHEMES,
                )
                for name, rival in rivals.items()
            ),
            *(
                Part(
                    "Test accuracy lost from the best epoch to the last: a KAN's minus that of "
                    f"the {name} and scheme",
                    comparing(_models, value="decline", **rival),
                    above=0,
                    over=ALL_SCHEMES,
                )
                for name, rival in rivals.items()
            ),
            within=True,
            concluded=True,
        ),
        _claim(
            "C13",
            "KANs of neighbouring depths, with several schemes",
            Part(
                "Best minus median scheme: a KAN's minus that of a KAN with one layer fewer",
                comparing(_deeper_spread, model="kan"),
                above=0,
                over=DISPERSION,
                shown=(("the same of an MLP", comparing(_deeper_spread, model="mlp")),),
            ),
            within=True,
        ),
        _claim(
            "C21",
            "KANs and MLPs of one depth, with several seeds and evaluations",
            Part(
                "Distance of a run from the other seeds of its scheme: a KAN's minus the MLP's",
                comparing(_deviations),
                above=0,
                over=ALL_SCHEMES,
            ),
            Part(
                "Mean fall of test accuracy between evaluations: a KAN's minus the MLP's",
                comparing(_models, first="kan", second="mlp", value="mean_fall"),
                above=0,
                over=ALL_SCHEMES,
            ),
            within=True,
        ),
        _claim(
            "C24",
            "KANs and wide MLPs of one depth and as many parameters",
            Part(
                "Gap of a KAN minus that of the wide MLP of the same depth, size and scheme",
                comparing(_models, value="generalization_gap", **wide),
                above=0,
                unit="gap",
                over=ALL_SCHEMES,
                shown=(("at the best epoch", comparing(_models, value="best_gap", **wide)),),
            ),
            within=True,
        ),
        _claim(
            "C27",
            "KANs and wide MLPs of one depth and as many parameters",
            Part(
                "Gap of a KAN minus that of the wide MLP of the same depth, size and scheme",
                comparing(_models, value="generalization_gap", **wide),
                above=0,
                unit="gap",
                over=ALL_SCHEMES,
            ),
            Part(
                "Best minus median scheme: a KAN's minus that of the wide MLP of its size",
                comparing(_best_models, value="spread", **wide),
                above=0,
                over=DISPERSION,
            ),
            Part(
                "Best scheme of a KAN minus that of the wide MLP of its depth and size",
                comparing(_best_models, **wide),
                above=-thresholds.comparable,
                below=thresholds.comparable,
            ),
            within=True,
        ),
        _claim(
            "C29",
            f"KANs of {thresholds.large:,.0f} parameters or more, and MLPs of their depths",
            Part(
                "Large KANs: best epoch over that of the MLP of the same depth and scheme, unless "
                "both are the last",
                comparing(_best_epochs, **large),
                below=0,
                unit="log_epochs",
                over=ALL_SCHEMES,
            ),
            Part(
                "Large KANs: test accuracy lost from the best epoch to the last, minus that of the "
                "MLP of the same depth and scheme",
                comparing(_models, value="decline", **large),
                above=0,
                over=ALL_SCHEMES,
            ),
            within=True,
        ),
    )


def _on_efficiency(thresholds: Thresholds) -> tuple[Claim, ...]:
    """Claims on accuracy for epochs and parameters: ``E = a / (e ln(1 + n - d))``."""
    factors = {
        "of which accuracy": "log_accuracy",
        "of which epochs": "log_speed",
        "of which size, ln(1 + n - d)": "log_compactness",
    }
    open_ = "unless both are best at the last evaluation"
    wide = {"first": "kan", "second": "wide_mlp", "within": thresholds.same_size}
    same = log(thresholds.same_efficiency)
    return (
        _claim(
            "C9",
            "KANs and wide MLPs of one depth and as many parameters",
            Part(
                "Efficiency of a KAN over that of the wide MLP of the same depth, size and scheme",
                comparing(_models, value="log_efficiency", **wide),
                above=0,
                unit="log_efficiency",
                over=ALL_SCHEMES,
                shown=(
                    *(
                        (words, comparing(_models, value=value, **wide))
                        for words, value in factors.items()
                    ),
                    (open_, comparing(_models, value="log_efficiency", lost="best_at_end", **wide)),
                ),
            ),
            within=True,
            concluded=True,
        ),
        _claim(
            "C10",
            "KANs of neighbouring depths",
            Part(
                "Efficiency of a KAN with one more layer over that without it, same scheme",
                comparing(_one_more_layer, value="log_efficiency"),
                below=0,
                unit="log_efficiency",
                over=ALL_SCHEMES,
                shown=(
                    *(
                        (words, comparing(_one_more_layer, value=value))
                        for words, value in factors.items()
                    ),
                    (open_, comparing(_one_more_layer, value="log_efficiency", lost="best_at_end")),
                ),
            ),
            Part(
                "Gap of a KAN with one more layer minus that without it, same scheme",
                comparing(_one_more_layer, value="generalization_gap"),
                above=-thresholds.same_gap,
                unit="gap",
                over=ALL_SCHEMES,
            ),
            within=True,
        ),
        _claim(
            "C16",
            "MNIST, and architectures of several depths and sizes",
            Part(
                "Most efficient run of the MLP of one hidden layer over any other: MNIST",
                comparing(shallow_mlp, datasets=("mnist",)),
                above=0,
                unit="log_efficiency",
                over=OTHER,
                shown=(("on every data set", comparing(shallow_mlp)),),
            ),
            within=True,
        ),
        _claim(
            "C17",
            "data sets whose intrinsic dimension is measured, with architectures as efficient",
            Part(
                "Size of the architecture that is as efficient on the more complex data over that "
                "on the simpler, both with the inputs of the simpler",
                comparing(size_for_efficiency, within=same),
                above=0,
                unit="log_parameters",
                over=OTHER,
                shown=(
                    (
                        "each with its own inputs",
                        comparing(size_for_efficiency, within=same, gross=True),
                    ),
                ),
            ),
            within=True,
        ),
    )


def _on_schemes(thresholds: Thresholds) -> tuple[Claim, ...]:
    """Claims on which schemes suit KANs: each value against each other, the rest as claimed."""
    low = thresholds.low_learning_rate
    contrasts = {
        "initialization": (
            "Kaiming-normal",
            {"kaiming_uniform": "Kaiming-uniform", "orthogonal": "orthogonal"},
        ),
        "optimizer": ("AdamW", {"sgd": "SGD", "sgd_momentum": "SGD with momentum"}),
        "learning_rate": ("A low learning rate", {"0.005": "0.005", "0.05": "0.05"}),
    }

    def parts(axes: Sequence[str], least: float) -> list[Part]:
        size = "Large KANs: " if least else ""
        return [
            Part(
                f"{size}{words} minus {name}, the rest as claimed",
                comparing(_contrast, axis=axis, rival=rival, low=low, least=least),
                above=0,
                over=OTHER,
                negligible=thresholds.negligible,
            )
            for axis in axes
            for words, rivals in [contrasts[axis]]
            for rival, name in rivals.items()
        ]

    return (
        _claim(
            "C4",
            f"KANs of {thresholds.large:,.0f} parameters or more, with each of these and others",
            *parts(tuple(contrasts), thresholds.large),
            within=True,
        ),
        _claim(
            "C26",
            "KANs and MLPs of one depth, by other schemes than AdamW at a low rate",
            Part(
                "Gap of a KAN minus that of the MLP with the same scheme, without these schemes",
                comparing(_gaps_of_schemes, recommended=False, low=low),
                above=0,
                unit="gap",
                over=ALL_SCHEMES,
                shown=(
                    (
                        "with these schemes",
                        comparing(_gaps_of_schemes, recommended=True, low=low),
                    ),
                ),
            ),
            within=True,
            concluded=True,
        ),
        _claim(
            "C28",
            "KANs with each of these and with others",
            *parts(("optimizer", "learning_rate"), 0.0),
            within=True,
            concluded=True,
        ),
    )


def _on_splines(thresholds: Thresholds) -> tuple[Claim, ...]:
    """Claims on base activations, degrees and grids of KANs, from follow-ups."""
    axes = {"C15": ("width_degree", "degree", "degree"), "C23": ("grid_size",) * 2 + ("grid",)}
    return (
        _claim(
            "C7",
            "the follow-up activation with gelu, silu and elu",
            *(
                Part(
                    f"Share of pairs in which GELU beats {name}: same depth and seed",
                    comparing(activations, first="gelu", second=other),
                    above=thresholds.nearly_all,
                    summary="share",
                    over=OTHER,
                )
                for other, name in {"silu": "SiLU", "elu": "ELU"}.items()
            ),
        ),
        _claim(
            "C8",
            "the follow-up width_degree with several degrees, widths and layers",
            Part(
                "A higher degree minus a larger width of the least degree with as many parameters",
                comparing(degree_for_width),
                below=0,
                over=OTHER,
                negligible=thresholds.negligible,
            ),
            Part(
                "One more layer minus a higher degree that takes as many parameters",
                comparing(layer_for_degree),
                above=0,
                over=OTHER,
                negligible=thresholds.negligible,
            ),
        ),
        *(
            _claim(
                name,
                f"the follow-up {experiment} with three values or more",
                *(
                    Part(
                        f"Best {word} between the least and the greatest minus the {side}",
                        comparing(middle, experiment=experiment, axis=axis, end=end),
                        above=0,
                        over=OTHER,
                        negligible=thresholds.negligible,
                    )
                    for side, end in {"least": min, "greatest": max}.items()
                ),
            )
            for name, (experiment, axis, word) in axes.items()
        ),
    )


def _on_objectives(thresholds: Thresholds, concluded: Sequence[Claim]) -> tuple[Claim, ...]:
    """Claims that compare the objectives."""
    tests = tuple(part for claim in concluded for part in claim.parts)
    return (
        _claim(
            "C6",
            "architectures under both objectives",
            Part(
                "Best scheme under HSIC minus that under backpropagation",
                comparing(_objectives),
                above=-thresholds.marginally_lower,
                below=0,
            ),
            Part(
                "Share of orders of a KAN and an MLP that both objectives share, minus the share "
                "that two seeds of backpropagation do",
                comparing(same_orders),
                above=-thresholds.same_order,
                unit="order",
                over=OTHER,
            ),
        ),
        _claim(
            "C14",
            "KANs under both objectives, with several schemes",
            Part(
                "Best minus median scheme of a KAN: under HSIC minus under backpropagation",
                comparing(_kan_objectives, table="best", value="spread"),
                below=0,
                over=DISPERSION,
            ),
            Part(
                "Gap of a KAN under HSIC minus that under backpropagation, same scheme",
                comparing(_kan_objectives, table="runs", value="generalization_gap"),
                below=0,
                unit="gap",
                over=ALL_SCHEMES,
            ),
        ),
        _claim(
            "C18",
            "architectures under both objectives, with several seeds",
            Part(
                "Share of tests of conclusions with one outcome under both objectives, minus the "
                "share with one outcome in two seeds of backpropagation",
                comparing(_same_outcomes, parts=tests),
                above=-thresholds.same_order,
                unit="order",
                over=OTHER,
            ),
        ),
    )


def _best_models(
    evidence: Evidence,
    first: str,
    second: str,
    value: str = "test_accuracy",
    datasets: Sequence[str] = (),
    within: float = inf,
) -> pd.DataFrame:
    rows = backprop(evidence.best)
    if datasets:
        rows = rows[rows["dataset"].isin(datasets)]
    if within < inf:
        rows = of_equal_size(rows, first, second, within)
    return paired(rows, "model", first, second, value, CELL)


def _wide_against_kan(evidence: Evidence, datasets: Sequence[str], within: float) -> pd.DataFrame:
    """Without names, all data sets but the one on which the paper calls them comparable."""
    pairs = _best_models(evidence, "wide_mlp", "kan", within=within)
    if datasets:
        return pairs[pairs["dataset"].isin(datasets)]
    return pairs[pairs["dataset"] != _COMPARABLE]


def _best_at_equal_size(evidence: Evidence) -> pd.DataFrame:
    return at_equal_size(evidence.best, "test_accuracy")


def _times(evidence: Evidence, value: str) -> pd.DataFrame:
    return at_equal_size(seconds_to_best(evidence), value)


def _models(
    evidence: Evidence,
    first: str,
    second: str,
    value: str,
    within: float = inf,
    least: float = 0.0,
    lost: str = "failed",
) -> pd.DataFrame:
    """Differences between two models by one scheme; of KANs with `least` parameters or more."""
    runs = backprop(evidence.runs)
    if within < inf:
        runs = of_equal_size(runs, first, second, within)
    if least:
        large = runs[(runs["model"] == "kan") & (runs["parameters"].astype(float) >= least)]
        runs = runs.merge(large[["dataset", "depth"]].drop_duplicates())
    return paired(runs, "model", first, second, value, (*CELL, *SCHEME), lost=lost)


def _best_epochs(evidence: Evidence, **options: Any) -> pd.DataFrame:
    """Of two that were best at the last evaluation neither is known to be earlier."""
    return _models(evidence, value="log_best_epoch", lost="best_at_end", **options)


def _deviations(evidence: Evidence) -> pd.DataFrame:
    runs = backprop(evidence.runs)
    runs = seed_deviations(runs, "test_accuracy")
    return paired(runs, "model", "kan", "mlp", "deviation", (*CELL, *SCHEME))


def _deeper_spread(evidence: Evidence, model: str) -> pd.DataFrame:
    best = backprop(evidence.best)
    return next_depth(best[best["model"] == model], "spread", CELL)


def _one_more_layer(evidence: Evidence, value: str, lost: str = "failed") -> pd.DataFrame:
    return next_depth(kans(evidence.runs), value, (*CELL, *SCHEME), lost)


def _contrast(evidence: Evidence, axis: str, rival: str, low: float, least: float) -> pd.DataFrame:
    """Claimed value of one part of the scheme minus a rival; the other parts are as claimed."""
    runs = kans(evidence.runs)
    runs = runs[runs["parameters"].astype(float) >= least]
    rates = [_LOW if rate <= low * (1 + 1e-9) else f"{rate:g}" for rate in runs["learning_rate"]]
    runs = runs.assign(learning_rate=np.array(rates, dtype=object))
    claimed = {"initialization": "kaiming_normal", "optimizer": "adam", "learning_rate": _LOW}
    for other in set(claimed) - {axis}:
        runs = runs[runs[other] == claimed[other]]
    # Of several low rates the best on validation data stands for all.
    score = runs["validation_accuracy"].fillna(runs["test_accuracy"])
    runs = runs.assign(score=score).sort_values("score", ascending=False, kind="stable")
    runs = runs.drop_duplicates([*CELL, axis])
    return paired(runs, axis, claimed[axis], rival, "test_accuracy", CELL)


def _gaps_of_schemes(evidence: Evidence, recommended: bool, low: float) -> pd.DataFrame:
    """Gaps of KANs minus those of MLPs by AdamW at a low rate, or by all other schemes."""
    runs = backprop(evidence.runs)
    own = (runs["optimizer"] == "adam") & (runs["learning_rate"] <= low * (1 + 1e-9))
    runs = runs[own == recommended]
    return paired(runs, "model", "kan", "mlp", "generalization_gap", (*CELL, *SCHEME))


def _objectives(evidence: Evidence) -> pd.DataFrame:
    return paired(evidence.best, "objective", "hsic", "backprop", "test_accuracy", ("model", *CELL))


def _kan_objectives(evidence: Evidence, table: str, value: str) -> pd.DataFrame:
    rows = getattr(evidence, table)
    rows = rows[rows["model"] == "kan"]
    by = CELL if table == "best" else (*CELL, *SCHEME)
    return paired(rows, "objective", "hsic", "backprop", value, by)


def _same_outcomes(evidence: Evidence, parts: tuple[Part, ...]) -> pd.DataFrame:
    """Share of tests that both objectives decide alike, minus that of two seeds of one.

    One pair for each data set and seed; tests are decided on each alone.
    """
    objectives = [under(evidence, name) for name in ("backprop", "hsic")]
    if any(known.best.empty for known in objectives):
        return pd.DataFrame(columns=PAIR)
    # [test, (data set, seed)]
    one, other = (
        pd.DataFrame([_outcomes(part, known) for part in parts]).astype(float)
        for known in objectives
    )
    pairs = []
    for dataset in one.columns.get_level_values("dataset").unique():
        own = {seed: one[dataset, seed] for seed in one[dataset]}
        for seed, ceiling in between_seeds(own, _alike).items():
            if (dataset, seed) in other:
                shared = _alike(own[seed], other[dataset, seed])
                pairs.append((dataset, seed, shared - ceiling))
    return pd.DataFrame(pairs, columns=PAIR).dropna(ignore_index=True)


def _alike(first: pd.Series, second: pd.Series) -> float:
    """Share of tests that both make with the same outcome."""
    both = first.notna() & second.notna()
    return float((first[both] == second[both]).mean())


def _outcomes(part: Part, evidence: Evidence) -> pd.Series:
    """Whether the summary of each data set and seed lies between the bounds."""
    pairs = evidence.pairs(part.compare)
    found = pairs.groupby(["dataset", "seed"])["difference"].agg(
        lambda values: float(SUMMARIES[part.summary](np.asarray(values)))
    )
    return (found > part.above) & (found < part.below)


# What low learning rates are called among others.
_LOW = "low"
CLAIMS = declare(Thresholds())
