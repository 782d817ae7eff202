"""What a landscape job trains: a network in random subspaces of its parameters (Li et al. 2018)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kancore.schemes import Architecture, Trained, tuples

PROJECTIONS = ("dense", "sparse", "fastfood")
# Fully connected network of Li et al.: in-200-200-out with rectifiers.
REFERENCE = Architecture("mlp", (200, 200), activation="relu")
INITIALIZATION = "kaiming_normal"


@dataclass(frozen=True)
class Subspace:
    """One network of a stack: trained in `dimension` random directions, or, if None, in all."""

    dimension: int | None
    initialization: str = INITIALIZATION


@dataclass(frozen=True)
class Landscape(Trained):
    """Subspaces of one network's parameters on one data set: what one landscape job trains.

    It stands in for a `kancore.schemes.Sweep` in `kancore.training.loop.Training`: its schemes are
    its subspaces, here of `dimensions`, and the directly trained network if `direct`.

    Attributes
    ----------
    projection : str
        One of `PROJECTIONS`.
    learning_rate : float
        Of Adam, on the coordinates in the subspace.
    refinements : int
        Times that dimensions are added near the thresholds; see `refine`.
    patience : int or None
        Epochs without a better validation accuracy after which a network is trained no further;
        ``None`` trains all for `epochs`.

    The others are those of a sweep.
    """

    dataset: str
    architecture: Architecture
    projection: str
    dimensions: tuple[int, ...]
    refinements: int
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    evaluate_every: int = 1
    validation_fraction: float = 0.1
    train_examples: int | None = None
    test_examples: int | None = None
    scaling: str = "standardize"
    direct: bool = True
    patience: int | None = None
    objective: str = "backprop"

    @property
    def schemes(self) -> tuple[Subspace, ...]:
        """The subspaces, in the order of a stack."""
        return (
            *(Subspace(dimension) for dimension in self.dimensions),
            *([Subspace(None)] if self.direct else []),
        )

    @property
    def name(self) -> str:
        """Path of the landscape below the landscapes of its study."""
        return f"{self.dataset}/{self.architecture.name}/seed{self.seed}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Landscape":
        """Build a landscape from plain values, as read from JSON."""
        architecture = Architecture.from_dict(values["architecture"])
        return cls(**{**tuples(values), "architecture": architecture})


def geometric_grid(lowest: int, highest: int, count: int) -> tuple[int, ...]:
    """Space at most `count` whole dimensions evenly in the logarithm, both ends included."""
    return tuple(sorted({round(value) for value in np.geomspace(lowest, highest, count)}))
