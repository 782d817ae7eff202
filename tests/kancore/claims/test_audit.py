"""The audit: runs by protocol, effects beside naive differences, verdicts."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import trim_mean

from kancore.analysis.efficiency import efficiency
from kancore.analysis.statistics import SCHEME, counted, summarize_runs
from kancore.analysis.tables import AUDIT
from kancore.claims.audit import MEASURES, by_protocol, effects, evidence, verdicts
from kancore.schemes import INITIALIZATIONS, MODELS, OPTIMIZERS, Architecture, Sweep
from kancore.tables import read_table, write_table

DIMENSIONS = pd.Series({"mnist": 750})
ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = pd.read_csv(ROOT / "published" / "comparisons.csv")


def sweeps(model, depths=((32,), (64, 32)), activation="gelu"):
    kan = {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)} if model == "kan" else {}
    factor = 10 if model == "wide_mlp" else 1
    axes = {
        "optimizers": OPTIMIZERS,
        "learning_rates": (0.05, 0.005, 0.0005),
        "initializations": INITIALIZATIONS,
    }
    for widths, seed in product(depths, (0, 1)):
        widths = tuple(factor * width for width in widths)
        architecture = Architecture(model, widths, activation, **kan)
        options = {"seed": seed, "epochs": 12, "batch_size": 8}
        yield Sweep("mnist", "backprop", architecture, **axes, **options)


@pytest.fixture(scope="module")
def plan():
    """Clean, a protocol that changes KANs alone, and one that trains all again by ReLU."""
    clean = [each for model in MODELS for each in sweeps(model)]
    again = [each for model in MODELS for each in sweeps(model, activation="relu")]
    return [
        *(("clean", "clean", each) for each in clean),
        *(
            ("kans_alone", "kans_alone" if "/kan-" in each.name else "clean", each)
            for each in clean
        ),
        *(("relu", "relu", each) for each in again),
    ]


@pytest.fixture(scope="module")
def runs(make_history):
    """What the plan trains: under `kans_alone` and `relu` every accuracy differs by run."""
    options = {"datasets": ("mnist",), "seeds": (0, 1), "experiment": "audit"}
    clean = summarize_runs(make_history(**options))
    clean = clean[clean["depth"] != "4layers"]
    shift = np.random.default_rng(0).normal(0.01, 0.01, len(clean))
    relu = clean.assign(
        protocol="relu",
        activation="relu",
        test_accuracy=(clean["test_accuracy"] + shift).clip(0, 1),
        best_epoch=(clean["best_epoch"] // 2).clip(lower=1),
    )
    kans = clean[clean["model"] == "kan"].assign(protocol="kans_alone")
    kans["generalization_gap"] += 0.02
    return pd.concat([clean, relu, kans], ignore_index=True)


@pytest.fixture(scope="module")
def found(runs, plan):
    return by_protocol(runs, plan)


def test_a_protocol_has_its_own_runs_and_those_it_shares(found):
    assert list(found) == ["clean", "kans_alone", "relu"]
    assert {len(rows) for rows in found.values()} == {3 * 2 * 2 * 27}
    by_model = found["kans_alone"].groupby("model")["protocol"].unique()
    assert {model: list(names) for model, names in by_model.items()} == {
        "kan": ["kans_alone"],
        "mlp": ["clean"],
        "wide_mlp": ["clean"],
    }


def naive(clean, other, column):
    """Differences of runs of the same model, depth, scheme and seed, a loop over them."""
    index = ["model", "depth", *SCHEME, "seed"]
    pairs = [rows.set_index(index)[[column, "failed"]] for rows in (clean, other)]
    return [
        float(row[column]) - pairs[0].loc[key, column]
        for key, row in pairs[1].iterrows()
        if pd.notna(row[column]) and pd.notna(pairs[0].loc[key, column])
        if not (row["failed"] and pairs[0].loc[key, "failed"])
    ]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlp", "kan", "wide_mlp"])
def test_effects_are_interquartile_means_of_naive_differences(model, found):
    table = effects(found, evidence(found, DIMENSIONS)).set_index(["protocol", "model", "measure"])
    clean, relu = (
        counted(rows)[lambda all_models: all_models["model"] == model]
        for rows in (found["clean"], found["relu"])
    )
    for measure, column in (("test_accuracy", "test_accuracy"), ("gap", "generalization_gap")):
        differences = naive(clean, relu, column)
        row = table.loc[("relu", model, measure)]
        assert row["pairs"] == len(differences)
        # As SciPy has it; it cuts the same share of both ends.
        assert row["effect"] == pytest.approx(trim_mean(differences, 0.25), abs=1e-12)
        assert row[["low", "high"]].isna().all()  # of two seeds

    def logarithms(rows):
        rows = rows[~rows["failed"]]
        columns = (
            rows[name].astype(float) for name in ("test_accuracy", "best_epoch", "parameters")
        )
        return rows.assign(log=np.log(efficiency(*columns, 750)))

    differences = naive(logarithms(clean), logarithms(relu), "log")
    expected = trim_mean(differences, 0.25)
    assert table.loc[("relu", model, "log_efficiency"), "effect"] == pytest.approx(expected)


def test_each_seed_chooses_the_best_scheme_anew_under_each_protocol(found):
    table = effects(found, evidence(found, DIMENSIONS)).set_index(["protocol", "model", "measure"])
    row = table.loc[("relu", "mlp", "best_accuracy")]
    assert row["pairs"] == 2 * 2

    def best(rows):
        rows = rows[rows["model"] == "mlp"]
        chosen = rows.groupby(["depth", "seed"])["validation_accuracy"].idxmax()
        return rows.loc[chosen, "test_accuracy"].to_numpy(float)

    differences = best(found["relu"]) - best(found["clean"])
    assert row["effect"] == pytest.approx(trim_mean(differences, 0.25), abs=1e-12)


def test_what_a_protocol_leaves_as_it_is_has_no_effect_and_says_so(found, tmp_path):
    table = effects(found, evidence(found, DIMENSIONS))
    assert len(table) == 2 * 3 * len(MEASURES)
    own = table.set_index(["protocol", "model"])
    shared = own.loc[[("kans_alone", "mlp"), ("kans_alone", "wide_mlp")]]
    assert not shared["trained"].any()
    assert (shared["effect"] == 0).all()
    changed = own.loc[("kans_alone", "kan")].set_index("measure")
    assert changed["trained"].all()
    assert changed.loc["gap", "effect"] == pytest.approx(0.02)
    write_table(tmp_path / "audit.parquet", table, AUDIT)
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "audit.parquet", AUDIT), table, check_dtype=False
    )


def test_three_seeds_that_differ_have_an_interval_and_three_that_agree_have_none(runs, plan):
    third = runs[runs["seed"] == 0].assign(seed=2)
    third["test_accuracy"] -= 0.02 * (third["protocol"] == "relu")
    third["test_accuracy"] = third["test_accuracy"].clip(lower=0)
    more = [
        *plan,
        *((under, by, replace(each, seed=2)) for under, by, each in plan if each.seed == 0),
    ]
    found = by_protocol(pd.concat([runs, third]), more)
    table = effects(found, evidence(found, DIMENSIONS)).set_index(["protocol", "model", "measure"])
    relu = table.loc[("relu", "kan", "test_accuracy")]
    assert relu["low"] < relu["effect"] < relu["high"]
    gap = table.loc[("kans_alone", "kan", "gap")]  # raised by the same everywhere
    assert gap["effect"] == pytest.approx(0.02)
    assert gap[["low", "high"]].isna().all()


def test_nothing_that_pairs_has_no_effect(found):
    nothing = dict.fromkeys(("test_accuracy", "generalization_gap"))
    lost = {**found, "relu": found["relu"].assign(**nothing)}
    table = effects(lost, evidence(lost, DIMENSIONS)).set_index(["protocol", "model", "measure"])
    reached = found["clean"].query("model == 'kan'")["test_accuracy"].dropna()
    row = table.loc[("relu", "kan", "test_accuracy")]
    assert row["pairs"] == len(reached)  # a departure that loses them all is no better for that
    assert row["effect"] == pytest.approx(-trim_mean(reached, 0.25), abs=0.02)
    row = table.loc[("relu", "kan", "gap")]
    assert row["pairs"] == 0
    assert row[["clean", "effect", "low", "high"]].isna().all()


@pytest.mark.slow
def test_claims_are_tested_under_each_protocol(found):
    judged = verdicts(evidence(found, DIMENSIONS), PUBLISHED)
    assert list(judged) == list(found)
    gap = {name: claims[2]["parts"][0]["effect"] for name, claims in judged.items()}
    assert judged["clean"][2]["name"] == "C3"
    assert gap["kans_alone"] == pytest.approx(gap["clean"] + 0.02)
    part = judged["clean"][0]["parts"][0]  # of so few pairs there are words alone
    assert (part["pairs"], part["verdict"], part["effect_low"]) == (4, "doubted", None)
