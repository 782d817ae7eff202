"""Intervals hold what they are of at their rate: of whole claims, and of few seeds among many."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from coverage_of_seeds import coverage

from kancore.analysis.statistics import SCHEME, summarize_runs
from kancore.claims.comparisons import Evidence
from kancore.claims.declared import CLAIMS
from kancore.claims.verdicts import judge

DATASETS = {"one": -0.01, "two": 0.01}
DEPTHS = {"2layers": -0.002, "3layers": 0.0, "4layers": 0.002}
BY_NAME = {claim.name: claim for claim in CLAIMS}


def grid(seeds, schemes):
    """Keys of runs of KANs and MLPs, all schemes by Adam and Kaiming-normal."""
    rows = product(DATASETS, DEPTHS, ("kan", "mlp"), range(seeds), range(schemes))
    keys = pd.DataFrame(rows, columns=["dataset", "depth", "model", "seed", "scheme"])
    return keys.assign(
        objective="backprop",
        initialization="kaiming_normal",
        optimizer="adam",
        learning_rate=0.001 * (keys["scheme"] + 1),
    )


def with_seed_effects(keys, random, size=0.01):
    """Differences of 0 on average: of data sets and depths, and a larger one of each seed."""
    seed = keys.groupby(["dataset", "seed"]).ngroup().to_numpy()
    effect = random.normal(0, size, seed.max() + 1)[seed]
    effect = effect + keys["dataset"].map(DATASETS) + keys["depth"].map(DEPTHS)
    noise = random.normal(0, size, len(keys))
    return np.where(keys["model"] == "kan", effect, 0) + noise * 0.5


@pytest.mark.slow
def test_intervals_of_claims_hold_the_truth_at_their_rate():
    """C1, of best schemes, and C3, of all: whatever the truth, 95 of 100 studies hold it."""
    random = np.random.default_rng(1)
    best, runs = grid(3, 1), grid(3, 4)
    held, claims = [], [BY_NAME["C1"], BY_NAME["C3"]]
    for _ in range(400):
        evidence = Evidence(
            runs.assign(generalization_gap=0.1 + with_seed_effects(runs, random)),
            best.assign(test_accuracy=0.9 + with_seed_effects(best, random)),
            runs.iloc[:0],
        )
        tests = [claim["parts"][0] for claim in judge(evidence, claims=claims, by_choices=False)]
        held.append([test["effect_low"] <= 0 <= test["effect_high"] for test in tests])
    rates = np.mean(held, axis=0)
    assert ((rates >= 0.93) & (rates <= 0.97)).all(), rates


@pytest.fixture(scope="module")
def many_seeds(make_history):
    """Runs of six seeds, each of which moves all KANs."""
    runs = summarize_runs(make_history(datasets=("mnist",), seeds=tuple(range(6))))
    runs = runs[~runs["diverged"]]
    random = np.random.default_rng(0)
    moved = random.normal(0, 0.02, 6)[runs["seed"].astype(int)] * (runs["model"] == "kan")
    return runs.assign(generalization_gap=runs["generalization_gap"] + moved)


@pytest.mark.slow
def test_intervals_of_some_seeds_hold_what_all_give_more_often_than_those_over_pairs(many_seeds):
    found = coverage(many_seeds, pd.Series({"mnist": 750}), 3, [BY_NAME["C3"]])
    row = found.set_index(["claim", "part"]).loc["C3", 1]
    assert row["sets"] == 20
    assert row["over_pairs"] < 0.6
    assert row["over_seeds"] >= 0.9
    assert 0.95 < row["expected"] < 0.99
    by = ["depth", "seed", *SCHEME]
    wide = many_seeds.pivot(index=by, columns="model", values="generalization_gap")
    differences = (wide["kan"] - wide["mlp"]).dropna().sort_values().to_numpy(float)
    cut = len(differences) // 4
    assert row["value"] == pytest.approx(differences[cut : len(differences) - cut].mean())


def test_tests_that_cannot_be_made_are_not_listed(many_seeds):
    found = coverage(many_seeds, pd.Series({"mnist": 750}), 5, [BY_NAME["C6"]])
    assert found.empty
