"""The stacks of a sweep: one, or parts of it in turn where a device's memory is too small."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from pathlib import Path

import torch
from torch import Tensor

from kancore.machine.out_of_memory import is_out_of_memory
from kancore.schemes import Scheme
from kancore.training import checkpoints
from kancore.training.builder import Builder
from kancore.training.state import Clock, State


class Stacks:
    """What a sweep still has to train, from its last checkpoint or from the start.

    Training alone does not depend on the size of a stack. So a stack that is known not to fit is
    divided before it begins, and its parts are trained one after the other; and if the device runs
    out of memory, so are the halves of the stack of the last checkpoint.

    Parameters
    ----------
    schemes
        All schemes of the sweep.
    builder
        Builds a stack of some of them, and says how many fit into memory.
    device
        Where to train.
    keep_networks
        Whether the networks of stacks that have ended are wanted.
    checkpoint
        File for checkpoints, or ``None`` for none.
    identity
        What a checkpoint must agree with.

    Raises
    ------
    MemoryError
        Here and in `train`, if the device has not the memory for a single network.
    """

    def __init__(
        self,
        schemes: Sequence[Scheme],
        builder: Builder,
        device: torch.device,
        keep_networks: bool,
        checkpoint: Path | None,
        identity: str,
    ):
        self._builder, self._device = builder, device
        self._keep_networks = keep_networks
        self._checkpoint, self._identity = checkpoint, identity
        self._kind, self._schemes = type(schemes[0]), len(schemes)
        self._state: State | None = None
        # As saved. The first is what `state` began from; one that is new is known by its schemes.
        new = {
            "schemes": [vars(scheme) for scheme in schemes],
            "rows": [],
            "kept": [],
            "clock": asdict(Clock()),
        }
        saved = self._saved()
        self._left = saved or [new]
        self._plan()
        self._until_it_fits(self._take_up)
        self.state.clock.resumes += saved is not None

    @property
    def state(self) -> State:
        """The stack that is being trained."""
        assert self._state is not None  # but where `_until_it_fits` has freed its memory
        return self._state

    def train(self, work: Callable[[], None]) -> None:
        """Let `work` train `state` to its end, and so on with the stacks that are left."""

        def train_all() -> None:
            if self._state is None:
                self._take_up()
            work()
            while len(self._left) > 1:
                self._pass_on()
                self._take_up()
                work()

        self._until_it_fits(train_all)

    @property
    def state_dicts(self) -> list[tuple[Sequence[Scheme], dict[str, Tensor]]]:
        """Schemes and networks of the stacks that have ended, if they are kept, and of `state`."""
        ended = [
            (self._schemes_of(stack), stack["network"]) for stack in self._left[0].get("ended", [])
        ]
        return [*ended, (self.state.schemes, self.state.network.state_dict())]

    def steps_done(self, steps: int) -> float:
        """Count the steps of the sweep, of `steps`; those of a stack by its share of schemes."""
        current, *later = [len(stack["schemes"]) for stack in self._left]
        ended = self._schemes - current - sum(later)
        return (ended * steps + current * self.state.step) / self._schemes

    def save(self) -> None:
        """Write a checkpoint."""
        self._write([self._current(), *self._left[1:]])

    def _current(self) -> dict:
        return {**self.state.to_dict(), "ended": self._left[0].get("ended", [])}

    def _pass_on(self) -> None:
        """Leave a stack that has ended; the next goes on with its rows and its clock."""
        current, self._state = self._current(), None
        _, following, *others = self._left
        passed = {name: current[name] + following[name] for name in ("rows", "kept")}
        passed["clock"] = current["clock"]
        if self._keep_networks:
            network = {key: current[key] for key in ("schemes", "network")}
            passed["ended"] = [*current["ended"], network]
        del current  # frees its memory
        self._left = [{**following, **passed}, *others]
        self._write(self._left)

    def _plan(self) -> None:
        """Divide the stacks that memory has no room for."""
        planned = []
        for stack in self._left:
            sizes = self._builder.stack_sizes(self._schemes_of(stack), self._device)
            if len(sizes) > 1:
                print(
                    f"too little memory for {sum(sizes)} schemes side by side: training "
                    f"{len(sizes)} parts of at most {max(sizes)}, one after the other",
                    file=sys.stderr,
                )
                planned += self._divided(stack, sizes)
            else:
                planned.append(stack)
        self._left = planned

    def _write(self, stacks: list[dict]) -> None:
        if self._checkpoint:
            checkpoints.save(self._checkpoint, self._identity, stacks)

    def _saved(self) -> list[dict] | None:
        return checkpoints.load(self._checkpoint, self._identity) if self._checkpoint else None

    def _schemes_of(self, saved: dict) -> list[Scheme]:
        return [self._kind(**scheme) for scheme in saved["schemes"]]

    def _take_up(self) -> None:
        self._state = self._restore(self._left[0], self._device)

    def _restore(
        self, saved: dict, device: torch.device, indices: Sequence[int] | None = None
    ) -> State:
        """Build a saved stack, or of its schemes those with these indices, and no others."""
        schemes = self._schemes_of(saved)
        chosen = schemes if indices is None else [schemes[index] for index in indices]
        state = self._builder.build(chosen, device)
        if "network" in saved:
            state.load(saved, schemes, range(len(schemes)) if indices is None else indices)
        else:
            self._builder.initialize(state)
        state.rows, state.kept = list(saved["rows"]), list(saved["kept"])
        state.clock = Clock(**saved["clock"])
        return state

    def _until_it_fits(self, work: Callable[[], None]) -> None:
        while not _fits(work):
            self._state = None  # frees its memory
            if self._device.type == "cuda":
                torch.compiler.reset()  # CUDA graphs keep the memory that they were made in
                torch.cuda.empty_cache()
            whole, *later = self._saved() or self._left
            self._left = [*self._halves(whole), *later]
            self._write(self._left)

    def _halves(self, whole: dict) -> list[dict]:
        """Divide a saved stack in two."""
        schemes = len(whole["schemes"])
        middle = schemes // 2
        if middle == 0:
            raise MemoryError(
                f"{self._device} has too little memory for one network and its batches; try a "
                "smaller batch_size, or another device"
            )
        print(
            f"out of memory on {self._device} with {schemes} schemes side by side: going on "
            f"with {middle}, then with the other {schemes - middle}",
            file=sys.stderr,
        )
        return self._divided(whole, [middle, schemes - middle])

    def _divided(self, whole: dict, sizes: Sequence[int]) -> list[dict]:
        """Divide a saved stack into parts."""
        bounds = [0, *accumulate(sizes)]
        places = [range(*pair) for pair in pairwise(bounds)]
        if "network" in whole:
            parts = [self._part(whole, indices) for indices in places]
        else:
            parts = [
                {**whole, "schemes": [whole["schemes"][index] for index in indices]}
                for indices in places
            ]
        first, *others = parts  # the first has what was found up to here
        first = {**first, "ended": whole.get("ended", [])}
        return [first, *({**part, "rows": [], "kept": [], "ended": []} for part in others)]

    def _part(self, whole: dict, indices: range) -> dict:
        """Narrow a saved stack to some of its schemes, in the CPU's memory."""
        return self._restore(whole, torch.device("cpu"), indices).to_dict()


def _fits(work: Callable[[], None]) -> bool:
    """Do work; tell whether the device had the memory for it.

    What the error holds on to is free again when this returns.
    """
    try:
        work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
