"""What stacks begin with: networks, their optimizer and first weights, as many as memory holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kancore import networks
from kancore.data.dataset import Dataset
from kancore.machine import devices
from kancore.machine.memory import usable_mb
from kancore.networks.network import Stack
from kancore.networks.parts import networks_at_once
from kancore.schemes import Trained, derive_seed
from kancore.training.optimizers import Optimizer, StackedOptimizer
from kancore.training.resources import Shape, memory_mb, stack_sizes
from kancore.training.state import State


class Builder:
    """Builds stacks of a sweep's schemes.

    Parameters
    ----------
    sweep, dataset, start, memory_mb
        As for `kancore.training.loop.Training`.
    background
        As of `kancore.training.splits.Splits`.

    Attributes
    ----------
    shape : Shape
        What estimates of memory go by: the size of the data set, and what networks of the user's
        own need.
    """

    def __init__(
        self,
        sweep: Trained,
        dataset: Dataset,
        background: Tensor | None,
        start: Mapping[str, dict[str, Tensor]] | None,
        memory_mb: int | None,
    ):
        self.sweep, self._background = sweep, background
        self._start, self._memory_mb = start, memory_mb
        needs = networks.needs(sweep.architecture, dataset.features, dataset.classes)
        self.shape = replace(_shape(dataset), own=needs)

    def build(self, schemes: Sequence[Any], device: torch.device) -> State:
        """Build a stack of networks without weights, and their optimizer."""
        features, classes = self.shape.features, self.shape.classes
        network = networks.build(self.sweep.architecture, features, classes, len(schemes))
        network.to(device)
        network.expect(self._background)
        at_once = None
        if device.type != "cuda":
            at_once = networks_at_once(self.sweep, network.num_parameters)
        return State(network, self.optimizer(network, schemes), at_once)

    def optimizer(self, network: Stack, schemes: Sequence[Any]) -> Optimizer:
        """Make the optimizer of a stack."""
        options = self.sweep.weight_decay, self.sweep.clip_norm
        return StackedOptimizer(list(network.parameters()), schemes, *options)

    def initialize(self, state: State) -> None:
        """Draw the weights of a stack, or take over those of networks that were trained before."""
        if self._start is not None:
            _take_over(self._start, state)
            return
        for index, scheme in enumerate(state.schemes):
            # Optimizer, learning rate and activation are left out: networks that differ in them
            # only start from the same weights, which pairs their comparison.
            seed = derive_seed(
                "weights",
                self.sweep.dataset,
                replace(self.sweep.architecture, activation="any").name,  # type: ignore[arg-type]
                scheme.initialization,
                self.sweep.seed,
            )
            generator = torch.Generator().manual_seed(seed)
            state.network.initialize(index, scheme.initialization, generator)

    def stack_sizes(self, schemes: Sequence[Any], device: torch.device) -> list[int]:
        """Give the sizes of the stacks, trained in turn, in which schemes fit into memory.

        Raises
        ------
        MemoryError
            If a single network does not fit.
        """
        if device.type == "cuda":
            limit = devices.PLANNED_SHARE * devices.free_bytes(device) / 1e6
            total = torch.cuda.get_device_properties(device).total_memory
            return stack_sizes(self.sweep, self.shape, schemes, limit, total)
        if self._memory_mb is None:
            return [len(schemes)]
        sizes = stack_sizes(self.sweep, self.shape, schemes, self._memory_mb)
        if max(sizes, default=0) == 1:
            needed = max(memory_mb(self.sweep, self.shape, [scheme]) for scheme in schemes)
            if needed > (there := usable_mb()):
                raise MemoryError(
                    f"{self.sweep.name}: one network and its batches of {self.sweep.batch_size} "
                    f"need {needed:,} MB of memory, and there are {there:,}; try a smaller "
                    "batch_size"
                )
        return sizes


def _take_over(start: Mapping[str, dict[str, Tensor]], state: State) -> None:
    """Start from networks that were trained before; those that diverged diverge again."""
    nothing = {
        name: torch.full_like(value[0], torch.nan if value.is_floating_point() else 0)
        for name, value in state.network.state_dict().items()
    }
    found = [start.get(scheme.initialization, nothing) for scheme in state.schemes]
    stacked = {name: torch.stack([each[name] for each in found]) for name in nothing}
    state.network.load_state_dict(stacked)


def _shape(dataset: Dataset) -> Shape:
    """Size of a data set, from its arrays."""
    x = dataset.x_train
    stored = x.values().numel() * 12 if dataset.sparse else x.numel() * x.element_size()
    examples = len(dataset.y_train), len(dataset.y_test)
    return Shape(dataset.features, dataset.classes, *examples, stored / x.numel())
