"""A study in parts: trained in several working folders, merged, and the same as in one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kancore.studies.experiments import EXPERIMENTS

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


def test_a_folder_without_results_is_told(finished, tmp_path):
    done = merge(finished, tmp_path)
    assert "expected a working folder of snakemake" in done.stderr
