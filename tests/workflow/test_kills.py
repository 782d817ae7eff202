"""SIGKILL of training jobs and of Snakemake itself, at random moments; results are the same."""

import random
import shutil
import signal
import subprocess
import time
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

# Of each kind: begins, trains, and once more; test_stops.py stops every job at every point.
KILLS = 3
STUDY = (*("--cores", "2", "--config", "epochs=100", "evaluate_every=20", "checkpoint_seconds=0"),)
TABLES = ("runs.parquet", "runs.csv", "history.parquet")


@pytest.fixture
def fresh(finished, tmp_path):
    """Copies of the project with prepared data and without results of the study."""

    def copy(name):
        shutil.copytree(finished.path, tmp_path / name)
        shutil.rmtree(tmp_path / name / "results" / "tiny")
        return type(finished)(tmp_path / name)

    return copy


@contextmanager
def one_core(process):
    """A training job with one thread computes on one core, whatever its libraries would like."""

    def measure():
        return time.monotonic(), sum(process.cpu_times()[:2])

    assert process.environ()["OMP_NUM_THREADS"] == "1"
    began, used_before = measure()
    yield
    ended, used = measure()
    assert used - used_before <= 1.2 * (ended - began) + 0.2


def check_whole_files(project):
    """No file that has its final name is half a file."""
    results = project.path / "results" / "tiny"
    for path in results.rglob("[!.]*"):  # hidden files are on their way to a name
        try:
            if path.suffix == ".parquet":
                pq.read_table(path)
            elif path.suffix == ".pt":
                assert zipfile.ZipFile(path).testzip() is None
            elif path.suffix in (".svg", ".html"):
                assert path.read_text().rstrip().endswith((("</svg>"), ("</html>")))
        except FileNotFoundError:  # replaced since it was listed
            continue


def tables(project):
    folder = project.path / "results" / "tiny" / "tables" / "grid"
    return {name: (folder / name).read_bytes() for name in TABLES}


def checkpoints(project):
    """Checkpoints of the study, each with the time of its last change."""
    found = set()
    for path in project.path.glob("results/tiny/jobs/grid/**/checkpoint.pt"):
        with suppress(FileNotFoundError):
            found.add((path, path.stat().st_mtime_ns))
    return found


def start(project, *arguments):
    """Start a run that nobody reads."""
    options = (*STUDY, *project.GRID_ALONE)
    return project.start(*arguments, *options, stdout=subprocess.DEVNULL)


def kill_training_jobs(project, moments):
    """Kill training jobs of a run, which starts them again, as they begin and as they train."""
    run, kills = None, 0
    while kills < KILLS:
        if run is None or run.poll() is not None:  # at its end before its kills
            shutil.rmtree(project.path / "results" / "tiny", ignore_errors=True)
            run = start(project, "--retries", str(KILLS))
        before = checkpoints(project)
        if not project.wait_until(project.training_processes, run):
            continue
        if kills % 2:
            project.wait_until(lambda before=before: checkpoints(project) - before, run)
        with suppress(psutil.NoSuchProcess, IndexError):  # it has ended in the meantime
            process = project.training_processes()[0]
            with one_core(process):
                time.sleep(moments.uniform(0, 1))
            process.kill()
            kills += 1
        check_whole_files(project)
    return run


def kill_snakemake(project, moments):
    """Kill runs as they begin, train and draw; one that ends before does not count."""
    runs, kills = project.path / "results" / "tiny" / "tables" / "grid" / "runs.csv", 0
    while kills < KILLS:
        before = checkpoints(project)
        run = start(project)
        if kills == KILLS - 1:
            project.wait_until(runs.exists, run)
        elif kills % 2:
            project.wait_until(lambda before=before: checkpoints(project) - before, run)
        try:
            run.wait(moments.uniform(0, 1 if kills % 2 else 4))
            shutil.rmtree(project.path / "results" / "tiny")
        except subprocess.TimeoutExpired:
            run.kill()
            kills += 1
        run.communicate()
        check_whole_files(project)


@pytest.mark.slow
def test_kills_change_nothing(fresh, finished):
    moments, undisturbed, killed = random.Random(0), fresh("undisturbed"), fresh("killed")
    undisturbed.warm = finished.warm
    undisturbed.snakemake("--until", "tables", *STUDY, *undisturbed.GRID_ALONE)
    run = kill_training_jobs(killed, moments)
    run.kill()
    run.communicate()
    kill_snakemake(killed, moments)
    killed.warm = finished.warm
    killed.snakemake(*STUDY, *killed.GRID_ALONE)
    assert tables(killed) == tables(undisturbed)
    # Orphans stop themselves, when they have done what they are at.
    end = time.monotonic() + 120
    while killed.training_processes():
        assert time.monotonic() < end, "a training process outlives its study"
        time.sleep(0.1)
    results = Path(killed.path, "results", "tiny")
    assert not [*results.rglob("*.pt"), *results.rglob("*.lock"), *results.rglob(".*.tmp*")]


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(fresh):
    project = fresh("interrupted")
    run = project.start(*STUDY, *project.GRID_ALONE, stdout=subprocess.PIPE)
    lines = iter(run.stdout.readline, "")
    assert any("Select jobs to execute" in line for line in lines)
    project.wait_until(lambda: checkpoints(project), run)
    jobs = project.training_processes()
    for process in (run, *jobs):  # a terminal tells all of them
        process.send_signal(signal.SIGINT)
    *_, first, second = [line for line in lines if line.strip()]
    assert first == "study tiny: stopping; jobs save their state\n"
    assert second == (
        "study tiny: 0 of 2 training jobs are finished; call snakemake again to go on, from the "
        "last checkpoints.\n"
    )
    assert run.wait() != 0
    logs = [path.read_text() for path in project.path.rglob("jobs/grid/**/*.log.all")]
    assert any(log.endswith("stopped by Ctrl-C; it goes on from its checkpoint\n") for log in logs)
