"""Models of the user's own beside those of the paper."""

import numpy as np
import pandas as pd
import pytest

from kancore.analysis.statistics import interquartile_mean
from kancore.claims.comparisons import measured
from kancore.claims.own_models import compare
from kancore.report.verdicts import own_models

OWN = "rbf_kan:build"


@pytest.fixture
def with_own(runs):
    """Runs with a model that has a hundredth more than the KANs, and a gap of twice theirs."""
    kans = runs[runs["model"] == "kan"]
    own = kans.assign(
        model=OWN,
        activation=None,
        degree=pd.NA,
        grid_size=pd.NA,
        generalization_gap=2 * kans["generalization_gap"],
        **{name: kans[name] + 0.01 for name in ("validation_accuracy", "test_accuracy")},
    )
    return pd.concat([runs, own.astype(kans.dtypes)])


def evidence(runs):
    return measured(runs, runs.iloc[:0], pd.Series(dtype=float))


def test_a_study_without_such_models_has_no_comparison(runs):
    assert compare(evidence(runs)) == []


def test_pairs_are_of_one_data_set_depth_and_seed(with_own, runs):
    found = {(each["model"], each["rival"]): each for each in compare(evidence(with_own))}
    assert list(found) == [(OWN, "mlp"), (OWN, "kan"), (OWN, "wide_mlp")]
    against_kan = found[OWN, "kan"]
    assert against_kan["best_accuracy"]["pairs"] == 3 * 3
    assert against_kan["best_accuracy"]["effect"] == pytest.approx(0.01)
    gaps = runs.loc[runs["model"] == "kan", "generalization_gap"].dropna()
    assert against_kan["gap"]["pairs"] == len(gaps)
    assert against_kan["gap"]["effect"] == pytest.approx(interquartile_mean(gaps.to_numpy(float)))
    assert against_kan["gap"]["seeds"] == 1
    for compared in found.values():  # one seed gives no interval
        for measured_ in (compared["best_accuracy"], compared["gap"]):
            assert np.isfinite(measured_["effect"])
            assert measured_["effect_low"] is measured_["effect_high"] is None


def test_seeds_that_agree_give_no_interval_and_others_do(with_own):
    """The model is better than the KANs by the same on every seed, and than MLPs is not."""
    moved = [
        with_own.assign(
            seed=seed,
            test_accuracy=with_own["test_accuracy"]
            + 0.001 * (seed - 2) ** 2 * (with_own["model"] == "mlp"),
        )
        for seed in range(3)
    ]
    found = {each["rival"]: each for each in compare(evidence(pd.concat(moved)))}
    assert found["kan"]["best_accuracy"]["effect"] == pytest.approx(0.01)
    assert found["kan"]["best_accuracy"]["effect_low"] is None
    mlp = found["mlp"]["best_accuracy"]
    assert mlp["effect_low"] < mlp["effect"] < mlp["effect_high"]


def test_the_report_writes_them_in_points(with_own):
    table = own_models(compare(evidence(with_own)))
    assert table.rows[1][:4] == (OWN, "KAN", "+1.00", "9")
    assert table.rows[1][-1] == "1"
