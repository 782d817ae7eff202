"""A study in parts: trained in several folders, or deposited; merged, the same as in one."""

import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
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


def merge_here(folder, other):
    """Merge in a folder without the project's code."""
    runner = str(Path(__file__).parents[2] / "workflow_scripts" / "run.py")
    command = [sys.executable, "-P", runner, "workflow_scripts/merge.py", str(other)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)


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
    path = history.relative_to(second.path)
    assert f"{second.path}: {path} differs from the one here; nothing taken" in done.stderr
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
    done = merge_here(here, other)
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
    """As docs/cluster.md has it: data are made first, and what waits for a choice comes last."""
    results = Path("results", "tiny")
    empty = type(finished)(tmp_path / "empty", finished.warm)
    shutil.copytree(
        finished.path, empty.path, ignore=shutil.ignore_patterns(".snakemake", "results")
    )
    empty.snakemake("--cores", "2", "--until", "prepare")
    done = merge(empty, deposited)
    assert done.returncode == 0, done.stderr
    jobs = [
        path.relative_to(finished.path)
        for path in finished.path.glob(f"{results}/jobs/**/*.parquet")
    ]
    assert len(jobs) > 2
    for path in jobs:
        assert (empty.path / path).read_bytes() == (finished.path / path).read_bytes()
    # Snakemake's records came with them: jobs of other settings are not taken for these.
    assert empty.plan(TABLES[0], "--config", "batch_size=77")["train"] > 1
    for rule in ("best_scheme", "combination"):
        empty.snakemake("--cores", "2", "--until", rule, "--config", "keep=none")
    planned = empty.plan("--config", "keep=none")
    assert {"tables", "report"} <= planned.keys()
    assert not {"train", "landscape"} & planned.keys()
    for name in ("report.md", "tables/verdicts.csv"):
        assert (deposited / name).read_bytes() == (finished.path / results / name).read_bytes()


@pytest.fixture
def working(finished, tmp_path):
    """A working folder with the jobs of the grid, and Snakemake's records."""
    folder = tmp_path / "working"
    for path in ("results/tiny/jobs/grid", ".snakemake/metadata"):
        shutil.copytree(finished.path / path, folder / path)
    return folder


@pytest.mark.parametrize(
    ("study", "out", "message"),
    [
        ("tiny/", "out", "expected the name of a study that has run"),
        ("../results/tiny", "out", "expected the name of a study that has run"),
        ("data", "out", "expected the name of a study that has run"),
        ("tiny", "working/results/tiny", "a folder of results; expected one outside"),
    ],
)
def test_what_cannot_be_deposited_is_told(working, tmp_path, study, out, message):
    (working / "results" / "data" / "jobs").mkdir(parents=True)
    with pytest.raises(ValueError, match=message):
        deposit.write(working, study, tmp_path / out)
    assert not (tmp_path / "out").exists()


def test_a_deposit_has_small_files_alone(working, tmp_path, monkeypatch):
    monkeypatch.setattr(deposit, "LARGEST", 5000)
    with pytest.raises(ValueError, match="bytes; expected at most 5,000"):
        deposit.write(working, "tiny", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_jobs_without_records_are_not_deposited(working, tmp_path):
    shutil.rmtree(working / ".snakemake")
    with pytest.raises(ValueError, match="no record of what made it"):
        deposit.write(working, "tiny", tmp_path / "out")


def test_many_evaluations_are_in_several_files(working, tmp_path, monkeypatch):
    monkeypatch.setattr(deposit, "_ROWS", 1)
    out, again = tmp_path / "out", tmp_path / "again"
    deposit.write(working, "tiny", out)
    tables = sorted(working.rglob("history.parquet"))
    assert len([*out.glob("jobs/history-*.parquet")]) == len(tables) > 1
    deposit.unpack(out, again)
    for path in tables:
        assert (again / path.relative_to(working)).read_bytes() == path.read_bytes()


def test_a_later_deposit_has_no_jobs_of_an_earlier_one(working, tmp_path):
    (working / ".snakemake" / "metadata" / ".nfs0001").touch()
    out, again = tmp_path / "out", tmp_path / "again"
    deposit.write(working, "tiny", out)
    gone, *kept = sorted((working / "results").rglob("history.parquet"))
    shutil.rmtree(gone.parent)
    deposit.write(working, "tiny", out)
    deposit.unpack(out, again)
    assert [path.relative_to(again) for path in sorted(again.rglob("history.parquet"))] == [
        path.relative_to(working) for path in kept
    ]
    (working / "results" / "tiny").rename(working / "results" / "other")
    with pytest.raises(ValueError, match="holds another study than other"):
        deposit.write(working, "other", out)
    with pytest.raises(ValueError, match="study other: has jobs of tiny"):
        deposit.write(working, "other", tmp_path / "new")


@pytest.mark.parametrize("job", ["../../../away", "grid/../../../../away", "../../data", "a\0b"])
def test_a_deposit_names_files_of_jobs_alone(deposited, tmp_path, job):
    (table, *_) = sorted(deposited.glob("jobs/history-grid-*.parquet"))
    rows = read_table(table, deposit.with_job(HISTORY)).assign(job=job)
    other, working = tmp_path / "other", tmp_path / "some" / "working"
    write_table(other / "jobs" / table.name, rows, deposit.with_job(HISTORY))
    with pytest.raises(ValueError, match=r"expected a (path below|file of a job)"):
        deposit.unpack(other, working)
    assert not list(tmp_path.rglob("history.parquet"))


def test_records_go_with_their_files(tmp_path):
    """One of a file that was here before, and is not any more, tells of another."""
    here, other = tmp_path / "here", tmp_path / "other"
    taken, kept = (f"results/tiny/jobs/{job}/timings.parquet" for job in ("taken", "kept"))
    for folder, paths in ((here, [kept]), (other, [taken, kept])):
        for path in paths:
            (folder / path).parent.mkdir(parents=True)
            (folder / path).write_text("rows")
        for path in (taken, kept):
            record = folder / deposit.RECORDS / urlsafe_b64encode(path.encode()).decode()
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(folder.name)
            assert deposit.recorded(record.name) == path
    merge_here(here, other)
    records = [urlsafe_b64encode(path.encode()).decode() for path in (taken, kept)]
    assert [(here / deposit.RECORDS / name).read_text() for name in records] == ["other", "here"]


def test_a_folder_without_results_is_told(finished, tmp_path):
    done = merge(finished, tmp_path)
    assert "expected a working folder of snakemake" in done.stderr
