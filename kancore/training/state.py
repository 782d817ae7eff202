"""What changes while a sweep trains: narrowed to some schemes, saved and restored."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kancore.networks.network import Stack
from kancore.training.optimizers import Optimizer


@dataclass
class Clock:
    """Where the time of a sweep went, in seconds; resumed sweeps go on counting."""

    training: float = 0.0
    evaluation: float = 0.0
    resumes: int = 0

    @property
    def total(self) -> float:
        """Seconds in all."""
        return self.training + self.evaluation


@dataclass
class State:
    """Everything that changes while a stack of schemes trains."""

    network: Stack
    optimizer: Optimizer
    loss: Tensor  # summed over the steps since the last evaluation, [S]
    step: int = 0
    rows: list[dict] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    part_size: int | None = None  # networks that train at once; None is all of them

    def __post_init__(self) -> None:
        self._divide()

    def _divide(self) -> None:
        size = self.part_size or len(self.schemes)
        whole = size >= len(self.schemes)
        self.parts: Sequence[Stack] = [self.network] if whole else self.network.divided(size)

    @property
    def schemes(self) -> Sequence:
        """The schemes of the stack, one for each network."""
        return self.optimizer.schemes

    def keep(self, indices: Sequence[int]) -> None:
        """Keep the schemes with these indices, ascending, and drop all others from the stack."""
        self.network.select(indices)
        self.optimizer = self.optimizer.select(indices, list(self.network.parameters()))
        self.optimizer.fuse(self.network)
        self.loss = self.loss[list(indices)]
        self._divide()

    def to_dict(self) -> dict:
        """Tensors and plain values, for a checkpoint; `load` takes them."""
        return {
            "schemes": [vars(scheme) for scheme in self.schemes],
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "loss": self.loss,
            "rows": self.rows,
            "clock": vars(self.clock),
        }

    def load(self, saved: dict) -> None:
        """Take over tensors and step of what `to_dict` made of a state of the same schemes."""
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(_copied(saved["optimizer"], self.loss.device))
        self.loss.copy_(saved["loss"])
        self.step = saved["step"]


def _copied(value, device: torch.device):
    """Copy the tensors of nested lists and dicts to a device."""
    if isinstance(value, dict):
        return {key: _copied(part, device) for key, part in value.items()}
    if isinstance(value, list):
        return [_copied(part, device) for part in value]
    return value.to(device, copy=True) if torch.is_tensor(value) else value
