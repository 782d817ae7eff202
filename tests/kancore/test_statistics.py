"""Sums of runs against values worked out by hand."""

import pandas as pd
import pytest

from kancore.statistics import summarize_runs
from kancore.tables import HISTORY, RUNS, read_table, write_table


def evaluations(tmp_path, *runs):
    """History of runs (key columns, [(epoch, train, validation, test), ...]), through Parquet."""
    rows = []
    for key, values in runs:
        for epoch, train, validation, test in values:
            given = {
                "epoch": epoch,
                "train_accuracy": train,
                "validation_accuracy": validation,
                "test_accuracy": test,
                "diverged": test is None,
                "parameters": 7,
                "code": "c",
            }
            rows.append(dict.fromkeys(HISTORY.names) | {"study": "s", "seed": 0} | key | given)
    write_table(tmp_path / "history", rows, HISTORY)
    return read_table(tmp_path / "history", HISTORY)


def summary(tmp_path, *runs):
    frame = summarize_runs(evaluations(tmp_path, *runs))
    assert list(frame.columns) == RUNS.names
    write_table(tmp_path / "runs", frame, RUNS)
    return frame


KAN = {"model": "kan", "degree": 3, "grid_size": 5, "learning_rate": 0.05}
MLP = {"model": "mlp", "learning_rate": 0.05}


@pytest.mark.parametrize("key", [KAN, MLP])
def test_best_epoch_is_the_first_best_on_validation(key, tmp_path):
    values = [(2, 0.5, 0.6, 0.55), (4, 0.8, 0.7, 0.6), (6, 0.9, 0.7, 0.75), (8, 1.0, 0.65, 0.9)]
    run = summary(tmp_path, (key, values)).iloc[0]
    assert (run["epochs"], run["best_epoch"], run["best_test_epoch"]) == (8, 4, 8)
    assert run["train_accuracy"] == 0.8
    assert run["validation_accuracy"] == 0.7
    assert run["test_accuracy"] == 0.6
    assert run["best_test_accuracy"] == 0.9
    assert run["generalization_gap"] == pytest.approx((3.2 - 2.8) / 4)
    assert not run["diverged"]
    assert (run["parameters"], run["code"]) == (7, "c")


def test_without_validation_data_test_data_choose(tmp_path):
    run = summary(tmp_path, (MLP, [(1, 0.5, None, 0.4), (2, 0.5, None, 0.6)])).iloc[0]
    assert (run["best_epoch"], run["test_accuracy"]) == (2, 0.6)
    assert pd.isna(run["validation_accuracy"])


def test_diverged_runs_keep_what_they_reached(tmp_path):
    late = (KAN, [(2, 0.5, 0.5, 0.5), (4, None, None, None)])
    early = (MLP, [(2, None, None, None)])
    kan, mlp = summary(tmp_path, late, early).to_dict("records")
    assert kan["diverged"]
    assert mlp["diverged"]
    assert (kan["epochs"], kan["test_accuracy"]) == (2, 0.5)
    for name in ("epochs", "best_epoch", "test_accuracy", "generalization_gap"):
        assert pd.isna(mlp[name])


def test_runs_are_sorted_whatever_the_order_of_evaluations(tmp_path):
    runs = [({**KAN, "seed": seed}, [(2, 0.1, 0.2, 0.3), (4, 0.1, 0.3, 0.2)]) for seed in (1, 0)]
    history = evaluations(tmp_path, *runs)
    shuffled = history.sample(frac=1, random_state=0)
    expected = summarize_runs(history)
    assert expected["seed"].tolist() == [0, 1]
    pd.testing.assert_frame_equal(summarize_runs(shuffled), expected)
