"""The audit of the tiny study: what each protocol trained, and what the report shows of it."""

import json

import pandas as pd
import pytest

from kancore.analysis.tables import AUDIT, RUNS
from kancore.tables import read_table


@pytest.fixture(scope="module")
def tables(finished):
    return finished.path / "results" / "tiny" / "tables"


def test_each_protocol_trains_what_it_changes_and_no_more(tables):
    runs = read_table(tables / "audit/runs.parquet", RUNS)
    assert set(runs["experiment"]) == {"audit"}
    assert runs.groupby(["protocol", "model"]).size().to_dict() == {
        ("clean", "mlp"): 9,
        ("clean", "kan"): 9,
        ("published", "mlp"): 9,
        ("published", "kan"): 9,
        ("warm_start", "mlp"): 9,
        ("warm_start", "kan"): 9,
        ("output_initialization", "kan"): 9,
    }


def test_the_clean_protocol_of_the_audit_is_the_grids(tables):
    audit, grid = (
        read_table(tables / name, RUNS).drop(columns=["experiment"])
        for name in ("audit/runs.parquet", "grid/runs.parquet")
    )
    clean = audit[audit["protocol"] == "clean"].reset_index(drop=True)
    pd.testing.assert_frame_equal(clean, grid)


def test_departures_do_what_they_say(tables):
    runs = read_table(tables / "audit/runs.parquet", RUNS).set_index("protocol")
    published, clean = runs.loc["published"], runs.loc["clean"]
    assert published["validation_accuracy"].isna().all()
    assert clean["validation_accuracy"].notna().all()
    assert set(published["activation"]) == {"relu"}
    assert set(published["epochs"]) == {4}
    # Of 359 test examples 320 are whole batches of 40.
    counted = published["test_accuracy"].astype(float) * 320
    assert (counted - counted.round()).abs().max() < 1e-9
    # Each scheme of a warm start begins where the one before it ended, so the last, SGD, is not
    # at the start of its training.
    sgd = [rows[rows["optimizer"] == "sgd"] for rows in (runs.loc["warm_start"], clean)]
    warm, cold = (rows["train_accuracy"].astype(float).mean() for rows in sgd)
    assert warm > cold + 0.2


def test_effects_and_verdicts_are_there_for_every_protocol(tables):
    effects = read_table(tables / "audit.parquet", AUDIT)
    names = ["published", "warm_start", "output_initialization"]
    assert list(effects["protocol"].unique()) == names
    claims = json.loads((tables.parent / "audit_claims.json").read_text())
    assert list(claims) == ["clean", *names]


def test_the_report_shows_the_audit(tables):
    report = (tables.parent / "report.md").read_text()
    assert "## Departures of the published code" in report
    assert "](figures/departures.svg)" in report
