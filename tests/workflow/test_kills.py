"""SIGKILL of training jobs and of Snakemake itself, at random moments; results are the same."""

import random
import shutil
import subprocess
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

KILLS = 10  # of each kind
STUDY = (
    *("--cores", "2", "--config", "epochs=1500", "evaluate_every=50", "checkpoint_seconds=0"),
    *('follow_ups={"experiments": []}', 'intrinsic_dimension={"networks": []}'),
    'audit={"departures": []}',
)
TABLES = ("runs.parquet", "runs.csv", "history.parquet")


@pytest.fixture
def fresh(finished, tmp_path):
    """Copies of the project with prepared data and without results of the study."""

    def copy(name):
        shutil.copytree(finished.path, tmp_path / name)
        shutil.rmtree(tmp_path / name / "results" / "tiny")
        return type(finished)(tmp_path / name)

    return copy


def training_processes(project):
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if "workflow_scripts.train" in (process.info["cmdline"] or ())
        and process.info["cwd"] == str(project.path)
    ]


def check_one_core(process):
    """A training job with one thread computes on one core, whatever its libraries would like."""
    assert process.environ()["OMP_NUM_THREADS"] == "1"
    seconds = process.cpu_times().user + process.cpu_times().system
    assert seconds <= 1.2 * (time.time() - process.create_time()) + 0.2


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
    folder = project.path / "results" / "tiny" / "tables"
    return {name: (folder / name).read_bytes() for name in TABLES}


def kill_training_jobs(project, moments):
    """Kill training jobs of one run, which starts them again."""
    run = project.start(*STUDY, "--retries", str(KILLS), stdout=subprocess.DEVNULL)
    for kill in range(KILLS):
        while not (found := training_processes(project)):
            assert run.poll() is None, f"the study ended after {kill} kills"
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 4))
        with suppress(psutil.NoSuchProcess):  # it has ended in the meantime
            check_one_core(found[0])
            found[0].kill()
        check_whole_files(project)
    return run


def kill_snakemake(project, moments):
    """Kill one run after another; one that ends before its moment does not count."""
    kills = 0
    while kills < KILLS:
        run = project.start(*STUDY, stdout=subprocess.DEVNULL)
        try:
            run.wait(moments.uniform(0.2, 8))
            shutil.rmtree(project.path / "results" / "tiny")
        except subprocess.TimeoutExpired:
            run.kill()
            kills += 1
        run.communicate()
        check_whole_files(project)


def test_twenty_kills_change_nothing(fresh):
    moments, undisturbed, killed = random.Random(0), fresh("undisturbed"), fresh("killed")
    undisturbed.snakemake(*STUDY)
    run = kill_training_jobs(killed, moments)
    run.kill()
    run.communicate()
    kill_snakemake(killed, moments)
    killed.snakemake(*STUDY)
    assert tables(killed) == tables(undisturbed)
    assert not training_processes(killed)
    results = Path(killed.path, "results", "tiny")
    assert not [*results.rglob("*.pt"), *results.rglob("*.lock"), *results.rglob(".*.tmp*")]
