"""A study through a real Slurm, whose jobs are cancelled, requeued, out of time or memory."""

import os
import re
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
    # The last line of each says what happened.
    log = "results/quick/logs/jobs/grid/{}.log"
    tries = [tries_of(cluster.path / log.format(sweep)) for sweep in sweeps]
    assert [len(said) for said in tries] == [2] * 4
    by_slurm = (
        "stopped by Slurm, as after scancel or scontrol requeue; it goes on from its checkpoint"
    )
    assert tries[0][0] == tries[1][0] == by_slurm
    before = "stopped shortly before the job's time limit; it goes on from its checkpoint"
    assert tries[2][0] == before
    assert re.match(r"(killed|stopped) at (its|the job's) time limit of 00:01:00", tries[3][0])


def tries_of(log):
    """The last line of each try of a job."""
    _, *tries = re.split("^begun at ", log.read_text(), flags=re.MULTILINE)
    return [said.splitlines()[-1] for said in tries]


def submitted(slurm, since):
    """State, MiB, minutes and restarts of all jobs after one, by rule, as they were submitted."""
    found = {}
    shown = slurm("squeue", "--noheader", "--states=all", "--sort=i", "--format=%i %T %m %l %k")
    for number, state, memory, limit, comment in map(str.split, shown.splitlines()):
        if int(number) > since:
            restarts = re.search("Restarts=([0-9]+)", slurm("scontrol", "show", "job", number))[1]
            rule = comment.split("_wildcards")[0].removeprefix("rule_")
            job = state, int(memory.removesuffix("M")), limit, int(restarts)
            found.setdefault(rule, []).append(job)
    return found


def newest(slurm):
    """Number of the last job that was submitted; 0 if there is none."""
    shown = slurm("squeue", "--noheader", "--states=all", "--format=%i")
    return max(map(int, shown.split()), default=0)


# On a cluster it takes more memory than its trial on the machine that plans has shown.
HUNGRY = """
import os
import torch

class Hungry(torch.nn.Linear):
    def forward(self, x):
        if "SLURM_JOB_ID" in os.environ and not hasattr(Hungry, "taken"):
            Hungry.taken = b"1" * 1_300_000_000
            import time
            time.sleep(15)
        return super().forward(x)

def build(widths):
    return Hungry(widths[0], widths[-1])
"""


def test_memory_is_enforced_told_and_tried_again_with_more(finished, slurm, tmp_path, monkeypatch):
    cluster, since = copy(finished, tmp_path / "cluster"), newest(slurm)
    monkeypatch.setenv("PATH", slurm.path)
    (cluster.path / "hungry.py").write_text(HUNGRY)
    options = "--config", "device=cpu", "models=[mlp,hungry:build]", *cluster.GRID_ALONE
    small, large = (f"digits/backprop/{name}-32/0.005/seed0" for name in ("mlp", "hungry.build"))
    small = small.replace("-32", "-32-gelu")
    table, log = "results/tiny/jobs/grid/{}/history.parquet", "results/tiny/logs/jobs/grid/{}.log"
    # The estimate is right for what the trial has shown.
    cluster.snakemake(table.format(small), *SLURM, "--forcerun", "train", *options)
    ((state, asked, *_),) = submitted(slurm, since)["train"]
    assert state == "COMPLETED"

    since = newest(slurm)
    cluster.snakemake(table.format(large), *SLURM, *options)
    (first, asked, *_), (second, more, *_) = submitted(slurm, since)["train"]
    assert (first in ("FAILED", "OUT_OF_MEMORY"), second, more) == (True, "COMPLETED", 2 * asked)
    killed, _ = tries_of(cluster.path / log.format(large))
    reached = re.fullmatch(
        r"(?:near its limit|killed for its memory): the job's memory had reached ([0-9,]+) MB, "
        r"of ([0-9,]+) MB from Slurm",
        killed,
    )
    number, limit = (int(text.replace(",", "")) for text in reached.groups())
    assert limit == round(asked * 2**20 / 1e6)
    assert 0.9 * limit <= number

    since = newest(slurm)
    little = "--set-resources", "train:mem_mb=700*attempt"
    cluster.snakemake(table.format(small), *SLURM, *little, "--forcerun", "train", *options)
    assert [job[:2] for job in submitted(slurm, since)["train"]] == [
        ("FAILED", 700),
        ("COMPLETED", 1400),
    ]
    refused, _ = tries_of(cluster.path / log.format(small))[-2:]
    assert re.search(r"need \d+ MB of memory, and there are 284; .* \(Slurm gave 734\)", refused)


