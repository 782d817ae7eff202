"""What is written after a process that is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system tells nothing of processes"
)
# It is killed when what watches over it has looked for a while, and does nothing but wait.
KILLED = """
import os, signal, sys, time
import psutil
from kancore.machine.last_words import last_words
with last_words({limit}):
    block = bytearray(200_000_000)
    (watcher,), looks = psutil.Process().children(), 0
    while looks < 10:
        time.sleep(0.1)
        looks = looks + 1 if watcher.status() == psutil.STATUS_SLEEPING else 0
    print("at work", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def lines(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.stderr.splitlines()


def last_line(program):
    return lines(program)[-1]


def test_a_killed_process_tells_its_peak_and_the_limit():
    said = last_line(KILLED.format(limit=5000))
    assert said.startswith("killed: its memory had reached 2")
    assert said.endswith(" MB, of 5,000 MB that it might take")


def test_near_its_limit_it_was_killed_for_its_memory():
    assert last_line(KILLED.format(limit=210)).startswith("killed for its memory: its memory had")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"JobState": "CANCELLED"}, "cancelled: "),
        ({"JobState": "TIMEOUT", "TimeLimit": "00:04:00"}, "killed at its time limit of 00:04:00"),
        ({"JobState": "OUT_OF_MEMORY"}, "killed for its memory: "),
        ({"JobState": "RUNNING"}, "killed: "),
        ({"JobState": "COMPLETING"}, "killed by Slurm: "),
        (
            {"JobState": "COMPLETING", "RunTime": "00:04:01", "TimeLimit": "00:04:00"},
            "killed at its time limit of 00:04:00",
        ),
        ({}, "killed: "),  # the controller is down
    ],
)
def test_a_killed_job_of_slurm_tells_what_slurm_says(told, expected, scontrol):
    scontrol(**told, **({"MinMemoryNode": "1500M"} if told else {}))
    said = last_line(KILLED.format(limit=5000))
    assert said.startswith(expected)
    limit = "of 1,573 MB from Slurm" if told else "of 5,000 MB that it might take"
    assert said.endswith(limit)


def test_a_job_that_has_all_its_memory_was_killed_for_it(scontrol):
    scontrol(JobState="RUNNING", MinMemoryNode="210M")
    warning, _, last = lines(KILLED.format(limit=5000))
    said = "the job's memory had reached 2"
    assert warning.startswith(f"near its limit: {said}")
    assert last.startswith(f"killed for its memory: {said}")
    assert last.endswith("of 220 MB from Slurm")


def test_a_process_that_ends_by_itself_tells_nothing():
    program = KILLED.format(limit=5000).replace(
        "    block", "    raise ValueError('so')\n    block"
    )
    assert last_line(program) == "ValueError: so"
