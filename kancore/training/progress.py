"""How far a job is: a line for a person, and a file for whoever asks (`kancore.status`)."""

import json
import sys
import time
from pathlib import Path
from typing import TextIO

from kancore.machine.files import write_atomically
from kancore.training.loop import Training

# Epochs of small data sets take milliseconds; nobody reads faster than this, in seconds.
_PERIOD = 1.0


class Progress:
    """Tells how far a job is that trains one sweep, or stack of a landscape, after the other.

    Parameters
    ----------
    path
        The file, ``progress.json`` in the job's folder.
    sweeps
        How many there are; of a landscape, at most.
    """

    def __init__(self, path: Path, sweeps: int):
        self._path, self._sweeps, self._number = path, sweeps, 0
        self._training: Training | None = None
        self._written = float("-inf")

    def report(self, training: Training) -> None:
        """Tell of a sweep after an epoch."""
        progress(training)
        self.write(training)

    def write(self, training: Training) -> None:
        """Write the file, unless it is fresh."""
        if training is not self._training:
            self._training, self._number = training, self._number + 1
        if time.monotonic() - self._written < _PERIOD:
            return
        values = {"sweep": self._number, "sweeps": self._sweeps, **position(training)}
        text = json.dumps({**values, "written": time.time()})
        write_atomically(self._path, lambda part: part.write_text(text))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove the file, of a job that has ended."""
        self._path.unlink(missing_ok=True)


def position(training: Training) -> dict[str, float | None]:
    """Say in numbers how far a sweep is.

    Returns
    -------
    dict
        ``epoch`` of ``epochs``, ``schemes`` that still train, ``steps_per_second``,
        ``best_accuracy`` on validation data, on test data without any, ``None`` before the first
        evaluation, and ``seconds_left``, ``None`` in the first epoch. Steps are those of all
        schemes side by side: where they train in parts, a part's steps count by its share of the
        schemes.
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
        "best_accuracy": max((row.get(chosen) or 0.0 for row in state.rows), default=None),
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
    best = "-" if at["best_accuracy"] is None else f"{at['best_accuracy']:.4f}"
    line = (
        f"epoch {at['epoch']}/{at['epochs']}  {at['schemes']} schemes  "
        f"{at['steps_per_second']:.1f} steps/s  "
        f"best {_chosen_on(training)} accuracy {best}  "
        f"{at['seconds_left']:.0f} s left"
    )
    end = "\n" if not stream.isatty() or at["epoch"] == at["epochs"] else ""
    print(f"\r{line}\x1b[K" if stream.isatty() else line, end=end, file=stream, flush=True)
