"""Tables: schemas, bytes, whole files."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

from kancore.analysis.tables import RUNS
from kancore.machine.files import write_atomically
from kancore.schemes import AXES, Architecture, Sweep
from kancore.tables import HISTORY, KEY_NAMES, TIMINGS, read_table, sweep_key, write_table


def row(schema, **values):
    """One row with a value for each column by its type."""
    by_type = {"string": "x", "int64": 1, "double": 0.5, "bool": False}
    by_type["list<item: double>"] = [0.5, 1.5]
    return {field.name: by_type[str(field.type)] for field in schema} | values


@pytest.mark.parametrize("schema", [HISTORY, RUNS, TIMINGS])
def test_every_column_says_what_it_is(schema):
    for field in schema:
        assert field.metadata[b"description"]
        assert b"unit" in field.metadata


@pytest.mark.parametrize("schema", [HISTORY, RUNS])
def test_runs_and_evaluations_begin_with_the_key(schema):
    assert tuple(schema.names[: len(KEY_NAMES)]) == KEY_NAMES


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "below" / "history.parquet"
    rows = [row(HISTORY), row(HISTORY, degree=None, train_loss=None, diverged=True)]
    write_table(path, rows, HISTORY)
    frame = read_table(path, HISTORY)
    assert frame["degree"].tolist() == [1, pd.NA]
    assert frame["train_loss"].isna().tolist() == [False, True]
    assert frame["diverged"].tolist() == [False, True]
    assert frame["layer_nhsic"][0].tolist() == [0.5, 1.5]
    assert pq.read_schema(path).field("train_loss").metadata[b"unit"] == b"nats"


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = [row(RUNS, seed=seed) for seed in range(100)]
    write_table(tmp_path / "a", rows, RUNS)
    write_table(tmp_path / "b", pd.DataFrame(rows), RUNS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_rows(tmp_path):
    write_table(tmp_path / "empty", [], HISTORY)
    assert read_table(tmp_path / "empty", HISTORY).empty


def test_missing_and_unknown_columns_are_refused(tmp_path):
    incomplete = row(RUNS)
    del incomplete["code"]
    with pytest.raises(ValueError, match="code"):
        write_table(tmp_path / "t", [incomplete], RUNS)
    with pytest.raises(ValueError, match="extra"):
        write_table(tmp_path / "t", [row(RUNS, extra=1)], RUNS)
    write_table(tmp_path / "t", [row(RUNS)], RUNS)
    with pytest.raises(ValueError, match="expected"):
        read_table(tmp_path / "t", HISTORY)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(part):
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_sweep_key_fills_the_key():
    sweep = Sweep(
        *("digits", "backprop", Architecture("mlp", (64, 32)), 3),
        optimizers=("adam",),
        learning_rates=(0.05,),
        initializations=("orthogonal",),
        epochs=1,
        batch_size=1,
    )
    key = sweep_key(sweep)
    assert {"study", "experiment", "protocol", *key, *AXES} == set(KEY_NAMES)
    assert key["depth"] == "3layers"
    assert key["hidden_widths"] == "64x32"
    assert key["degree"] is None
