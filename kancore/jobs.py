"""A training job: sweeps in turn, its progress for others to read, its history at the end."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from kancore import checkpoints
from kancore.data import Dataset
from kancore.files import write_atomically
from kancore.schemes import Sweep
from kancore.tables import sweep_key
from kancore.training import Training

# Epochs of small data sets take milliseconds; nobody reads faster than this, in seconds.
_PERIOD = 1.0


class Job:
    """Sweeps that one process trains in turn, on one data set.

    Parameters
    ----------
    sweeps
        The sweeps.
    folder
        Where checkpoints and ``progress.json`` go while the job runs.
    """

    def __init__(self, sweeps: Sequence[Sweep], folder: Path):
        self.sweeps = sweeps
        self.checkpoints = [
            folder / ("checkpoint.pt" if len(sweeps) == 1 else f"checkpoint{number}.pt")
            for number in range(1, len(sweeps) + 1)
        ]
        self.progress = folder / "progress.json"
        self._written = float("-inf")

    def run(
        self, dataset: Dataset, device: str, checkpoint_seconds: float, identity: str
    ) -> Iterator[tuple[Training, list[dict]]]:
        """Train each sweep to its end; what a stopped job had finished is not trained again.

        Parameters
        ----------
        dataset, device, checkpoint_seconds, identity
            As for `Training`.

        Yields
        ------
        Training, list of dict
            A finished sweep and what its `Training.run` returned.
        """
        for number, (sweep, checkpoint) in enumerate(
            zip(self.sweeps, self.checkpoints, strict=True), start=1
        ):
            training = Training(sweep, dataset, device, checkpoint, checkpoint_seconds, identity)
            self._tell(number, training)
            rows = training.run(lambda training, number=number: self._report(number, training))
            # Of a stack that has diverged nothing is left to save.
            if number < len(self.sweeps) and training.state.optimizer.schemes:
                training.stacks.save()
            yield training, rows

    def _report(self, number: int, training: Training) -> None:
        progress(training)
        self._tell(number, training)

    def _tell(self, number: int, training: Training) -> None:
        """Write the progress of the job's sweep `number`, counted from 1, unless it is fresh."""
        if time.monotonic() - self._written < _PERIOD:
            return
        values = {"sweep": number, "sweeps": len(self.sweeps), **position(training)}
        text = json.dumps({**values, "written": time.time()})
        write_atomically(self.progress, lambda part: part.write_text(text))
        self._written = time.monotonic()

    def remove_traces(self) -> None:
        """Remove what only a job that still runs, or goes on, needs."""
        for path in self.checkpoints:
            checkpoints.remove(path)
        self.progress.unlink(missing_ok=True)


def history_rows(training: Training, rows: list[dict], **origin: Any) -> list[dict]:
    """Rows of `kancore.tables.HISTORY` for a finished sweep.

    Parameters
    ----------
    training, rows
        The sweep and what its `Training.run` returned.
    **origin
        The study, the experiment and the digest of the code.
    """
    common = {
        **origin,
        **sweep_key(training.sweep),
        "parameters": training.state.network.num_parameters,
    }
    return [{**common, **row} for row in rows]


def position(training: Training) -> dict[str, float | None]:
    """Say in numbers how far a sweep is.

    Returns
    -------
    dict
        ``epoch`` of ``epochs``, ``schemes`` that still train, ``steps_per_second``,
        ``best_accuracy`` on validation data and ``seconds_left``, ``None`` in the first epoch.
    """
    state, sweep = training.state, training.sweep
    epoch = state.step // training.steps_per_epoch
    return {
        "epoch": epoch,
        "epochs": sweep.epochs,
        "schemes": len(state.optimizer.schemes),
        "steps_per_second": state.step / max(state.clock.training, 1e-9),
        "best_accuracy": max(
            (row.get("validation_accuracy") or 0.0 for row in state.rows), default=0.0
        ),
        "seconds_left": state.clock.total / epoch * (sweep.epochs - epoch) if epoch else None,
    }


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
        f"best validation accuracy {at['best_accuracy']:.4f}  {at['seconds_left']:.0f} s left"
    )
    end = "\n" if not stream.isatty() or at["epoch"] == at["epochs"] else ""
    print(f"\r{line}\x1b[K" if stream.isatty() else line, end=end, file=stream, flush=True)
