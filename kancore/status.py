"""What the studies below a folder of results are doing: ``python -m kancore.status [RESULTS]``.

Reads ``plan.json`` of each study, which names its training jobs, and beside their tables the
``progress.json`` that a job keeps while it trains; so it works wherever the results can be read,
on the machine that trains, or on a cluster's file system.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COLUMNS = ("running", "sweep", "epoch", "schemes", "best", "steps/s", "left", "heard of")


@dataclass(frozen=True)
class StudyStatus:
    """How far the training jobs of a study are.

    Attributes
    ----------
    name : str
        Name of the study.
    finished, waiting : int
        Jobs that have all their tables, and jobs that have nothing yet.
    begun : dict
        Progress by name of the jobs between: those that run, and those that were stopped.
    """

    name: str
    finished: int
    waiting: int
    begun: dict[str, dict[str, Any]]


def read_status(folder: Path) -> StudyStatus:
    """Read how far the study in `folder` is, from its ``plan.json`` and its jobs' folders."""
    jobs = json.loads((folder / "plan.json").read_text())["jobs"]
    finished, begun = 0, {}
    for job in jobs:
        if (folder / job / "history.parquet").exists():
            finished += 1
            continue
        try:
            begun[job] = json.loads((folder / job / "progress.json").read_text())
        except FileNotFoundError:  # not begun, or ended since its table was looked for
            continue
    return StudyStatus(folder.name, finished, len(jobs) - finished - len(begun), begun)


def lines(status: StudyStatus, now: float) -> Iterator[str]:
    """Write a status as text, a line for each job that has begun.

    Parameters
    ----------
    status
        The status.
    now
        The present, in seconds since 1970, from which the age of a job's progress is told: one
        that has not been heard of for long was stopped, or evaluates a large network.
    """
    yield (
        f"{status.name}: {status.finished} jobs finished, {len(status.begun)} running, "
        f"{status.waiting} waiting"
    )
    rows = [_COLUMNS] if status.begun else []
    rows += [
        (
            job,
            f"{at['sweep']}/{at['sweeps']}",
            f"{at['epoch']}/{at['epochs']}",
            f"{at['schemes']}",
            f"{at['best_accuracy']:.4f}",
            f"{at['steps_per_second']:.1f}",
            "?" if at["seconds_left"] is None else duration(at["seconds_left"]),
            f"{duration(now - at['written'])} ago",
        )
        for job, at in sorted(status.begun.items())
    ]
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
        print(*lines(read_status(plan.parent), time.time()), sep="\n")


if __name__ == "__main__":
    main()
