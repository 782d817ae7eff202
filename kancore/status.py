"""What the studies below a folder of results are doing: ``python -m kancore.status [RESULTS]``.

Reads ``plan.json`` of each study, which names its jobs, in the folder of each job the
``progress.json`` that it keeps until it has ended, the lock that it holds while it runs, and its
log; so it works wherever the results can be read, on the machine that trains, or on a cluster's
file system.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Interval
from pydantic import BaseModel, ConfigDict

from kancore.machine.files import HOPELESS, run_command
from kancore.machine.locks import is_locked
from kancore.machine.messages import plain
from kancore.schemes import Count

_COLUMNS = ("sweep", "epoch", "schemes", "best", "steps/s", "left", "heard of")
# What a job ends with: the table of a training job, or of a landscape.
_TABLES = ("history.parquet", "landscape.parquet")
# Seconds that a job may take to start, and bytes of the end of its log that say why it has failed.
_START, _LAST = 600, 4096


_FromZero = Annotated[int, Interval(ge=0, le=10**9)]


class _Plan(BaseModel):
    """What the plan of a study must say."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    jobs: dict[str, str] | list[str]
    work: dict[str, Annotated[float, Ge(0)]] = {}


class _Progress(BaseModel):
    """What a job tells, while it runs, of how far it is."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    sweep: Count
    sweeps: Count
    epoch: _FromZero
    epochs: Count
    schemes: _FromZero
    best_accuracy: float | None
    steps_per_second: float
    seconds_left: float | None
    written: float


@dataclass(frozen=True)
class StudyStatus:
    """How far the training jobs of a study are.

    Attributes
    ----------
    name : str
        Name of the study.
    finished, waiting : int
        Jobs that have all their tables, and jobs that have nothing yet, in this call of snakemake
        or from one before.
    running, stopped : dict
        Progress by name of the jobs between: those that a process works on, and those that go on
        from their checkpoint when snakemake is called again. Of one that has just begun it is
        empty.
    failed : dict
        The last line of the logs of jobs, by name, that have failed in the last call and would
        fail again.
    share : float or None
        Share of the study's floating-point operations that is done.
    seconds_left : float or None
        Estimated from the finished jobs' times, for as many jobs at once as are running; ``None``
        where none is finished or running.
    """

    name: str
    finished: int
    waiting: int
    running: dict[str, dict[str, Any]]
    stopped: dict[str, dict[str, Any]]
    share: float | None = None
    seconds_left: float | None = None
    failed: dict[str, str] = field(default_factory=dict)


def read_status(folder: Path) -> StudyStatus:
    """Read how far a study is, from its ``plan.json`` and its jobs' folders.

    Parameters
    ----------
    folder
        Folder of the study.
    """
    planned = folder / "plan.json"
    plan = _Plan.model_validate_json(_text(planned))
    jobs, work = plan.jobs, plan.work
    status = StudyStatus(folder.name, 0, 0, {}, {})
    finished, done, timed, seconds = 0, 0.0, 0.0, 0.0
    for job in jobs:
        place = folder / "jobs" / job
        benchmark = folder / "benchmarks" / "jobs" / f"{job}.tsv"
        if ended(place):
            finished += 1
            done += work.get(job, 0)
            if took := _seconds(benchmark):
                timed, seconds = timed + work.get(job, 0), seconds + took
            continue
        log = folder / "logs" / "jobs" / f"{job}.log"
        progress, works = _progress(place), is_locked(place / "job.lock") or _begins(log)
        # Else it is of an earlier call, or of a job that had ended and whose tables are gone.
        tells = _written(log) > max(_written(planned), _written(benchmark))
        if tells and not works and (why := _failure(log)) is not None:
            status.failed[job] = why
            continue
        if not (progress or works or tells):  # not begun, or ended since its table was looked for
            continue
        (status.running if works else status.stopped)[job] = progress
        if progress:
            before = progress["sweep"] - 1 + progress["epoch"] / progress["epochs"]
            done += work.get(job, 0) * before / progress["sweeps"]
    begun = len(status.running) + len(status.stopped) + len(status.failed)
    waiting = len(jobs) - finished - begun
    status = replace(status, finished=finished, waiting=waiting)
    whole = sum(work.values())
    if not whole:
        return status
    left = None
    if timed and status.running:
        left = (whole - done) * seconds / timed / len(status.running)
    return replace(status, share=done / whole, seconds_left=left)


def _seconds(benchmark: Path) -> float | None:
    """Read the time of a finished job, from what Snakemake writes of it."""
    try:
        return float(benchmark.read_text().splitlines()[1].split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _begins(log: Path) -> bool:
    """Whether a job's process begins, and has not written to its log yet.

    The log is a link, made as the process starts, to a file that has all tries.
    """
    try:
        made = log.lstat().st_mtime
    except OSError:
        return False
    return _written(log) < made and time.time() - made < _START


def _written(path: Path) -> float:
    """When a file was written to, in seconds since 1970; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _failure(log: Path) -> str | None:
    """Read why a job has failed that would fail again, from the end of its log."""
    if not log.is_file():
        return None
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _LAST))
        *_, why, last = ["", "", *stream.read().decode(errors="replace").splitlines()]
    return why if last == HOPELESS else None