def halted(project, program, log, count=1):
    """The process of a program as it begins for the nth time, halted."""
    path = project.path / "results" / log
    while not (path.exists() and path.read_text().count("begun at") == count):
        time.sleep(0.01)
    found = None
    while found is None:
        found = next(
            (
                process
                for process in psutil.process_iter(["cmdline", "cwd"])
                if process.info["cwd"] == str(project.path)
                and (process.info["cmdline"] or ())[2:4]
                == [f"{project.path}/workflow_scripts/run.py", f"workflow_scripts/{program}.py"]
            ),
            None,
        )
    found.suspend()
    return found


def test_jobs_of_every_kind_that_run_out_of_time(finished, slurm, tmp_path, monkeypatch):
    cluster, since = copy(finished, tmp_path / "cluster"), newest(slurm)
    monkeypatch.setenv("PATH", slurm.path)
    for name in ("data", "manifolds", "tiny/jobs/landscapes"):
        shutil.rmtree(cluster.path / "results" / name)
    (landscape,) = cluster.path.glob("results/tiny/logs/jobs/landscapes/**/*.log")
    landscape.unlink()
    logs = {
        "prepare": "data/logs/digits.log",
        "manifold": "manifolds/logs/digits.log",
        "landscape": str(landscape.relative_to(cluster.path / "results")),
    }
    run = cluster.start("results/tiny/tables/landscapes.parquet", *SLURM)

    def out_of_time(*programs):
        processes = [halted(cluster, program, logs[program]) for program in programs]
        numbers = [process.environ()["SLURM_JOB_ID"] for process in processes]
        for number in numbers:
            slurm("scontrol", "update", f"JobId={number}", "TimeLimit=1")
        for process, number in zip(processes, numbers, strict=True):
            process.wait(90)
            if "landscape" in programs:  # one of them is in the queue again
                slurm("scontrol", "update", f"JobId={number}", "TimeLimit=100")

    out_of_time("prepare")
    out_of_time("manifold", "landscape")
    halted(cluster, "landscape", logs["landscape"], count=2).kill()
    output, _ = run.communicate(timeout=600)
    assert run.returncode == 0, output

    jobs = submitted(slurm, since)
    for rule, minutes in (("prepare", ("1:00", "1:00:00")), ("manifold", ("1:40:00", "2:00:00"))):
        (first, little, limit, _), (second, more, longer, _) = jobs[rule]
        assert (first, second, more) == ("FAILED", "COMPLETED", 2 * little)
        assert (limit, longer) == minutes
    (first, _, _, restarts), (second, _, longer, _) = jobs["landscape"]
    assert (first, restarts, second, longer) == ("FAILED", 1, "COMPLETED", "8:00:00")
    said = {name: tries_of(cluster.path / "results" / log) for name, log in logs.items()}
    stopped = "stopped shortly before the job's time limit; it "
    for rule in ("prepare", "manifold"):
        assert said[rule][0] == f"{stopped}has no checkpoint, and begins again"
    assert said["landscape"][0] == f"{stopped}goes on from its checkpoint"
    killed = r"killed: the job's memory had reached \d+ MB, of 4,666 MB from Slurm"
    assert re.match(killed, said["landscape"][1])
