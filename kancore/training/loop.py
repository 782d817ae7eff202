"""The training loop: all schemes of a sweep as one stacked program."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from kancore.networks.network import random_generator
from kancore.training.evaluation import evaluate
from kancore.training.gradients import losses_and_gradients
from kancore.training.kept import keep_best
from kancore.training.optimizers import StackedOptimizer, rate_factor
from kancore.training.setup import Setup

# Examples that grids are moved by.
GRID_EXAMPLES = 1024


class Training(Setup):
    """Train all schemes of one sweep; the parameters are those of `Setup`."""

    def run(self, report: Callable[["Training"], None] | None = None) -> list[dict]:
        """Train to the end, and evaluate every `evaluate_every` epochs and at the end.

        Parameters
        ----------
        report
            Called after each epoch.

        Returns
        -------
        list of dict
            One row an evaluation and scheme, as `kancore.training.evaluation.evaluate` gives them.
        """
        self.stacks.train(partial(self._train, report))
        # Stable: where stacks were trained in turn, this is the order of a single one.
        return sorted(self.state.rows, key=lambda row: row["epoch"])

    def _train(self, report: Callable[["Training"], None] | None) -> None:
        """Train the stack at hand to its end, from wherever its last checkpoint left it."""
        sweep, splits, state, clock = self.sweep, self.splits, self.state, self.state.clock
        while state.schemes and state.step < sweep.epochs * self.steps_per_epoch:
            clock.lap()
            epoch, begun = divmod(state.step, self.steps_per_epoch)
            for chunk in state.chunks:
                chunk.train()
            for x, y in splits.training_batches(epoch, begun):
                self._save_if_due()  # not after the last step: an evaluation would be skipped
                self.step(x, y)
                clock.training += clock.lap()
            if epoch == 0 and sweep.architecture.moving_grid:
                state.network.eval()
                inputs, _ = splits.first(GRID_EXAMPLES)
                state.network.move_grids(inputs)
                clock.training += clock.lap()
            if self._evaluates_after(epoch + 1):
                rows, readout = evaluate(state, splits, sweep, self.objective, self.should_stop)
                state.rows += rows
                keep_best(state, rows, self.keep, readout)
                state.keep([index for index, row in enumerate(rows) if self._goes_on(row)])
                state.loss.zero_()
                clock.evaluation += clock.lap()
            if report is not None:
                report(self)

    def step(self, x: Tensor, y: Tensor) -> None:
        """Update all networks on a batch of the training split."""
        state = self.state
        self._seed_masks()
        self._set_rates()
        losses, gradients = losses_and_gradients(self.losses, state, x, y, self.sweep)
        state.optimizer.step(gradients)
        state.loss += losses
        state.step += 1

    def _evaluates_after(self, epoch: int) -> bool:
        since = epoch - (self.sweep.first_evaluation or self.sweep.evaluate_every)
        return epoch == self.sweep.epochs or (since >= 0 and since % self.sweep.evaluate_every == 0)

    def _goes_on(self, row: dict) -> bool:
        """Tell whether a network is trained further, by the row of its last evaluation."""
        return not row["diverged"]

    def _seed_masks(self) -> None:
        """Seed the device's own generator, which draws masks; each step, so that they resume."""
        if self.sweep.architecture.dropout or self.sweep.architecture.own:
            random_generator(self.device).manual_seed(self.splits.seed("masks", self.state.step))

    def _set_rates(self) -> None:
        """Set the learning rates of the next step, where they change."""
        sweep, each = self.sweep, self.steps_per_epoch
        if sweep.warmup_epochs or sweep.rate_decay:
            warmup, steps = sweep.warmup_epochs * each, sweep.epochs * each
            factor = rate_factor(self.state.step, steps, warmup, sweep.rate_decay)
            optimizer = self.state.optimizer
            assert isinstance(optimizer, StackedOptimizer)  # no other rates change
            optimizer.scale_rates(factor)