def ended(place: Path) -> bool:
    """Whether a job has its tables, by its folder."""
    return any((place / table).exists() for table in _TABLES)


def _progress(place: Path) -> dict[str, Any]:
    """Read how far a job is; nothing of one that has told nothing yet, or is of another version."""
    try:
        return _Progress.model_validate_json(_text(place / "progress.json")).model_dump()
    except (OSError, ValueError):
        return {}


def _text(path: Path) -> str:
    """Read a file, and nothing that never ends."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path.read_text(encoding="utf-8")


def lines(status: StudyStatus, now: float) -> Iterator[str]:
    """Write a status as text, a line for each job that has begun.

    Parameters
    ----------
    status
        The status.
    now
        The present, in seconds since 1970, from which the age of a job's progress is told.
    """
    begun = {"running": status.running, "stopped": status.stopped}
    counted = "".join(f"{len(jobs)} {name}, " for name, jobs in begun.items())
    if status.failed:
        counted += f"{len(status.failed)} failed, "
    line = f"{status.name}: {status.finished} jobs finished, {counted}{status.waiting} waiting"
    if status.share is not None:
        line += f"; {status.share:.0%} of the work done"
    if status.seconds_left is not None:
        line += f", about {duration(status.seconds_left)} left"
    yield line
    for name, jobs in begun.items():
        yield from _table(name, jobs, now)
    if status.failed:
        yield "  failed"
    for job, why in sorted(status.failed.items()):
        yield f"  {job}: {why}"


def _table(name: str, jobs: dict[str, dict[str, Any]], now: float) -> Iterator[str]:
    """Write the progress of some jobs in columns under a heading; nothing of none."""
    rows = [(name, *_COLUMNS)] if jobs else []
    rows += [
        (
            job,
            f"{at['sweep']}/{at['sweeps']}",
            f"{at['epoch']}/{at['epochs']}",
            f"{at['schemes']}",
            "-" if at["best_accuracy"] is None else f"{at['best_accuracy']:.4f}",
            f"{at['steps_per_second']:.1f}",
            "?" if at["seconds_left"] is None else duration(at["seconds_left"]),
            f"{duration(now - at['written'])} ago",
        )
        for job, at in sorted(jobs.items())
        if at
    ]
    rows += [(job, "-", "-", "-", "-", "-", "-", "-") for job, at in sorted(jobs.items()) if not at]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([f"  {first.ljust(widths[0])}", *cells])


def duration(seconds: float) -> str:
    """Write a duration in its largest two units, such as ``2 h 5 min``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m kancore.status", description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default="results", help="default: results")
    results = parser.parse_args().results
    plans = sorted(results.glob("*/plan.json"))
    if not plans:
        raise SystemExit(f"{results}: no study has been started here; expected */plan.json")
    for plan in plans:
        now = time.time()
        try:
            status = read_status(plan.parent)
        except (OSError, ValueError):
            raise SystemExit(f"{plan}: not the plan of a study; call snakemake again") from None
        # A name of a job may hold a newline, too.
        print(*(plain(line).replace("\n", "\\n") for line in lines(status, now)), sep="\n")


if __name__ == "__main__":
    run_command(main)
