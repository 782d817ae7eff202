"""What a training is made of, but for the loop: splits, stacks, objective, checkpoints."""

import time
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from kancore import objectives
from kancore.data.dataset import Dataset
from kancore.machine.devices import cannot_compile
from kancore.machine.interruption import Stopped
from kancore.schemes import Keep, Trained
from kancore.training.builder import Builder
from kancore.training.splits import Splits
from kancore.training.stacks import Stacks
from kancore.training.state import State


class Setup:
    """A sweep that is ready to be trained, by the loop of `kancore.training.loop.Training`.

    Parameters
    ----------
    sweep
        What to train.
    dataset
        The data set that the sweep names.
    device
        Where to train.
    checkpoint
        File for checkpoints, or ``None`` for none.
    checkpoint_seconds
        Least time between two checkpoints.
    identity
        What a checkpoint must agree with besides the sweep, such as a digest of the code.
    should_stop
        Asked before each step and each batch of an evaluation; once it says yes, `run` raises
        `Stopped`. Before a step it writes a checkpoint first.
    compiled
        Whether `torch.compile` makes one program of the losses and their gradients, and on a GPU a
        CUDA graph of it; its first steps take up to a minute.
    start
        Networks to start from in place of new ones, from `state_dicts` of the sweep before.
    memory_mb
        MB that this process may take. On a CPU, a stack that needs more by its estimate is trained
        in parts, one after the other. ``None`` for no limit.
    keep
        Which networks are kept as they were at their best evaluation; see `keep_best`.

    Raises
    ------
    MemoryError
        Here and in `run`, if the device has not the memory for a single network.
    """

    builder: type[Builder] = Builder

    def __init__(
        self,
        sweep: Trained,
        dataset: Dataset,
        device: torch.device | str = "cpu",
        checkpoint: Path | None = None,
        checkpoint_seconds: float = 60.0,
        identity: str = "",
        should_stop: Callable[[], bool] = lambda: False,
        compiled: bool = False,
        start: Mapping[str, dict[str, Tensor]] | None = None,
        memory_mb: int | None = None,
        keep: Keep = "none",
    ):
        self.sweep, self.device = sweep, torch.device(device)
        self.checkpoint_seconds, self.should_stop = checkpoint_seconds, should_stop
        self.keep = keep
        self.objective = import_module(objectives.MODULES[sweep.objective])
        self.losses = self.objective.losses
        compiled = compiled and not sweep.architecture.own  # what that does may not be compiled
        if compiled and (why := cannot_compile(self.device)) is not None:
            warnings.warn(f"steps are not compiled: {why}", stacklevel=2)
        elif compiled:
            torch.compiler.reset()  # what it compiled for other sweeps counts against a limit
            mode = "reduce-overhead" if self.device.type == "cuda" else "default"
            self.losses = torch.compile(self.losses, mode=mode)
        self.splits = Splits(sweep, dataset, self.device)
        self.steps_per_epoch = self.splits.steps_per_epoch
        builder = self.builder(sweep, dataset, self.splits.background, start, memory_mb)
        identity = f"{sweep.to_dict()} {dataset.checksum} {identity}"
        self.stacks = Stacks(
            sweep.schemes, builder, self.device, sweep.warm_start, checkpoint, identity
        )
        self._saved_at = time.monotonic()

    @property
    def state(self) -> State:
        """The stack that is being trained."""
        return self.stacks.state

    def _save_if_due(self) -> None:
        stop = self.should_stop()
        if stop or time.monotonic() - self._saved_at > self.checkpoint_seconds:
            self.stacks.save()
            self._saved_at = time.monotonic()
        if stop:
            raise Stopped

    def state_dicts(self) -> dict[str, dict[str, Tensor]]:
        """Copy the parameters and buffers of each network of the stack, by its initialization.

        Raises
        ------
        MemoryError
            If networks that did not diverge are no longer there, since they were trained in turn.
        """
        found: dict[str, dict[str, Tensor]] = {
            scheme.initialization: {name: value[index].clone() for name, value in values.items()}
            for schemes, values in self.stacks.state_dicts
            for index, scheme in enumerate(schemes)
        }
        diverged = {row["initialization"] for row in self.state.rows if row["diverged"]}
        if set(found) | diverged != {scheme.initialization for scheme in self.sweep.schemes}:
            raise MemoryError(
                f"{self.device} has too little memory for the networks of a warm start side by side"
            )
        return found
