"""Follow-up experiments: what is known of them before the grid has chosen their scheme."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kancore.schemes import AXES, Architecture, Scheme, Sweep

# Base activations; widths and degrees of one and two hidden layers; grid sizes (paper, section 5).
EXPERIMENTS = ("activation", "width_degree", "grid_size")


@dataclass(frozen=True)
class FollowUp:
    """One follow-up experiment on one data set with one seed: what one job trains, in turn.

    Attributes
    ----------
    experiment : str
        One of `EXPERIMENTS`.
    dataset : str
        Name of the data set.
    seed : int
        Seed of all its runs.
    architectures : tuple of Architecture
        The KANs to train, one run each.
    options : dict
        Epochs, batch size and what else a `Sweep` takes by name.
    """

    experiment: str
    dataset: str
    seed: int
    architectures: tuple[Architecture, ...]
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Path of the job below the follow-ups of its study."""
        return f"{self.experiment}/{self.dataset}/seed{self.seed}"

    def sweeps(self, scheme: Scheme) -> list[Sweep]:
        """One sweep of the single scheme `scheme` for each architecture."""
        axes: dict[str, Any] = {axis: (getattr(scheme, field),) for field, axis in AXES.items()}
        return [
            Sweep(self.dataset, "backprop", architecture, seed=self.seed, **axes, **self.options)
            for architecture in self.architectures
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FollowUp":
        """Build a follow-up from plain values, as read from JSON."""
        architectures = tuple(map(Architecture.from_dict, values["architectures"]))
        return cls(**{**values, "architectures": architectures})
