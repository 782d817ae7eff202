"""What changes while a sweep trains: narrowed to some schemes, saved and restored."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import torch

from kancore.networks.network import Stack
from kancore.training.optimizers import Optimizer


@dataclass
class Clock:
    """Where the time of a sweep went, in seconds; resumed sweeps go on counting."""

    training: float = 0.0
    evaluation: float = 0.0
    resumes: int = 0

    def __post_init__(self) -> None:
        self._since = time.monotonic()

    def lap(self) -> float:
        """Seconds since this was asked last."""
        before, self._since = self._since, time.monotonic()
        return self._since - before

    @property
    def total(self) -> float:
        """Seconds in all."""
        return self.training + self.evaluation


@dataclass
class State:
    """Everything that changes while a stack of schemes trains.

    Attributes
    ----------
    network, optimizer
        The networks of all schemes, and what updates them.
    networks_at_once : int or None
        Networks that one pass forward and backward is for; ``None`` for all of them.
    step : int
        Steps done.
    rows : list of dict
        What evaluations have found.
    clock : Clock
        Where the time went.
    loss : Tensor
        Of each network, ``[S]``, summed over the steps since the last evaluation.
    kept : list of dict
        Networks as they were at their best evaluation; see `kancore.training.kept`.
    chunks : sequence of Stack
        The stack, or so many of its networks each as go at once, in the memory that it has.
    """

    network: Stack
    optimizer: Optimizer
    networks_at_once: int | None = None
    step: int = 0
    rows: list[dict] = field(default_factory=list)
    kept: list[dict] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        device = next(self.network.parameters()).device
        self.loss = torch.zeros(len(self.schemes), device=device)
        self._arrange()

    def _arrange(self) -> None:
        """Fuse the layers, and then divide the stack, whose chunks share what fused layers do."""
        self.optimizer.fuse(self.network)
        size = self.networks_at_once or len(self.schemes)
        whole = size >= len(self.schemes)
        self.chunks: Sequence[Stack] = [self.network] if whole else self.network.divided(size)

    @property
    def schemes(self) -> Sequence:
        """The schemes of the stack, one for each network."""
        return self.optimizer.schemes

    def keep(self, indices: Sequence[int]) -> None:
        """Keep the schemes with these indices, ascending, and drop all others from the stack."""
        if len(indices) == len(self.schemes):
            return
        self.network.select(indices)
        self.optimizer = self.optimizer.select(indices, list(self.network.parameters()))
        self.loss = self.loss[list(indices)]
        self._arrange()

    def to_dict(self) -> dict:
        """Tensors and plain values, for a checkpoint; `load` takes them."""
        return {
            "schemes": [vars(scheme) for scheme in self.schemes],
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "loss": self.loss,
            "rows": self.rows,
            "kept": self.kept,
            "clock": asdict(self.clock),
        }

    def load(self, saved: dict, schemes: Sequence, indices: Sequence[int]) -> None:
        """Take over tensors and step of what `to_dict` made of a state.

        Parameters
        ----------
        saved, schemes
            What it made, and the schemes that it had.
        indices
            Which of them this state has, ascending.
        """
        every = len(indices) == len(schemes)
        rows = slice(None) if every else list(indices)  # of which the first copies nothing
        network = {name: value[rows] for name, value in saved["network"].items()}
        self.network.load_state_dict(network)
        self.optimizer.load_state_dict(saved["optimizer"], schemes, indices)
        self.loss.copy_(saved["loss"][rows])
        self.step = saved["step"]
