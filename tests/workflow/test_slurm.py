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

# Seconds after which what hangs is ended; long, as a machine may be slow and busy.
PATIENCE = 1800
TESTBED = Path(__file__).with_name("slurm_testbed.sh")
STUDY = (
    "--config", "study=quick", "datasets=[digits,breast_cancer]", "models=[mlp,kan]",
    "objectives=[backprop]", "depths=[2layers]", "checkpoint_seconds=0",
    "epochs=60", "evaluate_every=20",
)  # fmt: skip
SLURM = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "3")
# The training is disturbed, which needs all of the test bed's processors at once.
TARGET = "results/quick/tables/grid/runs.parquet"
TABLES = ("runs.parquet", "runs.csv", "history.parquet")
# Slurm is asked for jobs every two seconds, not after longer and longer waits.
IMPATIENT = """
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
RemoteExecutor.next_seconds_between_status_checks = property(lambda _: 2, lambda _, longer: None)
main()
"""
# At the end of kancore/machine/last_words.py: a program halts itself before its work while a file
# has its name, and leaves its number there.
HALTING = """

def halting(limit_mb, before=last_words):
    file = Path("halt", Path(sys.argv[0]).stem)
    with before(limit_mb):
        if file.exists():
            file.write_text(str(os.getpid()))
            os.kill(os.getpid(), 19)
        yield


last_words = contextmanager(halting)
"""
# On a cluster it takes more memory than its trial on the machine that plans has shown: at its first
# try slowly, so that both Slurm and what watches over it look in time.
HUNGRY = """
import os
import time
from pathlib import Path
import torch

class Hungry(torch.nn.Linear):
    def forward(self, x):
        if "SLURM_JOB_ID" in os.environ and not hasattr(torch, "taken"):
            seconds = 0 if Path("tried").exists() else 0.2
            Path("tried").touch()
            torch.taken = []
            for _ in range(90):
                torch.taken.append(b"1" * 10_000_000)
                time.sleep(seconds)
        return super().forward(x)

def build(widths):
    return Hungry(widths[0], widths[-1])
"""


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
    project = type(finished)(path)
    project.program = "-P", "-c", IMPATIENT
    # Nothing imports it, although it has the name of a module of Python.
    (path / "queue.py").write_text("raise SystemExit('imported from the working folder')")
    return project


def tries_of(log):
    """The last line of each try of a job on Slurm."""
    _, *tries = re.split("^begun at .* of Slurm$", log.read_text(), flags=re.MULTILINE)
    return [said.splitlines()[-1] for said in tries]


def is_told(expected, said):
    """Whether a last line tells an end as expected; or no end, as Slurm may not leave it time."""
    return re.fullmatch(expected, said) or not re.match("stopped|killed|cancelled", said)


def submitted(slurm, project):
    """State, MiB, minutes and restarts of the jobs of a project in order, by rule."""
    found = {}
    shown = slurm("squeue", "--noheader", "--states=all", "--sort=i", "--format=%i %T %m %l %Z %k")
    for number, state, memory, limit, folder, comment in map(str.split, shown.splitlines()):
        if folder == str(project.path):
            restarts = re.search("Restarts=([0-9]+)", slurm("scontrol", "show", "job", number))[1]
            rule = comment.split("_wildcards")[0].removeprefix("rule_")
            job = state, int(memory.removesuffix("M")), limit, int(restarts)
            found.setdefault(rule, []).append(job)
    return found


def warn(slurm, number):
    """Leave a job a time limit of one to two minutes from now, so that it gets Slurm's warning."""
    shown = slurm("scontrol", "show", "job", number)
    hours, minutes = re.search("RunTime=([0-9]+):([0-9]+):", shown).groups()
    limit = 60 * int(hours) + int(minutes) + 2
    slurm("scontrol", "update", f"JobId={number}", f"TimeLimit={limit}")


def megabytes(mebibytes):
    """MB as a job tells them."""
    return f"{mebibytes * 2**20 / 1e6:,.0f}"


def test_disturbed_jobs_on_slurm_end_with_the_tables_of_a_local_run(
    finished, slurm, tmp_path, monkeypatch
):
    shutil.copytree(finished.path, tmp_path / "local")
    local = type(finished)(tmp_path / "local", finished.warm)
    cluster = copy(finished, tmp_path / "cluster")
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
    warn(slurm, warned.number)
    warned.process.wait(PATIENCE)  # the warning lets a halted process go on
    slurm("scontrol", "update", f"JobId={warned.number}", "TimeLimit=10")
    local.snakemake("--cores", "1", TARGET, *STUDY)
    while late.age() < 60:
        time.sleep(1)
    # Slurm may warn it even so, at the same moment, but will not take it back.
    slurm("scontrol", "update", f"JobId={late.number}", "TimeLimit=1", "Requeue=0")
    output, _ = run.communicate(timeout=PATIENCE)
    # What was cancelled by hand is not tried again, until snakemake is called again.
    assert run.returncode == 1, output
    assert output.count("Trying to restart job") == 1
    cluster.snakemake(*SLURM, TARGET, *STUDY)

    for table in TABLES:
        path = Path(TARGET).with_name(table)
        assert (cluster.path / path).read_bytes() == (local.path / path).read_bytes()
    timings = read_table(cluster.path / TARGET.replace("runs", "timings"), TIMINGS)
    assert (timings["resumes"] == 1).all()
    assert set(submitted(slurm, cluster)) == {"prepare", "train"}
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
    # The last line of each try says what happened.
    log = "results/quick/logs/jobs/grid/{}.log"
    tries = [tries_of(cluster.path / log.format(sweep)) for sweep in sweeps]
    assert [len(said) for said in tries] == [2] * 4
    by_slurm = (
        "stopped by Slurm, as after scancel or scontrol requeue; it goes on from its checkpoint"
    )
    assert is_told(by_slurm, tries[0][0])
    assert is_told(by_slurm, tries[1][0])
    before = "stopped shortly before the job's time limit; it goes on from its checkpoint"
    assert tries[2][0] == before
    at_its_limit = r"(killed|stopped) (at|shortly before) (its|the job's) time limit.*"
    assert is_told(at_its_limit, tries[3][0])


