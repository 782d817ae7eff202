"""What a study trains, as jobs: one process each, whatever experiment they belong to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from kancore.schemes import AXES, Sweep


@dataclass(frozen=True)
class Job:
    """Sweeps that one process trains in turn, of one data set, model and objective.

    Attributes
    ----------
    experiment : str
        The experiment whose list holds the job; names its folder, and the tables that its rows
        go to.
    name : str
        Path below the folder of the experiment.
    label, protocol : str
        What the columns ``experiment`` and ``protocol`` of tables say of it. Of the experiment on
        stability the protocol is the factor.
    sweeps : tuple of Sweep
        What is trained; of a job that waits for a choice, what is known of it before, which needs
        about as much memory and time.
    choice : str or None
        File, below the folder of the study, with what is chosen for the job; see `chosen`.
    """

    experiment: str
    name: str
    label: str
    protocol: str
    sweeps: tuple[Sweep, ...]
    choice: str | None = None

    @property
    def path(self) -> str:
        """Path below the folder of all jobs."""
        return f"{self.experiment}/{self.name}"

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.sweeps[0].dataset

    def chosen(self, choice: Mapping[str, Any]) -> "Job":
        """Give the job with what was chosen: its sweeps among those of all jobs, or a scheme."""
        if "jobs" in choice:
            sweeps = map(Sweep.from_dict, choice["jobs"][self.name])
            return replace(self, sweeps=tuple(sweeps))
        axes: dict[str, Any] = {axis: (choice[field],) for field, axis in AXES.items()}
        return replace(self, sweeps=tuple(replace(sweep, **axes) for sweep in self.sweeps))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the inverse of `from_dict`."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**own, "sweeps": tuple(sweep.to_dict() for sweep in self.sweeps)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Job":
        """Build a job from plain values, as read from JSON."""
        return cls(**{**values, "sweeps": tuple(map(Sweep.from_dict, values["sweeps"]))})


def by_job(sweeps: Iterable[Sweep], depths_in_turn: bool) -> dict[str, tuple[Sweep, ...]]:
    """Give sweeps by the name of their job: each alone, or together those of all depths."""
    found: dict[str, list[Sweep]] = {}
    for sweep in sweeps:
        found.setdefault(sweep.family if depths_in_turn else sweep.name, []).append(sweep)
    return {
        (family if len(each) > 1 else each[0].name): tuple(each) for family, each in found.items()
    }
