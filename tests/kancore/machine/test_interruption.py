"""Signals and the death of a parent ask to stop; a job of Slurm goes back into the queue."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kancore.machine import interruption
from kancore.machine.interruption import StopSignal, requeue, resumable
from kancore.machine.locks import first_free


@pytest.fixture(autouse=True)
def restored_handler():
    numbers = signal.SIGTERM, signal.SIGINT, signal.SIGURG
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, interruption.WARNING])
def test_signals_ask_to_stop(number):
    stop = StopSignal(os.getppid())
    assert not stop()
    os.kill(os.getpid(), number)
    assert stop()
    assert stop.warned == (number == interruption.WARNING)


@pytest.mark.parametrize("orphaned", ["later", "as it begins"])
def test_an_orphan_stops(orphaned, tmp_path):
    wait = "while os.getppid() == parent: time.sleep(0.01)\n"
    child = (
        "import os, time; parent = os.getppid(); print('ready', flush=True)\n"
        f"{wait if orphaned == 'as it begins' else ''}"
        "from kancore.machine.interruption import StopSignal; stop = StopSignal(parent)\n"
        "while not stop(): time.sleep(0.01)\n"
        f"open({str(tmp_path / 'stopped')!r}, 'w').close()"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert not (tmp_path / "stopped").exists()
    process.kill()
    process.wait()
    end = time.monotonic() + 60
    while not (tmp_path / "stopped").exists():
        assert time.monotonic() < end, "an orphan goes on"
        time.sleep(0.01)


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path):
    (tmp_path / "checkpoint.pt").write_text("whole")
    killed = (
        "import os, signal; from pathlib import Path\n"
        "from kancore.machine.files import write_atomically\n"
        "def write(part): part.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        f"write_atomically(Path({str(tmp_path / 'checkpoint.pt')!r}), write)"
    )
    subprocess.run([sys.executable, "-c", killed], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    with resumable("work", tmp_path / "work.lock", os.getppid()):
        names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoint.pt", "work.lock"}


def test_an_orphan_begins_no_work_that_others_may_have_ended(tmp_path, capsys):
    with (
        pytest.raises(SystemExit) as ended,
        resumable("work", tmp_path / "work.lock", parent=-1),
    ):
        raise AssertionError("work has begun")
    assert ended.value.code == interruption.EXIT_STOPPED
    assert "stopped" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_who_waits_for_another_process_can_be_stopped(tmp_path):
    lock = tmp_path / "work.lock"
    with first_free([lock], ""), pytest.raises(SystemExit), resumable("work", lock, parent=-1):
        raise AssertionError("work has begun")


@pytest.mark.parametrize(("refused", "ended"), [(False, True), (True, False)])
def test_a_requeued_job_waits_for_its_end(refused, ended, monkeypatch):
    made = []

    def run(command, **options):
        made.append(" ".join(command))
        return subprocess.CompletedProcess(command, int(refused))

    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(interruption.subprocess, "run", run)
    monkeypatch.setattr(interruption.time, "sleep", made.append)
    requeue()
    assert made == ["scontrol requeue 7", *[interruption.KILL_SECONDS] * ended]


def test_without_scontrol_a_job_is_not_requeued(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(interruption.time, "sleep", None)
    requeue()


def test_outside_slurm_nothing_is_requeued(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(interruption.subprocess, "run", None)
    requeue()


REPEATABLE = """
import os, signal, time
from kancore.machine.interruption import repeatable
with repeatable():
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(60)
    except {caught}:
        raise SystemExit("bad data")
"""


# Libraries in C catch what a handler raises, and make an error of their own of it.
@pytest.mark.parametrize("caught", ["ValueError", "BaseException"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("SIGURG", "shortly before the job's time limit"),
        ("SIGTERM", "by SIGTERM"),
        ("SIGINT", "by Ctrl-C"),
    ],
)
def test_work_without_checkpoints_ends_at_once_and_says_why(name, why, caught, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    program = [sys.executable, "-c", REPEATABLE.format(name=name, caught=caught)]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == interruption.EXIT_STOPPED
    began, stopped = done.stderr.splitlines()
    assert began.startswith("begun at 2")
    assert stopped == f"stopped {why}; it has no checkpoint, and begins again"


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ("00:04:00", "at the job's time limit of 00:04:00"),
        ("00:01:00", "by Slurm, as after scancel or scontrol requeue"),
    ],
)
def test_who_is_stopped_by_slurm_says_why(run, why, scontrol):
    scontrol(JobState="COMPLETING", RunTime=run, TimeLimit="00:04:00")
    stop = StopSignal(os.getppid())
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop()
    assert stop.why() == why


def test_an_orphan_says_why_it_stops():
    assert StopSignal(-1).why() == "as snakemake has ended"
