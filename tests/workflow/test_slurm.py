"""A study through a real Slurm, whose jobs are cancelled, requeued, out of time or memory."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from kancore.tables import TIMINGS, read_table

pytestmark = pytest.mark.slurm

TESTBED = Path(__file__).with_name("slurm_testbed.sh")
STUDY = (
    "--config", "study=quick", "datasets=[digits,breast_cancer]", "models=[mlp,kan]",
    "objectives=[backprop]", "depths=[2layers]", "checkpoint_seconds=0",
)  # fmt: skip
SLURM = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "3")
# The training is disturbed, which needs all of the test bed's processors at once.
TARGET = "results/quick/tables/grid/runs.parquet"
TABLES = ("runs.parquet", "runs.csv", "history.parquet")


@pytest.fixture(scope="module")
def slurm():
    """Start Slurm, and give commands of it; skip where it is not installed."""
    if os.getuid() != 0:
        pytest.skip("a Slurm for tests is started by root only")
    if not all(map(shutil.which, ("munged", "slurmctld", "slurmd", "sbatch"))):
        pytest.skip(f"no Slurm here: {TESTBED} install")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # munge wants all folders above it open
    environment = {**os.environ, "TESTBED_PORT": str(17000 + os.getpid() % 1000 * 30)}

    def testbed(verb):
        subprocess.run([TESTBED, verb, folder], env=environment, check=True)

    def command(*words):
        words = [folder / "bin" / words[0], *words[1:]]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    testbed("start")
    command.path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    yield command
    testbed("stop")
    shutil.rmtree(folder)


class Job:
    """The Slurm job that trains a sweep, its training process halted after two checkpoints."""

    def __init__(self, project, sweep):
        folder = project.path / "results" / "quick" / "jobs" / "grid" / sweep
        while not (folder / "checkpoint.previous.pt").exists():
            time.sleep(0.01)
        self.process = next(  # the first: while it starts another program there are two of it
            process
            for process in psutil.process_iter(["cmdline", "cwd"])
            if process.info["cwd"] == str(project.path)
            and str((folder / "history.parquet").relative_to(project.path))
            in (process.info["cmdline"] or ())
            and process.info["cmdline"][1:3] == ["-P", f"{project.path}/workflow_scripts/run.py"]
        )
        self.process.suspend()
        self.number = self.process.environ()["SLURM_JOB_ID"]
        self.gpu = self.process.environ()["CUDA_VISIBLE_DEVICES"]

    def age(self):
        """Seconds since Slurm started the job."""
        return time.time() - self.process.create_time()


def copy(finished, path):
    shutil.copytree(finished.path, path)
    return type(finished)(path)


def test_disturbed_jobs_on_slurm_end_with_the_tables_of_a_local_run(
    finished, slurm, tmp_path, monkeypatch
):
    local, cluster = copy(finished, tmp_path / "local"), copy(finished, tmp_path / "cluster")
    monkeypatch.setenv("PATH", slurm.path)
    run = cluster.start(*SLURM, TARGET, *STUDY)
    sweeps = [
        f"{dataset}/backprop/{model}/all/seed0"
        for dataset in ("digits", "breast_cancer")
        for model in ("mlp-32-gelu", "kan-32-gelu-degree3-grid5")
    ]
    jobs = [Job(cluster, sweep) for sweep in sweeps]
    cancelled, requeued, warned, late = jobs
    assert sorted(job.gpu for job in jobs) == ["0", "1", "2", "3"]
    slurm("scancel", cancelled.number)
    slurm("scontrol", "requeue", requeued.number)
    # Its limit is a minute now, and it gets the warning that comes before that.
    slurm("scontrol", "update", f"JobId={warned.number}", "TimeLimit=1")
    warned.process.wait(90)  # the warning lets a halted process go on
    slurm("scontrol", "update", f"JobId={warned.number}", "TimeLimit=10")
    local.snakemake("--cores", "1", TARGET, *STUDY)
    while late.age() < 60:
        time.sleep(1)
    slurm("scontrol", "update", f"JobId={late.number}", "TimeLimit=1")
    output, _ = run.communicate(timeout=600)
    # What was cancelled by hand is not tried again, until snakemake is called again.
    assert run.returncode == 1, output
    assert output.count("Trying to restart job") == 1
    cluster.snakemake(*SLURM, TARGET, *STUDY)

    for table in TABLES:
        path = Path(TARGET).with_name(table)
        assert (cluster.path / path).read_bytes() == (local.path / path).read_bytes()
    timings = read_table(cluster.path / TARGET.replace("runs", "timings"), TIMINGS)
    assert (timings["resumes"] == 1).all()
    submitted = slurm("squeue", "--noheader", "--states=all", "--format=%k").split()
    assert {name.split("_wildcards")[0] for name in submitted} == {"rule_prepare", "rule_train"}
    states = slurm("squeue", "--noheader", "--states=all", "--format=%i %T %l %m").splitlines()
    jobs = {number: rest for number, *rest in map(str.split, states)}
    assert jobs[cancelled.number][0] == "CANCELLED"
    assert jobs[late.number][0] == "TIMEOUT"
    for job in (requeued, warned):
        assert jobs[job.number][0] == "COMPLETED"
        assert "Restarts=1" in slurm("scontrol", "show", "job", job.number)
    # Those that failed were tried again, with twice the memory and the time.
    last = max(int(job.number) for job in (cancelled, requeued, warned, late))
    retried = [rest for number, rest in jobs.items() if int(number) > last]
    assert sorted(rest[0] for rest in retried) == ["COMPLETED"] * 2
    assert sorted(rest[1] for rest in retried) == ["10:00", "20:00"]
    asked = [int(rest[2].removesuffix("M")) for rest in retried]
    assert max(asked) > 1.9 * min(asked)
