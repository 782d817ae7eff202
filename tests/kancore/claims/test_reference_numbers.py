"""What README and docs/reference quote of verdicts is what the tables there give."""

import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from kancore.analysis.statistics import best_schemes
from kancore.claims.comparisons import measured
from kancore.claims.verdicts import judge
from kancore.intrinsic_dimension.estimates import measured_complexity, paper_dimensions
from kancore.report.tables import KEY_COLUMNS, summary
from kancore.report.verdicts import overview
from kancore.studies import deposit
from kancore.studies.config import resolve
from kancore.studies.experiments import jobs
from kancore.tables import HISTORY, KEY_NAMES, TIMINGS, read_table

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference"
COLUMNS = ("name", "statement", "measured", "needed", "published", "numbers", "words_hold")


@pytest.fixture(scope="module")
def claims():
    return json.loads((REFERENCE / "claims.json").read_text())["claims"]


def words(path):
    """Text of a page without the ends of its lines."""
    return " ".join(path.read_text().split())


def test_what_is_deposited_is_small_and_of_the_study():
    files = [path for path in REFERENCE.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) <= deposit.LARGEST
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text())
    planned = jobs(resolve({**defaults, "study": "reference"}))
    timings = read_table(REFERENCE / "jobs" / "timings.parquet", deposit.with_job(TIMINGS))
    assert {*timings.job} <= {*planned}
    assert not timings.git_revision.str.endswith("+").any()
    for path in sorted(REFERENCE.glob("jobs/history-*.parquet")):
        runs = read_table(path, deposit.with_job(HISTORY)).drop_duplicates(["job", *KEY_NAMES])
        expected = {
            job: sum(len(each.schemes) for each in planned[job].sweeps) for job in {*runs.job}
        }
        assert runs.job.value_counts().to_dict() == expected


def test_the_table_of_verdicts_is_that_of_the_claims(claims):
    lines = (REFERENCE / "README.md").read_text().splitlines()
    quoted = [line.strip("| ").split(" | ") for line in lines if re.match(r"\| C\d", line)]
    expected = [
        [
            *(row[name] for name in COLUMNS[:2]),
            f"{row['mark']} {row['words']}",
            *(row[name] for name in COLUMNS[2:]),
        ]
        for row in overview(claims)
    ]
    assert quoted == expected


def test_readme_counts_the_verdicts_and_quotes_their_values(claims):
    text = words(ROOT / "README.md")
    counts = Counter(claim["verdict"] for claim in claims)
    for verdict in ("supported", "contradicted", "depends"):
        assert f"**{verdict.capitalize()}**, {counts[verdict]}:" in text
    parts = {claim["name"]: claim["parts"] for claim in claims}

    def points(name, number=0, end=""):
        return 100 * parts[name][number][f"effect{end}"]

    low, high = (points("C1", end=end) for end in ("_low", "_high"))
    assert f"comparable ({points('C1'):+.1f} points [{low:+.1f}, {high:+.1f}])" in text
    share = [100 * parts["C3"][1][f"share{end}"] for end in ("", "_low", "_high")]
    assert "in {:.0f}% of pairs [{:.0f}%, {:.0f}%]".format(*share) in text
    assert f"to the scheme ({points('C5'):+.1f} points" in text
    published = -100 * parts["C6"][0]["published"]["effect"]
    assert f"({-points('C6'):.1f} points here, {published:.1f} in the published runs)" in text


def test_the_best_accuracies_are_those_of_the_report():
    runs = pd.read_parquet(REFERENCE / "tables" / "runs.parquet")
    shown = summary(best_schemes(runs), KEY_COLUMNS)
    assert shown.headings == ["Data set", "Objective", "MLP", "KAN", "Wide MLP"]
    known = {row[:2]: tuple(map(float, row[2:])) for row in shown.rows}
    text = (REFERENCE / "README.md").read_text().split("## Best accuracies")[1].split("##")[0]
    _, *rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line[:2] == "| "]
    assert {name for name, *_ in rows} == {name for name, _ in known}
    for name, *cells in rows:
        (mlp, kan, wide), other = known[name, "backpropagation"], known[name, "HSIC bottleneck"]
        expected = mlp, wide, kan, other[0], other[2], other[1]
        assert [*map(float, cells[:6])] == pytest.approx(expected, abs=0.0501)  # one decimal


@pytest.mark.slow
def test_the_claims_are_those_of_the_tables(claims):
    tables = REFERENCE / "tables"
    evidence = measured(
        pd.read_parquet(tables / "runs.parquet"),
        pd.read_parquet(tables / "follow_up_runs.parquet"),
        paper_dimensions(pd.read_csv(ROOT / "published" / "intrinsic_dimension.csv")),
        pd.read_parquet(tables / "timings.parquet"),
        measured_complexity(pd.read_csv(tables / "intrinsic_dimension.csv")),
    )
    again = judge(evidence, pd.read_csv(ROOT / "published" / "comparisons.csv"))
    assert [claim["name"] for claim in again] == [claim["name"] for claim in claims]
    for one, other in zip(again, claims, strict=True):
        for part, kept in zip(one["parts"], other["parts"], strict=True):
            assert part["declared"] == kept["declared"]
            names = [f"{part['summary']}{end}" for end in ("", "_low", "_high")]
            found, known = ([each[name] for name in names] for each in (part, kept))
            assert found == [value and pytest.approx(value, rel=1e-9) for value in known]
