"""A last line on standard error of a process that is killed, and so cannot write it itself."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kancore.machine import slurm
from kancore.machine.memory import peak_mb, resident_mb

ROOT = Path(__file__).resolve().parents[2]
# Seconds between two looks at the memory of a process.
_PERIOD = 0.2
# From this share of its limit on a job may be killed for its memory, and one that is killed was.
_NEAR = 0.9
# Run apart from all that site-packages hold, which takes a tenth of the memory and time.
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from kancore.machine.last_words import watch; "
    "watch(int(sys.argv[2]), int(sys.argv[3]))"
)


@contextmanager
def last_words(limit_mb: int) -> Iterator[None]:
    """Let standard error end with a line on its end if this process is killed meanwhile.

    SIGKILL, with which a system that is out of memory ends a process, cannot be caught. So a small
    process waits for the end of this one, and writes the line. Slurm may end that one too: so it
    also tells when the memory of a job comes near to what Slurm has given it.

    Parameters
    ----------
    limit_mb
        MB that this process may take.
    """
    waiting, alive = os.pipe()
    command = [sys.executable, "-SPc", _PROGRAM, str(ROOT), str(os.getpid()), str(limit_mb)]
    # In a group of its own, which no signal for this one reaches.
    options: dict[str, Any] = {"stdin": waiting, "stdout": subprocess.DEVNULL, "process_group": 0}
    with subprocess.Popen(command, **options):
        os.close(waiting)
        try:
            yield
        finally:
            with suppress(BrokenPipeError):
                os.write(alive, b"ended")
            os.close(alive)


def watch(process: int, limit_mb: int) -> None:
    """Wait until standard input ends; without a word on it, its writer was killed: tell so.

    Parameters
    ----------
    process
        Number of the writer.
    limit_mb
        MB that it might take.
    """
    above, given, peak, whole = _above(process), slurm.allocated_mb(), 0.0, 0.0
    while not select.select([sys.stdin], [], [], _PERIOD)[0]:
        peak = max(peak, peak_mb(process))
        before, whole = whole, max(whole, sum(map(resident_mb, (process, *above))))
        if before < _NEAR * given <= whole:
            print(f"near its limit: {_said(whole, given)}", file=sys.stderr, flush=True)
    if os.read(sys.stdin.fileno(), 1):
        return
    said = f"its memory had reached {peak:,.0f} MB, of {limit_mb:,} MB that it might take"
    full = peak >= _NEAR * limit_mb
    if given < float("inf"):
        said = _said(whole, given)
        full = whole >= _NEAR * given
    why = "killed for its memory" if full else _why(os.environ.get("SLURM_JOB_ID"))
    print(f"{why}: {said}", file=sys.stderr)


def _said(whole: float, given: float) -> str:
    return f"the job's memory had reached {whole:,.0f} MB, of {given:,.0f} MB from Slurm"


def _above(process: int) -> list[int]:
    """Find the processes of a job of Slurm that stand above one of them."""
    above: list[int] = []
    while process > 1:
        try:
            status = Path("/proc", str(process), "status").read_text()
        except OSError:
            break
        entries = dict(line.split(":", 1) for line in status.splitlines())
        if entries["Name"].strip().startswith("slurmstepd"):
            return above[:-1]
        process = int(entries["PPid"])
        above.append(process)
    return []


def _why(number: str | None) -> str:
    """Say why a process was killed that had memory left, as far as Slurm tells."""
    # Asked once: where Slurm holds the processes of a job together, this one soon ends too.
    job = slurm.properties(number)
    state = job.get("JobState", "")
    if state == "OUT_OF_MEMORY":
        return "killed for its memory"
    if state == "TIMEOUT" or slurm.out_of_time(job):
        return f"killed at its time limit of {job['TimeLimit']}"
    return {"CANCELLED": "cancelled", "COMPLETING": "killed by Slurm"}.get(state, "killed")
