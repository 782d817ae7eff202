"""The training loop: all schemes of a sweep as one stacked program."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kancore import networks, objectives
from kancore.data.dataset import Dataset, dense_rows, longest_row, rows, split
from kancore.data.preparation import missing_classes, scaled, take
from kancore.machine.devices import send
from kancore.machine.interruption import Stopped
from kancore.machine.memory import usable_mb
from kancore.machine.resources import Shape, memory_mb, part_sizes
from kancore.networks.network import Network, Stack, random_generator
from kancore.networks.parts import EVALUATION_BATCH, networks_at_once
from kancore.objectives.backprop import cross_entropy
from kancore.schemes import Scheme, Trained, derive_seed
from kancore.training.optimizers import StackedOptimizer, rate_factor
from kancore.training.stacks import Stacks
from kancore.training.state import State

# Greatest share of entries other than zero at which it pays to leave out the zeros.
SPARSE = 0.7
# Examples that grids are moved by.
GRID_EXAMPLES = 1024


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
    should_stop
        Asked before each step and each batch of an evaluation; once it says yes, `run` raises
        `Stopped`. Before a step it writes a checkpoint first.
    compiled
        Whether `torch.compile` makes one program of the losses and their gradients, and on a GPU a
        CUDA graph of it; its first steps take up to a minute.
    start
        Networks to start from in place of new ones, from `networks` of the sweep before.
    memory_mb
        MB that this process may take. On a CPU, a stack that needs more by its estimate is trained
        in parts, one after the other. ``None`` for no limit.

    Raises
    ------
    MemoryError
        Here and in `run`, if the device has not the memory for a single network.
    """

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
    ):
        self.sweep, self.device, self._memory_mb = sweep, torch.device(device), memory_mb
        needs = networks.needs(sweep.architecture, dataset.features, dataset.classes)
        self._shape = replace(_shape(dataset), own=needs)
        self.checkpoint_seconds, self.should_stop = checkpoint_seconds, should_stop
        if sweep.train_examples or sweep.test_examples:
            dataset = take(dataset, sweep.train_examples, sweep.test_examples)
        identity = f"{sweep.to_dict()} {dataset.checksum} {identity}"
        self._start = start
        self.objective = import_module(objectives.MODULES[sweep.objective])
        self.losses = self.objective.losses
        if compiled and not sweep.architecture.own:  # what that does may not be compiled
            torch.compiler.reset()  # what it compiled for other sweeps counts against a limit
            mode = "reduce-overhead" if self.device.type == "cuda" else "default"
            self.losses = torch.compile(self.losses, mode=mode)
        self.dataset = scaled(dataset, sweep.scaling).to(self.device)
        self.parts = self._divide()
        self.background = self._background()
        if self.dataset.sparse:
            self._longest = {part: longest_row(x) for part, (x, _) in self.parts.items()}
        self.steps_per_epoch = max(1, len(self.parts["train"][1]) // sweep.batch_size)
        self.stacks = Stacks(
            sweep.schemes,
            self._build,
            self._initialize,
            self._part_sizes,
            self.device,
            sweep.warm_start,
            checkpoint,
            identity,
        )
        self._saved_at = time.monotonic()

    @property
    def state(self) -> State:
        """The stack that is being trained."""
        return self.stacks.state

    def _divide(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Features as stored and labels of the training split, the validation split, the test."""
        data, sweep = self.dataset, self.sweep
        seed = derive_seed("split", data.name, sweep.seed)
        train, validation = split(data.y_train, sweep.validation_fraction, seed)
        if sweep.validation_fraction and not len(validation):
            raise ValueError(
                f"validation_fraction {sweep.validation_fraction} of {len(train)} training "
                "examples leaves none to choose the best epoch by; expected at least "
                f"{1 / len(train):.2g}, or 0 to choose it by the test part"
            )
        train, validation = train.to(self.device), validation.to(self.device)
        if missing := missing_classes(data.y_train[train], data.class_names):
            fraction = sweep.validation_fraction
            raise ValueError(
                f"validation fraction {fraction} leaves no training example of classes {missing}"
            )
        test = torch.arange(self._tested(), device=self.device)
        return {
            "train": (rows(data.x_train, train), data.y_train[train]),
            "validation": (rows(data.x_train, validation), data.y_train[validation]),
            "test": (rows(data.x_test, test), data.y_test[test]),
        }

    def _tested(self) -> int:
        """Count the test examples that count."""
        examples, size = len(self.dataset.y_test), self.sweep.batch_size
        if not self.sweep.whole_test_batches:
            return examples
        # Fewer than a batch are all tested: the published code would have no accuracy of them.
        return examples // size * size or examples

    def _build(self, schemes: Sequence[Any], device: torch.device) -> State:
        data, architecture = self.dataset, self.sweep.architecture
        network = networks.build(architecture, data.features, data.classes, len(schemes))
        network.to(device)
        network.expect(self.background)
        options = self.sweep.weight_decay, self.sweep.clip_norm
        optimizer = StackedOptimizer(list(network.parameters()), schemes, *options)
        optimizer.fuse(network)
        losses = torch.zeros(len(schemes), device=device)
        return State(network, optimizer, losses, part_size=self._part_size(network))

    def _part_size(self, network: Stack) -> int | None:
        if self.device.type == "cuda":
            return None
        return networks_at_once(self.sweep, network.num_parameters)

    def _part_sizes(self, schemes: Sequence[Scheme]) -> list[int]:
        """Sizes of the parts in which schemes fit into this process's memory."""
        if self._memory_mb is None or self.device.type == "cuda":
            return [len(schemes)]
        sizes = part_sizes(self.sweep, self._shape, schemes, self._memory_mb)
        needed = max(memory_mb(self.sweep, self._shape, [scheme]) for scheme in schemes)
        if max(sizes) == 1 and needed > (there := usable_mb()):
            raise MemoryError(
                f"{self.sweep.name}: one network and its batches of {self.sweep.batch_size} need "
                f"{needed:,} MB of memory, and there are {there:,}; try a smaller batch_size"
            )
        return sizes

    def _initialize(self, state: State) -> None:
        if self._start is not None:
            self._take_over(self._start, state)
            return
        for index, scheme in enumerate(state.schemes):
            # Optimizer, learning rate and activation are left out: networks that differ in them
            # only start from the same weights, which pairs their comparison.
            seed = derive_seed(
                "weights",
                self.sweep.dataset,
                replace(self.sweep.architecture, activation="any").name,
                scheme.initialization,
                self.sweep.seed,
            )
            generator = torch.Generator().manual_seed(seed)
            state.network.initialize(index, scheme.initialization, generator)

    def _take_over(self, start: Mapping[str, dict[str, Tensor]], state: State) -> None:
        """Start from networks that were trained before; those that diverged diverge again."""
        nothing = {
            name: torch.full_like(value[0], torch.nan if value.is_floating_point() else 0)
            for name, value in state.network.state_dict().items()
        }
        found = [start.get(scheme.initialization, nothing) for scheme in state.schemes]
        stacked = {name: torch.stack([each[name] for each in found]) for name in nothing}
        state.network.load_state_dict(stacked)

    def networks(self) -> dict[str, dict[str, Tensor]]:
        """Copy the parameters and buffers of each network of the stack, by its initialization.

        Raises
        ------
        MemoryError
            If networks that did not diverge are no longer there, since they were trained in turn.
        """
        found = {
            scheme.initialization: {name: value[index].clone() for name, value in values.items()}
            for schemes, values in self.stacks.networks
            for index, scheme in enumerate(schemes)
        }
        diverged = {row["initialization"] for row in self.state.rows if row["diverged"]}
        if set(found) | diverged != {scheme.initialization for scheme in self.sweep.schemes}:
            raise MemoryError(
                f"{self.device} has too little memory for the networks of a warm start side by side"
            )
        return found

    def _background(self) -> Tensor | None:
        """Input that a zero of the data set becomes, ``[in]``, if most of its entries are zero."""
        x = self.parts["train"][0]
        values = x.values() if self.dataset.sparse else x
        if values.count_nonzero() > SPARSE * x.numel():
            return None
        zeros = torch.zeros(1, x.shape[1], dtype=x.dtype, device=self.device)
        return zeros[0] if self.dataset.sparse else self.dataset.standardize(zeros)[0]

    def batch(self, part: str, index: Tensor) -> tuple[Tensor, Tensor]:
        """Look up examples: inputs ``[len(index), in]``, standardized on the device, and labels."""
        x, y = self.parts[part]
        if self.dataset.sparse:
            return dense_rows(x, index, self._longest[part]), y[index]
        return self.dataset.standardize(rows(x, index)), y[index]

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
        self.stacks.train(partial(self._train, report))
        # Stable: where stacks were trained in turn, this is the order of a single one.
        return sorted(self.state.rows, key=lambda row: row["epoch"])

    def _train(self, report: Callable[["Training"], None] | None) -> None:
        state, sweep = self.state, self.sweep
        while state.step < sweep.epochs * self.steps_per_epoch and state.schemes:
            self._save_if_due()
            self._train_epoch()
            epoch = state.step // self.steps_per_epoch
            since = epoch - (sweep.first_evaluation or sweep.evaluate_every)
            if (since >= 0 and since % sweep.evaluate_every == 0) or epoch == sweep.epochs:
                self._evaluate(epoch)
            if report is not None:
                report(self)

    def _train_epoch(self) -> None:
        """Train to the end of the current epoch; an incomplete last batch is left out."""
        state, sweep, started = self.state, self.sweep, time.monotonic()
        size = sweep.batch_size
        for network in (state.network, *state.parts):
            network.train()
        epoch, begun = divmod(state.step, self.steps_per_epoch)
        order = self._order(epoch)
        for number in range(begun, self.steps_per_epoch):
            if number > begun:  # never after the last step: an evaluation would be skipped
                self._save_if_due()
            x, y = self.batch("train", order[number * size : (number + 1) * size])
            self.step(self._flipped(x) if sweep.flips else x, y)
            state.clock.training -= started - (started := time.monotonic())
        if epoch == 0 and sweep.architecture.moving_grid:
            state.network.eval()
            state.network.move_grids(self._sample(GRID_EXAMPLES))
            state.clock.training -= started - (started := time.monotonic())

    def _flipped(self, x: Tensor) -> Tensor:
        """Flip images ``[batch, in]`` at random, each way one half of them; tables stay as are."""
        shape = self.dataset.image_shape
        if shape is None:
            return x
        generator = torch.Generator().manual_seed(self._seed("flips", self.state.step))
        chosen = torch.randint(2, (2, len(x), 1, 1, 1), generator=generator).bool()
        chosen = send(chosen, self.device)
        images = x.view(-1, *shape)
        for axis, flip in zip((-1, -2), chosen, strict=True):
            images = torch.where(flip, images.flip(axis), images)
        return images.flatten(1)

    def step(self, x: Tensor, y: Tensor) -> None:
        """Update all networks on a batch that `batch` gives."""
        state = self.state
        if self.sweep.architecture.dropout or self.sweep.architecture.own:
            # Masks come from the device's own generator; seeding each step makes them resumable.
            random_generator(self.device).manual_seed(self._seed("masks", state.step))
        self._schedule()
        if len(state.parts) == 1:
            losses, gradients = self._gradients(state.network, x, y)
        else:
            losses, gradients = self._gradients_in_parts(x, y)
        state.optimizer.step(gradients)
        state.loss += losses
        state.step += 1

    def _schedule(self) -> None:
        """Set the learning rates of the next step, where they change."""
        sweep, each = self.sweep, self.steps_per_epoch
        if sweep.warmup_epochs or sweep.rate_decay:
            warmup, steps = sweep.warmup_epochs * each, sweep.epochs * each
            factor = rate_factor(self.state.step, steps, warmup, sweep.rate_decay)
            optimizer = self.state.optimizer
            assert isinstance(optimizer, StackedOptimizer)  # no other rates change
            optimizer.scale_rates(factor)

    def _gradients(self, network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Sequence]:
        """Losses ``[S]`` of a stack, and their gradients by its parameters."""
        losses = self.losses(network, x, y, self.sweep)
        # Fused layers update their weights in the backward pass, and give no gradient.
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(losses.sum(), parameters, allow_unused=True)
        return losses.detach(), gradients

    def _gradients_in_parts(self, x: Tensor, y: Tensor) -> tuple[Tensor, Sequence]:
        """Do the same part by part, with one mask for all of them."""
        stack = self.state.network
        assert isinstance(stack, Network)  # no others are divided
        dropout = stack.dropout
        width = self.sweep.architecture.hidden_widths[-1]
        dropout.mask = dropout.draw(len(x), width, x) if dropout.probability else None
        losses = torch.empty_like(self.state.loss)
        gradients: list[Tensor | None] = [None for _ in stack.parameters()]
        start = 0
        for part in self.state.parts:
            # Copied at once: what a part leaves behind in memory keeps the next from its place.
            part_losses, part_gradients = self._gradients(part, x, y)
            rows_of = slice(start, start := start + len(part_losses))
            losses[rows_of] = part_losses
            for place, (parameter, gradient) in enumerate(
                zip(stack.parameters(), part_gradients, strict=True)
            ):
                if gradient is not None:
                    whole = gradients[place]
                    if whole is None:
                        whole = gradients[place] = torch.empty_like(parameter)
                    whole[rows_of] = gradient
        dropout.mask = None
        return losses, gradients

    def _save_if_due(self) -> None:
        stop = self.should_stop()
        if stop or time.monotonic() - self._saved_at > self.checkpoint_seconds:
            self.stacks.save()
            self._saved_at = time.monotonic()
        if stop:
            raise Stopped

    def _seed(self, purpose: str, number: int) -> int:
        """Seed shared by all schemes, from what the sweep's minibatch stream is."""
        return derive_seed(purpose, self.sweep.dataset, self.sweep.seed, number)

    def _order(self, epoch: int) -> Tensor:
        """Order of the training examples in an epoch; the same on every device."""
        generator = torch.Generator().manual_seed(self._seed("order", epoch))
        order = torch.randperm(len(self.parts["train"][1]), generator=generator)
        return send(order, self.device)

    def _evaluate(self, epoch: int) -> None:
        """Append one row a scheme; drop from the stack the schemes that have diverged."""
        state, started = self.state, time.monotonic()
        state.network.eval()
        read = self._readout()
        values = {part: self._measure(part, read) for part, (_, y) in self.parts.items() if len(y)}
        finite = state.loss.isfinite()
        for loss, _ in values.values():
            finite &= loss.isfinite()
        columns = {
            f"{name}_{kind}": column.tolist()
            for name, pair in values.items()
            for kind, column in zip(("loss", "accuracy"), pair, strict=True)
        }
        columns["layer_nhsic"] = self._layer_nhsic()
        columns["outside_grid"] = self._outside_grid(epoch)
        for index, (scheme, converges) in enumerate(
            zip(state.schemes, finite.tolist(), strict=True)
        ):
            row = {**vars(scheme), "epoch": epoch, "diverged": not converges}
            for name, column in columns.items():
                row[name] = None if row["diverged"] else column[index]
            state.rows.append(row)
        state.loss.zero_()
        if not finite.all():
            state.keep(finite.nonzero().flatten().tolist())
        state.clock.evaluation += time.monotonic() - started

    def _layer_nhsic(self) -> list[list[float]] | list[None]:
        """Measure layers that have losses of their own, on the first training batch."""
        measure = getattr(self.objective, "layer_nhsic", None)
        if measure is None:
            return [None] * len(self.state.schemes)
        batch = self.batch("train", self._order(0)[: self.sweep.batch_size])
        return measure(self.state.network, *batch, self.sweep).tolist()

    def _outside_grid(self, epoch: int) -> list[list[float]] | list[None]:
        """Measure at the end how far inputs of a KAN's layers leave the grid."""
        measure = getattr(self.state.network, "outside_grid", None)
        if measure is None or epoch < self.sweep.epochs:
            return [None] * len(self.state.schemes)
        return measure(self._sample(EVALUATION_BATCH)).tolist()

    def _sample(self, examples: int) -> Tensor:
        """Give inputs of the first examples in the first epoch's order."""
        return self.batch("train", self._order(0)[:examples])[0]

    def _outputs(self, part: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Give all networks' outputs, ``[S, batch, classes]``, and labels, over a part."""
        examples = len(self.parts[part][1])
        for index in torch.arange(examples, device=self.device).split(EVALUATION_BATCH):
            if self.should_stop():
                raise Stopped
            x, y = self.batch(part, index)
            yield self.state.network(x), y

    @torch.inference_mode()
    def _readout(self) -> Callable[[Tensor], Tensor]:
        """Find what turns outputs into logits, on training data where the objective needs that."""
        find = getattr(self.objective, "readout", None)
        if find is None:
            return lambda outputs: outputs
        return find(self._outputs("train"), self.sweep)

    @torch.inference_mode()
    def _measure(self, part: str, read: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each network over a part, each ``[S]`` in float64."""
        stack, examples = len(self.state.schemes), len(self.parts[part][1])
        loss, correct = torch.zeros(2, stack, dtype=torch.float64, device=self.device)
        for outputs, y in self._outputs(part):
            logits = read(outputs)
            loss += cross_entropy(logits, y).double() * len(y)
            correct += (logits.argmax(-1) == y).sum(1)
        return loss / examples, correct / examples


def _shape(dataset: Dataset) -> Shape:
    """Size of a data set, from its arrays."""
    x = dataset.x_train
    stored = x.values().numel() * 12 if dataset.sparse else x.numel() * x.element_size()
    examples = len(dataset.y_train), len(dataset.y_test)
    return Shape(dataset.features, dataset.classes, *examples, stored / x.numel())
