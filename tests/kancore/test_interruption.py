"""Signals and the death of a parent ask to stop; a job of Slurm goes back into the queue."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kancore import interruption
from kancore.interruption import StopSignal, requeue, resumable


@pytest.fixture(autouse=True)
def restored_handler():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGURG)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, interruption.WARNING])
def test_signals_ask_to_stop(number):
    stop = StopSignal()
    assert not stop()
    os.kill(os.getpid(), number)
    assert stop()
    assert stop.warned == (number == interruption.WARNING)


def test_an_orphan_stops(tmp_path):
    child = (
        "import time; from kancore.interruption import StopSignal; stop = StopSignal()\n"
        "print('ready', flush=True)\n"
        "while not stop(): time.sleep(0.01)\n"
        f"open({str(tmp_path / 'stopped')!r}, 'w').close()"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert not (tmp_path / "stopped").exists()
    process.kill()
    process.wait()
    for _ in range(500):
        if (tmp_path / "stopped").exists():
            return
        time.sleep(0.01)
    raise AssertionError("an orphan goes on")


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path):
    (tmp_path / "checkpoint.pt").write_text("whole")
    killed = (
        "import os, signal; from pathlib import Path; from kancore.files import write_atomically\n"
        "def write(part): part.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        f"write_atomically(Path({str(tmp_path / 'checkpoint.pt')!r}), write)"
    )
    subprocess.run([sys.executable, "-c", killed], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    with resumable("work", tmp_path / "work.lock"):
        names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoint.pt", "work.lock"}


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


def test_outside_slurm_nothing_is_requeued(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(interruption.subprocess, "run", None)
    requeue()