def test_memory_is_enforced_told_and_tried_again_with_more(finished, slurm, tmp_path, monkeypatch):
    ample, scant = copy(finished, tmp_path / "ample"), copy(finished, tmp_path / "scant")
    monkeypatch.setenv("PATH", slurm.path)
    (ample.path / "hungry.py").write_text(HUNGRY)
    small, large = (
        f"digits/backprop/{name}/0.005/seed0" for name in ("mlp-32-gelu", "hungry.build-32")
    )
    table, log = "results/tiny/jobs/grid/{}/history.parquet", "results/tiny/logs/jobs/grid/{}.log"
    arguments = *SLURM, "--forcerun", "train", "--config", "device=cpu", *ample.GRID_ALONE
    models = "models=[mlp,hungry:build]"
    little = "--set-resources", "train:mem_mb=900*attempt"
    runs = [
        ample.start(table.format(small), table.format(large), *arguments, models),
        scant.start(table.format(small), *little, *arguments),
    ]
    for run in runs:
        output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, output

    # The estimate is right for what the trial has shown, and twice as much for the other.
    (first, asked, *_), (second, again, *_), (third, more, *_) = submitted(slurm, ample)["train"]
    assert sorted((first, second)) in (["COMPLETED", "FAILED"], ["COMPLETED", "OUT_OF_MEMORY"])
    asked = again if first == "COMPLETED" else asked
    assert (third, more) == ("COMPLETED", 2 * asked)
    killed, _ = tries_of(ample.path / log.format(large))
    told = r"(?:near its limit|killed for its memory): the job's memory had reached ([0-9,]+) MB, "
    reached, limit = re.fullmatch(told + "of ([0-9,]+) MB from Slurm", killed).groups()
    assert limit == megabytes(asked)
    # It is told from nine tenths of the limit on; both are rounded.
    assert int(reached.replace(",", "")) + 1 > 0.9 * int(limit.replace(",", ""))

    assert [job[:2] for job in submitted(slurm, scant)["train"]] == [
        ("FAILED", 900),
        ("COMPLETED", 1800),
    ]
    refused, _ = tries_of(scant.path / log.format(small))
    assert re.search(r"need \d+ MB of memory, and there are 493; .* \(Slurm gave 944\)", refused)


def test_jobs_of_every_kind_that_run_out_of_time(finished, slurm, tmp_path, monkeypatch):
    cluster = copy(finished, tmp_path / "cluster")
    monkeypatch.setenv("PATH", slurm.path)
    with open(cluster.path / "kancore" / "machine" / "last_words.py", "a") as file:
        file.write(HALTING)
    for name in ("manifolds", "tiny/jobs/landscapes"):
        shutil.rmtree(cluster.path / "results" / name)
    (cluster.path / "results/tiny/tables/landscapes.parquet").unlink()
    (landscape,) = cluster.path.glob("results/tiny/logs/jobs/landscapes/**/*.log")
    logs = {
        "prepare": cluster.path / "results/data/logs/breast_cancer.log",
        "manifold": cluster.path / "results/manifolds/logs/digits.log",
        "landscape": landscape,
    }
    halt = cluster.path / "halt"
    halt.mkdir()
    for program in logs:
        (halt / program).touch()
    targets = "results/data/breast_cancer.safetensors", "results/tiny/tables/landscapes.parquet"
    run = cluster.start(*targets, *SLURM)

    def halted(program, before=""):
        """The process of a program that has halted itself, and is not the one before."""

        def is_halted():
            number = (halt / program).read_text()
            process = psutil.Process(int(number)) if number not in ("", before) else None
            return process if process and process.status() == psutil.STATUS_STOPPED else None

        process = cluster.wait_until(is_halted, run)
        assert process, run.communicate()[0]
        return process

    processes = [halted(program) for program in logs]
    numbers = [process.environ()["SLURM_JOB_ID"] for process in processes]
    (halt / "prepare").unlink()
    (halt / "manifold").unlink()
    for number in numbers:
        warn(slurm, number)
    for process in processes:
        process.wait(PATIENCE)
    # It is in the queue again, and is killed the next time.
    slurm("scontrol", "update", f"JobId={numbers[-1]}", "TimeLimit=100")
    killed = halted("landscape", before=str(processes[-1].pid))
    (halt / "landscape").unlink()
    killed.kill()
    output, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, output

    jobs = submitted(slurm, cluster)
    for rule, restarted in (("prepare", 0), ("manifold", 0), ("landscape", 1)):
        (first, little, _, restarts), (second, more, _, _) = jobs[rule]
        assert (first, restarts, second, more) == ("FAILED", restarted, "COMPLETED", 2 * little)
    assert jobs["prepare"][1][2] == "1:00:00"
    said = {name: tries_of(log) for name, log in logs.items()}
    stopped = "stopped shortly before the job's time limit; it "
    for rule in ("prepare", "manifold"):
        assert said[rule][0] == f"{stopped}has no checkpoint, and begins again"
    assert said["landscape"][0] == f"{stopped}goes on from its checkpoint"
    (_, little, *_), _ = jobs["landscape"]
    told = rf"killed: the job's memory had reached [0-9,]+ MB, of {megabytes(little)} MB from Slurm"
    assert re.fullmatch(told, said["landscape"][1])
