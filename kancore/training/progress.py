"""How far a sweep is: in numbers, and as a line for a person."""

import sys
from typing import TextIO

from kancore.training.loop import Training


def position(training: Training) -> dict[str, float | None]:
    """Say in numbers how far a sweep is.

    Returns
    -------
    dict
        ``epoch`` of ``epochs``, ``schemes`` that still train, ``steps_per_second``,
        ``best_accuracy`` on validation data, on test data without any, and ``seconds_left``,
        ``None`` in the first epoch. Steps are those of all schemes side by side: where they train
        in parts, a part's steps count by its share of the schemes.
    """
    state, sweep = training.state, training.sweep
    epoch, steps = state.step // training.steps_per_epoch, sweep.epochs * training.steps_per_epoch
    done = training.stacks.steps_done(steps)
    chosen = f"{_chosen_on(training)}_accuracy"
    return {
        "epoch": epoch,
        "epochs": sweep.epochs,
        "schemes": len(state.schemes),
        "steps_per_second": done / max(state.clock.training, 1e-9),
        "best_accuracy": max((row.get(chosen) or 0.0 for row in state.rows), default=0.0),
        "seconds_left": state.clock.total / done * (steps - done) if epoch else None,
    }


def _chosen_on(training: Training) -> str:
    """Name the part that the best epoch is chosen on."""
    return "validation" if training.sweep.validation_fraction else "test"


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
    at = position(training)
    rows = training.state.rows
    evaluated = bool(rows) and rows[-1]["epoch"] == at["epoch"]
    if not (evaluated or stream.isatty()):
        return
    line = (
        f"epoch {at['epoch']}/{at['epochs']}  {at['schemes']} schemes  "
        f"{at['steps_per_second']:.1f} steps/s  "
        f"best {_chosen_on(training)} accuracy {at['best_accuracy']:.4f}  "
        f"{at['seconds_left']:.0f} s left"
    )
    end = "\n" if not stream.isatty() or at["epoch"] == at["epochs"] else ""
    print(f"\r{line}\x1b[K" if stream.isatty() else line, end=end, file=stream, flush=True)
