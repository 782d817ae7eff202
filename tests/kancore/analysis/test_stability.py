"""What factors change, against numbers worked out one cell at a time."""

import numpy as np
import pandas as pd
import pytest

from kancore.analysis.stability import cells, effects, helpful, recommendations
from kancore.analysis.statistics import interval_over_seeds, summarize_runs


@pytest.fixture(scope="module")
def stability_runs(stability_history):
    return summarize_runs(stability_history)


def one(table, factor, measure, dataset="all", depth="all"):
    rows = table[(table["factor"] == factor) & (table["measure"] == measure)]
    (row,) = rows[(rows["dataset"] == dataset) & (rows["depth"] == depth)].itertuples()
    return row


def test_a_cell_sums_up_its_schemes(stability_history, stability_runs):
    found = cells(stability_history, stability_runs)
    assert len(found) == 5 * 2 * 2 * 3
    key = {"protocol": "baseline", "dataset": "mnist", "depth": "4layers", "seed": 1}
    (cell,) = (
        row for row in found.itertuples() if all(getattr(row, k) == v for k, v in key.items())
    )
    own = stability_runs
    for name, value in key.items():
        own = own[own[name] == value]
    assert len(own) == 27
    accuracy = own["test_accuracy"].astype(float).fillna(0).to_numpy()
    best = own.loc[own["validation_accuracy"].astype(float).idxmax(), "test_accuracy"]
    assert (cell.median, cell.best) == (np.median(accuracy), best)
    assert cell.spread == best - np.median(accuracy)
    assert cell.close == np.mean(accuracy >= best - 0.02)
    assert cell.failed == np.mean(own["diverged"].to_numpy(bool) | (accuracy < best / 2))
    assert cell.gap == own["generalization_gap"].astype(float).median()
    assert cell.outside_grid == pytest.approx(0.3)
    assert cell.outside_grid_1 == pytest.approx(0.5)
    epochs = []
    history = stability_history
    for name, value in key.items():
        history = history[history[name] == value]
    for _, rows in history.groupby(["initialization", "optimizer", "learning_rate"]):
        rows = rows.dropna(subset="validation_accuracy").sort_values("epoch")
        if len(rows):
            reached = rows["validation_accuracy"] >= 0.95 * rows["validation_accuracy"].max()
            epochs.append(rows.loc[reached, "epoch"].iloc[0])
    assert cell.epochs == np.median(epochs)


def test_diverged_runs_that_were_never_evaluated_count_as_nothing_right(stability_history):
    lost = stability_history["protocol"] == "residual"
    lost &= stability_history["optimizer"] != "sgd"
    history = stability_history[~lost | (stability_history["epoch"] == 2)].copy()
    at_once = history["protocol"].eq("residual") & history["optimizer"].ne("sgd")
    history.loc[at_once, ["validation_accuracy", "test_accuracy", "train_accuracy"]] = np.nan
    history.loc[at_once, "diverged"] = True
    found = cells(history, summarize_runs(history))
    own = found[found["protocol"] == "residual"]
    assert (own["median"] == 0).all()
    assert (own["failed"] >= 18 / 27).all()


@pytest.mark.slow
def test_effects_are_paired_with_intervals_over_seeds(stability_history, stability_runs):
    found = effects(stability_history, stability_runs)
    measured = cells(stability_history, stability_runs)
    wide = measured.pivot(index=["dataset", "depth", "seed"], columns="protocol", values="median")
    differences = wide["residual"] - wide["baseline"]
    row = one(found, "residual", "median")
    assert row.effect == pytest.approx(differences.mean())
    places = differences.index.to_frame()
    expected = interval_over_seeds(
        differences.to_numpy(),
        places["dataset"].to_numpy(),
        places["seed"].to_numpy(),
        lambda values: values.mean(axis=-1),
    )
    assert (row.low, row.high) == pytest.approx(expected)
    assert (row.pairs, row.seeds) == (12, 3)
    deep = one(found, "residual", "median", depth="4layers")
    assert deep.effect == pytest.approx(differences.xs("4layers", level="depth").mean())
    assert one(found, "baseline", "median").effect == 0
    assert one(found, "layer_norm", "outside_grid").effect == pytest.approx(-0.2)
    assert np.isnan(one(found, "residual", "outside_grid_4", depth="2layers").effect)


def test_factors_that_help_are_combined_unless_they_change_the_same(stability):
    factors = {
        "residual": {"residual": True},
        "layer_norm": {"layer_norm": "before_activation"},
        "clipping": {"clip_norm": 1},
        "warm_up": {"warmup_epochs": 1},
    }
    assert helpful(stability, factors) == ["residual", "layer_norm"]
    factors["residual"] = {"batch_norm": "before_activation"}
    assert helpful(stability, factors) == ["residual"]


def test_recommendations_follow_the_intervals(stability):
    found = {each["factor"]: each for each in recommendations(stability)}
    assert found["residual"]["advice"] == found["combined"]["advice"] == "use"
    assert found["clipping"]["advice"] == "avoid"
    assert found["warm_up"]["advice"] == "no difference"
    places = {place[0] for place in found["warm_up"]["except"]}
    assert len(places) == 1
    assert found["residual"]["except"] == []


@pytest.mark.slow
def test_few_seeds_help_nothing_for_sure(stability_history, stability_runs):
    """A single pair, and pairs of two seeds, say what was measured, without an interval."""
    for seeds in ([0], [0, 1]):
        history, runs = (
            table[table["seed"].isin(seeds)] for table in (stability_history, stability_runs)
        )
        found = effects(history, runs)
        assert one(found, "residual", "median").effect > 0.01
        assert found[["low", "high"]].isna().all(axis=None)
        assert helpful(found, {"residual": {"residual": True}}) == []
        assert {each["advice"] for each in recommendations(found)} == {"unknown"}


@pytest.mark.slow
def test_cells_that_all_change_alike_help_nothing_for_sure(stability_history):
    copied = stability_history[stability_history["protocol"] == "baseline"]
    better = copied.assign(protocol="residual")
    better["test_accuracy"] = better["test_accuracy"] + 1e-6
    history = pd.concat([copied, better])
    found = effects(history, summarize_runs(history))
    row = one(found, "residual", "median")
    assert row.effect == pytest.approx(1e-6)
    assert np.isnan([row.low, row.high]).all()
    assert helpful(found, {"residual": {"residual": True}}) == []
