"""How a training job learns that it has to stop, and how Slurm then starts it again."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kancore.machine import slurm
from kancore.machine.files import remove_unfinished
from kancore.machine.locks import first_free

# sysexits.h: a temporary failure; trying again goes on from the checkpoint.
EXIT_STOPPED = 75
# Slurm's warning before the time limit. Of the signals that it can send, this one is ignored by the
# shells and programs above this process; SIGTERM would end them, and this process with them.
WARNING = signal.SIGURG
# More than Slurm takes to end the processes of a job.
KILL_SECONDS = 120


class Stopped(Exception):
    """Work was asked to stop."""


class StopSignal:
    """Says whether to stop: after SIGTERM, Ctrl-C or a warning, or if the process above is gone.

    The last is how a job ends whose Snakemake was killed, before the next one starts it again.

    Parameters
    ----------
    parent
        Number of the process above, as it was when this one began. Who asks for it later, after
        seconds of imports, may be an orphan by then and never know.

    Attributes
    ----------
    warned : bool
        Whether the time limit comes near.
    """

    def __init__(self, parent: int):
        self.warned = False
        self._ended_by: signal.Signals | None = None
        self._parent = parent
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._terminate)
        signal.signal(WARNING, self._warn)

    def _terminate(self, number: int, frame: object) -> None:
        self._ended_by = signal.Signals(number)

    def _warn(self, number: int, frame: object) -> None:
        self.warned = True

    def __call__(self) -> bool:
        """Whether to stop now."""
        return self.warned or self._ended_by is not None or os.getppid() != self._parent

    def why(self) -> str:
        """Say why to stop, as the end of a sentence."""
        return _why(WARNING if self.warned else self._ended_by)

    def check(self) -> None:
        """Stop now, if so.

        Raises
        ------
        Stopped
        """
        if self():
            raise Stopped


def _why(number: signal.Signals | None) -> str:
    """Say why a signal asks to stop; ``None`` of an orphan."""
    if number is None:
        return "as snakemake has ended"
    if number == WARNING:
        return "shortly before the job's time limit"
    if number == signal.SIGINT:
        return "by Ctrl-C"
    job = slurm.properties(os.environ.get("SLURM_JOB_ID"))
    if slurm.out_of_time(job):
        return f"at the job's time limit of {job['TimeLimit']}"
    return "by Slurm, as after scancel or scontrol requeue" if job else "by SIGTERM"


def requeue() -> None:
    """Put the Slurm job that this process runs in back into the queue, where Slurm then ends it.

    Slurm later starts the job again under the same number. Returns outside Slurm, where there is no
    ``scontrol``, as in a container, or if the job may not be requeued.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(FileNotFoundError):
        if subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0:
            time.sleep(KILL_SECONDS)  # to end with an error now would be a failure of the job


def _begin() -> None:
    """Say where and when work begins, as the log has the lines of earlier tries too."""
    number = os.environ.get("SLURM_JOB_ID")
    job = f", job {number} of Slurm" if number else ""
    moment = time.strftime("%Y-%m-%d %H:%M:%S")
    print(f"begun at {moment} on {platform.node()}{job}", file=sys.stderr, flush=True)


@contextmanager
def resumable(name: str, lock: Path, parent: int) -> Iterator[StopSignal]:
    """Do work that may be stopped, and that no other process does at the same time.

    Parameters
    ----------
    name
        What the work is called where it has to wait.
    lock
        File that is locked meanwhile. What a killed process left unfinished beside it is removed.
    parent
        Number of the process above; the work stops if that one ends.

    Yields
    ------
    StopSignal
        Tells the work when to raise `Stopped`.

    Raises
    ------
    SystemExit
        With `EXIT_STOPPED`, if the work was stopped; under Slurm, after a warning of the time
        limit, the job is in the queue again.
    """
    stop = StopSignal(parent)
    _begin()
    try:
        waiting = f"{name}: waiting for another process that does it to end"
        with first_free([lock], waiting, stop.check):
            stop.check()
            # Nobody else writes here now: these are of processes that were killed as they wrote.
            remove_unfinished(lock.parent)
            yield stop
    except Stopped:
        print(f"stopped {stop.why()}; it goes on from its checkpoint", file=sys.stderr)
        if stop.warned:
            requeue()
        raise SystemExit(EXIT_STOPPED) from None


@contextmanager
def repeatable() -> Iterator[None]:
    """Do work that has no checkpoints: if it is asked to stop it ends at once, and says so.

    Raises
    ------
    SystemExit
        With `EXIT_STOPPED`, if the work was stopped.
    """
    received: list[signal.Signals] = []

    def stop(number: int, frame: object) -> None:
        received.append(signal.Signals(number))
        raise Stopped

    for number in (signal.SIGTERM, signal.SIGINT, WARNING):
        signal.signal(number, stop)
    _begin()
    try:
        yield
    except BaseException:
        # Libraries in C that call Python may make another error of it, as if data were bad.
        if not received:
            raise
        why = _why(received[0])
        print(f"stopped {why}; it has no checkpoint, and begins again", file=sys.stderr)
        raise SystemExit(EXIT_STOPPED) from None
