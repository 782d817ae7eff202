"""The plan of a study, ``plan.json``: its jobs and what each trains.

A run writes it when it starts. Others count jobs by it, and the next run sees which finished
results it would replace.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from kancore.data.known import made_by, settings_digest
from kancore.intrinsic_dimension.subspaces import Landscape
from kancore.machine.files import read_kept
from kancore.studies.jobs import Job
from kancore.studies.study import ConfigError, Study


def by_path(
    jobs: Mapping[str, Job], landscapes: Mapping[str, Landscape]
) -> dict[str, Job | Landscape]:
    """Give training jobs and landscapes by their paths below the folder of all jobs."""
    return {**jobs, **{f"landscapes/{name}": each for name, each in landscapes.items()}}


def digest(job: Job | Landscape, data: Mapping[str, Any]) -> str:
    """Digest of what a job trains and, behind a dash, of how its data set is made, if told.

    Parameters
    ----------
    job
        The job.
    data
        The study's settings of data.
    """
    told = (job.to_dict(), made_by(job.dataset, data))
    return "-".join(settings_digest(each) for each in told if each is not None)


def read_plan(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Read the digests of a plan's jobs, and of those finished that it leaves out with consent.

    None where there is no such plan.
    """
    found = (read_kept(path).get(key) for key in ("jobs", "left_out"))
    jobs, left_out = (each if isinstance(each, dict) else {} for each in found)
    return jobs, left_out


def check_replaced(
    study: Study,
    before: Mapping[str, str],
    now: Mapping[str, str],
    made_again: Iterable[str],
    left_out: Collection[str],
    overridden: Collection[str],
) -> None:
    """Refuse to put other results, or fewer, in the place of finished ones.

    Parameters
    ----------
    study
        The study.
    before, now
        The plan of its last run, with what that left out, and that of this one.
    made_again
        Paths of finished jobs that this run trains again.
    left_out
        Paths of finished jobs of the last run that are none of this one, so of no table.
    overridden
        Keys that this call sets, for the name that the message proposes.

    Raises
    ------
    ConfigError
        If one of them trains something else than before, or is left out.
    """
    # Plans of before say nothing of data.
    replaced = [
        path
        for path in made_again
        if path in before
        and any(a != b for a, b in zip(before[path].split("-"), now[path].split("-"), strict=False))
    ]
    for paths, what in (
        (replaced, "had other settings and would be replaced"),
        (left_out, "are none of this call's and would be missing from its tables"),
    ):
        if paths:
            parts = [study.name, *sorted(overridden)] if overridden else [study.name, "2"]
            raise ConfigError(
                f"config: {len(paths)} finished jobs of results/{study.name}, such as "
                f"{min(paths)}, {what}; expected a name for these results "
                f"(--config name={'-'.join(parts)[:60]}), or consent (--config replace=true)"
            )
