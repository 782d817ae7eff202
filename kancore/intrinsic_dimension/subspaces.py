"""What a landscape job trains: a network in random subspaces of its parameters (Li et al. 2018)."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
from annotated_types import Ge

from kancore.schemes import Architecture, Count, Positive, Task, Trained, tuples

Projection = Literal["dense", "sparse", "fastfood"]
PROJECTIONS = get_args(Projection)
# Fully connected network of Li et al.: in-200-200-out with rectifiers.
REFERENCE = Architecture("mlp", (200, 200), activation="relu")
INITIALIZATION = "kaiming_normal"


@dataclass(frozen=True)
class Subspace:
    """One network of a stack: trained in `dimension` random directions, or, if None, in all."""

    dimension: int | None
    initialization: str = INITIALIZATION


@dataclass(frozen=True)
class _Landscape(Task):
    dimensions: tuple[int, ...] = ()
    direct: bool = True
    _: KW_ONLY
    projection: Projection
    """How subspaces are projected to parameters."""
    refinements: Annotated[int, Ge(0)]
    """Times that dimensions are added near the thresholds; see `refine`."""
    learning_rate: Positive
    """Of Adam, on the coordinates in the subspace."""
    patience: Count | None = None
    """Epochs without a better validation accuracy after which a network is trained no further;
    ``None`` trains all for `epochs`."""


# Not a dataclass by itself, so that of the options of sweeps it has the defaults, but no fields.
class Landscape(_Landscape, Trained):
    """Subspaces of one network's parameters on one data set: what one landscape job trains.

    It stands in for a `kancore.schemes.Sweep` in `kancore.training.loop.Training`: its schemes are
    its subspaces, here of `dimensions`, and the directly trained network if `direct`.
    """

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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Landscape":
        """Build a landscape from plain values, as read from JSON."""
        architecture = Architecture.from_dict(values["architecture"])
        return cls(**{**tuples(values), "architecture": architecture})


def geometric_grid(lowest: int, highest: int, count: int) -> tuple[int, ...]:
    """Space at most `count` whole dimensions evenly in the logarithm, both ends included."""
    return tuple(sorted({round(value) for value in np.geomspace(lowest, highest, count)}))
