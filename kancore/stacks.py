"""The stacks of a sweep: one, or halves of it in turn where a device's memory is too small."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from kancore import checkpoints
from kancore.schemes import Scheme
from kancore.state import Clock, State


class Stacks:
    """What a sweep still has to train, from its last checkpoint or from the start.

    Training alone does not depend on the size of a stack. So if the device runs out of memory, the
    stack of the last checkpoint is divided, and its halves are trained one after the other.

    Parameters
    ----------
    schemes
        All schemes of the sweep.
    build
        Makes a state of uninitialized networks from schemes and a device.
    initialize
        Draws the weights of a state's networks.
    device
        Where to train.
    checkpoint
        File for checkpoints, or ``None`` for none.
    identity
        What a checkpoint must agree with.

    Attributes
    ----------
    state : State
        The stack that is being trained.

    Raises
    ------
    MemoryError
        Here and in `train`, if the device has not the memory for a single network.
    """

    def __init__(
        self,
        schemes: Sequence[Scheme],
        build: Callable[[Sequence[Scheme], torch.device], State],
        initialize: Callable[[State], None],
        device: torch.device,
        checkpoint: Path | None,
        identity: str,
    ):
        self._build, self._initialize, self._device = build, initialize, device
        self._checkpoint, self._identity = checkpoint, identity
        self._kind = type(schemes[0])
        self.state: State | None = None
        # As saved. The first is what `state` began from; one that is new is known by its schemes.
        new = {"schemes": [vars(scheme) for scheme in schemes], "rows": [], "clock": vars(Clock())}
        saved = self._saved()
        self._left = saved or [new]
        self._until_it_fits(self._take_up)
        self.state.clock.resumes += saved is not None

    def train(self, work: Callable[[], None]) -> None:
        """Let `work` train `state` to its end, and so on with the stacks that are left."""

        def train_all() -> None:
            if self.state is None:
                self._take_up()
            work()
            while len(self._left) > 1:
                self._pass_on()
                self._take_up()
                work()

        self._until_it_fits(train_all)

    def save(self) -> None:
        """Write a checkpoint."""
        self._write([self.state.to_dict(), *self._left[1:]])

    def _pass_on(self) -> None:
        """Leave a stack that has ended; the next goes on with its rows and its clock."""
        rows, clock, self.state = self.state.rows, self.state.clock, None
        _, following, *others = self._left
        following = {**following, "rows": rows + following["rows"], "clock": vars(clock)}
        self._left = [following, *others]
        self._write(self._left)

    def _write(self, stacks: list[dict]) -> None:
        if self._checkpoint:
            checkpoints.save(self._checkpoint, self._identity, stacks)

    def _saved(self) -> list[dict] | None:
        return self._checkpoint and checkpoints.load(self._checkpoint, self._identity)

    def _take_up(self) -> None:
        self.state = self._restore(self._left[0], self._device)

    def _restore(self, saved: dict, device: torch.device) -> State:
        state = self._build([self._kind(**scheme) for scheme in saved["schemes"]], device)
        if "network" in saved:
            state.load(saved)
        else:
            self._initialize(state)
        state.rows, state.clock = list(saved["rows"]), Clock(**saved["clock"])
        return state

    def _until_it_fits(self, work: Callable[[], None]) -> None:
        while not _fits(work):
            self.state = None  # frees its memory
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            whole, *later = self._saved() or self._left
            self._left = [*self._halves(whole), *later]
            self._write(self._left)

    def _halves(self, whole: dict) -> list[dict]:
        """Divide a saved stack in two."""
        schemes = whole["schemes"]
        middle = len(schemes) // 2
        if middle == 0:
            raise MemoryError(
                f"{self._device} has too little memory for one network and its batches; try a "
                "smaller batch_size, or another device"
            )
        print(
            f"out of memory on {self._device} with {len(schemes)} schemes side by side: going on "
            f"with {middle}, then with the other {len(schemes) - middle}",
            file=sys.stderr,
        )
        if "network" in whole:
            first = self._part(whole, range(middle))
            second = self._part(whole, range(middle, len(schemes)))
        else:
            first = {**whole, "schemes": schemes[:middle]}
            second = {**whole, "schemes": schemes[middle:]}
        return [first, {**second, "rows": []}]  # the first has those up to here

    def _part(self, whole: dict, indices: range) -> dict:
        """Narrow a saved stack to some of its schemes, in the CPU's memory."""
        state = self._restore(whole, torch.device("cpu"))
        state.keep(indices)
        return state.to_dict()


def _fits(work: Callable[[], None]) -> bool:
    """Do work; tell whether the device had the memory for it.

    What the error holds on to is free again when this returns.
    """
    try:
        work()
    except torch.OutOfMemoryError:
        return False
    return True
