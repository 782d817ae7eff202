"""The training loop: all schemes of a sweep as one stacked program."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from kancore import checkpoints, networks, objectives
from kancore.data import Dataset, rows, split
from kancore.data.preparation import take
from kancore.objectives.backprop import cross_entropy
from kancore.optimizers import StackedOptimizer
from kancore.schemes import Scheme, Sweep, derive_seed

# Small enough for a stack's features to stay in a processor's cache.
EVALUATION_BATCH = 128


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
    """Everything that changes while a sweep trains."""

    network: torch.nn.Module
    optimizer: StackedOptimizer
    loss: Tensor  # summed over the steps since the last evaluation, [S]
    step: int = 0
    rows: list[dict] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)


class Training:
    """Train all schemes of one sweep.

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
    """

    def __init__(
        self,
        sweep: Sweep,
        dataset: Dataset,
        device: torch.device | str = "cpu",
        checkpoint: Path | None = None,
        checkpoint_seconds: float = 60.0,
        identity: str = "",
    ):
        self.sweep, self.device = sweep, torch.device(device)
        self.checkpoint, self.checkpoint_seconds = checkpoint, checkpoint_seconds
        if sweep.train_examples or sweep.test_examples:
            dataset = take(dataset, sweep.train_examples, sweep.test_examples)
        self.identity = f"{sweep.to_dict()} {dataset.checksum} {identity}"
        self.objective = import_module(objectives.MODULES[sweep.objective])
        self.dataset = dataset.to(self.device)
        self.parts = self._divide()
        self.steps_per_epoch = max(1, len(self.parts["train"][1]) // sweep.batch_size)
        self.state = self._resume() or self._start()
        self._saved_at = time.monotonic()

    def _divide(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Features as stored and labels of the training split, the validation split, the test."""
        data, sweep = self.dataset, self.sweep
        seed = derive_seed("split", data.name, sweep.seed)
        train, validation = split(data.y_train, sweep.validation_fraction, seed)
        train, validation = train.to(self.device), validation.to(self.device)
        return {
            "train": (rows(data.x_train, train), data.y_train[train]),
            "validation": (rows(data.x_train, validation), data.y_train[validation]),
            "test": (data.x_test, data.y_test),
        }

    def _build(self, schemes: tuple[Scheme, ...]) -> State:
        data, architecture = self.dataset, self.sweep.architecture
        network = networks.build(architecture, data.features, data.classes, len(schemes))
        network.to(self.device)
        optimizer = StackedOptimizer(list(network.parameters()), schemes)
        return State(network, optimizer, torch.zeros(len(schemes), device=self.device))

    def _start(self) -> State:
        state = self._build(self.sweep.schemes)
        for index, scheme in enumerate(self.sweep.schemes):
            # Optimizer and learning rate are left out: schemes that differ in them only start from
            # the same weights, which pairs their comparison.
            seed = derive_seed(
                "weights",
                self.sweep.dataset,
                self.sweep.architecture.name,
                scheme.initialization,
                self.sweep.seed,
            )
            generator = torch.Generator().manual_seed(seed)
            state.network.initialize(index, scheme.initialization, generator)
        return state

    def _resume(self) -> State | None:
        if self.checkpoint is None:
            return None
        saved = checkpoints.load(self.checkpoint, self.identity, self.device)
        if saved is None:
            return None
        state = self._build(tuple(Scheme(**scheme) for scheme in saved["schemes"]))
        state.network.load_state_dict(saved["network"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.step, state.loss, state.rows = saved["step"], saved["loss"], saved["rows"]
        state.clock = Clock(**saved["clock"])
        state.clock.resumes += 1
        return state

    def save(self) -> None:
        """Write a checkpoint."""
        state = self.state
        saved = {
            "schemes": [vars(scheme) for scheme in state.optimizer.schemes],
            "network": state.network.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "step": state.step,
            "loss": state.loss,
            "rows": state.rows,
            "clock": vars(state.clock),
        }
        checkpoints.save(self.checkpoint, self.identity, saved)

    def batch(self, part: str, index: Tensor) -> tuple[Tensor, Tensor]:
        """Look up examples: inputs ``[len(index), in]``, standardized on the device, and labels."""
        x, y = self.parts[part]
        x = self.dataset.standardize(rows(x, index))
        return (x.to_dense() if self.dataset.sparse else x), y[index]

    def run(self, report: Callable[["Training"], None] | None = None) -> list[dict]:
        """Train to the end, and evaluate every `evaluate_every` epochs and at the end.

        Parameters
        ----------
        report
            Called after each epoch.

        Returns
        -------
        list of dict
            One row an evaluation and scheme: the scheme, epoch, losses, accuracies, `diverged`.
        """
        state, sweep = self.state, self.sweep
        while state.step < sweep.epochs * self.steps_per_epoch and state.optimizer.schemes:
            self._save_if_due()
            self._train_epoch()
            epoch = state.step // self.steps_per_epoch
            if epoch % sweep.evaluate_every == 0 or epoch == sweep.epochs:
                self._evaluate(epoch)
            if report is not None:
                report(self)
        return state.rows

    def _train_epoch(self) -> None:
        """Train to the end of the current epoch; an incomplete last batch is left out."""
        state, size, started = self.state, self.sweep.batch_size, time.monotonic()
        state.network.train()
        epoch, begun = divmod(state.step, self.steps_per_epoch)
        order = self._order(epoch)
        for number in range(begun, self.steps_per_epoch):
            if number > begun:  # never after the last step: an evaluation would be skipped
                self._save_if_due()
            self._train_step(*self.batch("train", order[number * size : (number + 1) * size]))
            state.clock.training -= started - (started := time.monotonic())

    def _train_step(self, x: Tensor, y: Tensor) -> None:
        state = self.state
        if self.sweep.architecture.dropout:
            # Masks come from the device's own generator; seeding each step makes them resumable.
            self._generator().manual_seed(self._seed("masks", state.step))
        losses = self.objective.losses(state.network, x, y, self.sweep)
        state.optimizer.step(torch.autograd.grad(losses.sum(), state.optimizer.parameters))
        state.loss += losses.detach()
        state.step += 1

    def _generator(self) -> torch.Generator:
        if self.device.type == "cuda":
            return torch.cuda.default_generators[self.device.index or 0]
        return torch.default_generator

    def _save_if_due(self) -> None:
        if self.checkpoint and time.monotonic() - self._saved_at > self.checkpoint_seconds:
            self.save()
            self._saved_at = time.monotonic()

    def _seed(self, purpose: str, number: int) -> int:
        """Seed shared by all schemes, from what the sweep's minibatch stream is."""
        return derive_seed(purpose, self.sweep.dataset, self.sweep.seed, number)

    def _order(self, epoch: int) -> Tensor:
        """Order of the training examples in an epoch; the same on every device."""
        generator = torch.Generator().manual_seed(self._seed("order", epoch))
        return torch.randperm(len(self.parts["train"][1]), generator=generator).to(self.device)

    def _evaluate(self, epoch: int) -> None:
        """Append one row a scheme; drop from the stack the schemes that have diverged."""
        state, started = self.state, time.monotonic()
        state.network.eval()
        values = {part: self._measure(part) for part, (_, y) in self.parts.items() if len(y)}
        finite = state.loss.isfinite()
        for loss, _ in values.values():
            finite &= loss.isfinite()
        columns = {
            f"{name}_{kind}": column.tolist()
            for name, pair in values.items()
            for kind, column in zip(("loss", "accuracy"), pair, strict=True)
        }
        columns["layer_nhsic"] = self._layer_nhsic()
        for index, scheme in enumerate(state.optimizer.schemes):
            row = {**vars(scheme), "epoch": epoch, "diverged": not finite[index].item()}
            for name, column in columns.items():
                row[name] = None if row["diverged"] else column[index]
            state.rows.append(row)
        state.loss.zero_()
        self._keep(finite.nonzero().flatten().tolist())
        state.clock.evaluation += time.monotonic() - started

    def _layer_nhsic(self) -> list[list[float]] | list[None]:
        """Measure each network's hidden layers on the first training batch, if they have losses."""
        measure = getattr(self.objective, "layer_nhsic", None)
        if measure is None:
            return [None] * len(self.state.optimizer.schemes)
        first = torch.arange(min(self.sweep.batch_size, len(self.parts["train"][1])))
        batch = self.batch("train", first.to(self.device))
        return measure(self.state.network, *batch, self.sweep).tolist()

    def _keep(self, alive: list[int]) -> None:
        state = self.state
        if len(alive) == len(state.optimizer.schemes):
            return
        state.network.select(alive)
        state.optimizer = state.optimizer.select(alive, list(state.network.parameters()))
        state.loss = state.loss[alive]

    @torch.inference_mode()
    def _measure(self, part: str) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each network over a part, each ``[S]`` in float64."""
        stack, examples = len(self.state.optimizer.schemes), len(self.parts[part][1])
        loss, correct = torch.zeros(2, stack, dtype=torch.float64, device=self.device)
        for index in torch.arange(examples, device=self.device).split(EVALUATION_BATCH):
            x, y = self.batch(part, index)
            logits = self.state.network(x)
            loss += cross_entropy(logits, y).double() * len(y)
            correct += (logits.argmax(-1) == y).sum(1)
        return loss / examples, correct / examples


def progress(training: Training, stream: TextIO | None = None) -> None:
    """Say how far a sweep is: a line at each evaluation, or one live line on a terminal.

    Parameters
    ----------
    training
        The sweep, after an epoch.
    stream
        Where to; standard error by default.
    """
    stream = stream or sys.stderr
    state, sweep = training.state, training.sweep
    epoch = state.step // training.steps_per_epoch
    evaluated = bool(state.rows) and state.rows[-1]["epoch"] == epoch
    if not (evaluated or stream.isatty()):
        return
    best = max((row.get("validation_accuracy") or 0.0 for row in state.rows), default=0.0)
    left = state.clock.total / epoch * (sweep.epochs - epoch)
    line = (
        f"epoch {epoch}/{sweep.epochs}  {len(state.optimizer.schemes)} schemes  "
        f"{state.step / max(state.clock.training, 1e-9):.1f} steps/s  "
        f"best validation accuracy {best:.4f}  {left:.0f} s left"
    )
    end = "\n" if not stream.isatty() or epoch == sweep.epochs else ""
    print(f"\r{line}\x1b[K" if stream.isatty() else line, end=end, file=stream, flush=True)
