"""A study in parts: trained in several folders, or deposited; merged, the same as in one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kancore.studies import deposit
from kancore.studies.experiments import EXPERIMENTS
from kancore.tables import HISTORY, read_table, write_table

WHOLE = ("--config", "seeds=[0,1]")
TABLES = [
    f"results/tiny/tables/grid/{name}" for name in ("runs.parquet", "runs.csv", "history.parquet")
]


@pytest.fixture(scope="module")
def second(finished, tmp_path_factory):
    """A folder with seed 1."""
    part = type(finished)(tmp_path_factory.mktemp("parts") / "second", finished.warm)
    shutil.copytree(finished.path, part.path)
    shutil.rmtree(part.path / "results" / "tiny")
    part.snakemake("--cores", "2", TABLES[0], "--config", "seeds=[1]")
    return part


@pytest.fixture
def parts(finished, second, tmp_path):
    """One folder with seed 0, and one with seed 1."""
    first = type(finished)(tmp_path / "first", finished.warm)
    shutil.copytree(finished.path, first.path)
    return first, second


def merge(into, other):
    command = [sys.executable, "-m", "workflow_scripts.merge", str(other)]
    return subprocess.run(command, cwd=into.path, capture_output=True, text=True, check=False)


def test_merged_parts_are_the_whole_study(parts, finished, tmp_path):
    first, second = parts
    done = merge(first, second.path)
    assert done.returncode == 0, done.stderr
    assert "took over 2 jobs" in done.stdout
    assert first.plan(TABLES[0], *WHOLE) == {"tables": 1}
    first.snakemake("--cores", "2", *TABLES, *WHOLE)
    shutil.copytree(finished.path, tmp_path / "whole")
    whole = type(finished)(tmp_path / "whole", finished.warm)
    whole.snakemake("--cores", "2", *TABLES, *WHOLE)
    for table in TABLES:
        assert (first.path / table).read_bytes() == (whole.path / table).read_bytes()


def test_parts_that_contradict_each_other_are_refused(parts):
    first, second = parts
    (history,) = (second.path / "results").rglob("mlp*/**/history.parquet")
    copy = first.path / history.relative_to(second.path)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"something else")
    done = merge(first, second.path)
    assert done.returncode != 0
    assert f"{history}: differs from the one here; nothing taken" in done.stderr
    assert not list((first.path / "results").rglob("kan*/**/seed1/*"))


def test_jobs_of_every_experiment_are_taken_over(tmp_path):
    jobs = {f"{name}/seed{seed}": "history" for name in EXPERIMENTS for seed in range(2)}
    jobs["landscapes/digits/seed0"] = "landscape"
    paths = [f"results/tiny/jobs/{job}/{table}.parquet" for job, table in jobs.items()]
    other, here = tmp_path / "other", tmp_path / "here"
    for path in paths:
        (other / path).parent.mkdir(parents=True)
        (other / path).write_bytes(b"rows")
    here.mkdir()
    runner = str(Path(__file__).parents[2] / "workflow_scripts" / "run.py")
    command = [sys.executable, "-P", runner, "workflow_scripts/merge.py", str(other)]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout == f"{other}: took over {len(paths)} jobs\n"
    assert all((here / path).read_bytes() == b"rows" for path in paths)


@pytest.fixture(scope="module")
def deposited(finished, tmp_path_factory):
    """The deposit of a finished study."""
    out = tmp_path_factory.mktemp("deposits") / "tiny"
    command = [sys.executable, "-m", "workflow_scripts.deposit", "--study", "tiny", "--out", out]
    done = subprocess.run(command, cwd=finished.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len([path for path in out.rglob('*') if path.is_file()])} files" in done.stdout
    return out


def test_a_study_goes_on_from_its_deposit(deposited, finished, tmp_path):
    results = Path("results", "tiny")
    empty = type(finished)(tmp_path / "empty", finished.warm)
    shutil.copytree(finished.path, empty.path, ignore=shutil.ignore_patterns(".snakemake", "tiny"))
    done = merge(empty, deposited)
    assert done.returncode == 0, done.stderr
    jobs = [
        path.relative_to(finished.path)
        for path in finished.path.glob(f"{results}/jobs/**/*.parquet")
    ]
    assert len(jobs) > 2
    for path in jobs:
        assert (empty.path / path).read_bytes() == (finished.path / path).read_bytes()
    assert empty.plan(TABLES[0]) == {"tables": 1}
    # Snakemake's records came with them: jobs of other settings are not taken for these.
    assert empty.plan(TABLES[0], "--config", "batch_size=77")["train"] > 1
    for name in ("report.md", "tables/verdicts.csv"):
        assert (deposited / name).read_bytes() == (finished.path / results / name).read_bytes()


def test_a_deposit_has_small_files_alone(deposited, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(deposit, "LARGEST", 5000)
    with pytest.raises(ValueError, match="bytes; expected at most 5,000"):
        deposit.write(finished.path, "tiny", tmp_path)


@pytest.mark.parametrize("job", ["../../../away", "grid/../../../../away"])
def test_a_deposit_writes_into_no_other_folder(deposited, tmp_path, job):
    (table, *_) = sorted(deposited.glob("jobs/history-grid-*.parquet"))
    rows = read_table(table, deposit.with_job(HISTORY)).assign(job=job)
    other, working = tmp_path / "other", tmp_path / "some" / "working"
    write_table(other / "jobs" / table.name, rows, deposit.with_job(HISTORY))
    with pytest.raises(ValueError, match="expected a path below it"):
        deposit.unpack(other, working)
    assert not list(tmp_path.rglob("history.parquet"))


def test_a_folder_without_results_is_told(finished, tmp_path):
    done = merge(finished, tmp_path)
    assert "expected a working folder of snakemake" in done.stderr
