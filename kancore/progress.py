"""A line that says how far a sweep is."""

import sys
from typing import TextIO

from kancore.training import Training


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
