"""A training job: sweeps in turn, its progress for others to read, its history at the end."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from kancore.data.dataset import Dataset
from kancore.machine.files import write_atomically
from kancore.schemes import Sweep
from kancore.tables import sweep_key
from kancore.training import checkpoints
from kancore.training.loop import Training
from kancore.training.progress import position, progress

# Epochs of small data sets take milliseconds; nobody reads faster than this, in seconds.
_PERIOD = 1.0


class Job:
    """Sweeps that one process trains in turn, on one data set.

    Parameters
    ----------
    sweeps
        The sweeps; those with a warm start are trained by their `Sweep.stages`.
    folder
        Where checkpoints and ``progress.json`` go while the job runs.
    """

    def __init__(self, sweeps: Sequence[Sweep], folder: Path):
        self.sweeps = sweeps
        count = sum(len(sweep.stages()) for sweep in sweeps)
        self.checkpoints = [
            folder / ("checkpoint.pt" if count == 1 else f"checkpoint{number}.pt")
            for number in range(1, count + 1)
        ]
        self.progress = folder / "progress.json"
        self._written = float("-inf")

    def run(
        self,
        dataset: Dataset,
        device: torch.device | str,
        checkpoint_seconds: float,
        identity: str,
        should_stop: Callable[[], bool] = lambda: False,
        compiled: bool = False,
        memory_mb: int | None = None,
    ) -> Iterator[tuple[Training, list[dict]]]:
        """Train each sweep to its end; what a stopped job had finished is not trained again.

        Parameters
        ----------
        dataset, device, checkpoint_seconds, identity, should_stop, compiled, memory_mb
            As for `Training`.

        Yields
        ------
        Training, list of dict
            A finished sweep, or stage of one, and what its `Training.run` returned.

        Raises
        ------
        kancore.machine.interruption.Stopped
            If `should_stop` says so; called again, it goes on from the last checkpoint.
        """
        options = checkpoint_seconds, identity, should_stop, compiled
        stages = ((sweep, stage) for sweep in self.sweeps for stage in sweep.stages())
        before: Sweep | None = None
        training: Training | None = None
        for number, ((sweep, stage), checkpoint) in enumerate(
            zip(stages, self.checkpoints, strict=True), start=1
        ):
            start = training.state_dicts() if training and sweep is before else None
            training = Training(stage, dataset, device, checkpoint, *options, start, memory_mb)
            self._tell(number, training)
            rows = training.run(partial(self._report, number))
            if number < len(self.checkpoints):
                training.stacks.save()  # it has ended: a resumed job does not train it again
            before = sweep
            yield training, rows

    def _report(self, number: int, training: Training) -> None:
        progress(training)
        self._tell(number, training)

    def _tell(self, number: int, training: Training) -> None:
        """Write the progress of the job's sweep `number`, counted from 1, unless it is fresh."""
        if time.monotonic() - self._written < _PERIOD:
            return
        values = {"sweep": number, "sweeps": len(self.checkpoints), **position(training)}
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
        The study, the experiment, the protocol and the digest of the code.
    """
    common = {
        **origin,
        **sweep_key(training.sweep),
        "parameters": training.state.network.num_parameters,
        # Of sweeps that hold nothing out for validation.
        "validation_loss": None,
        "validation_accuracy": None,
    }
    return [{**common, **row} for row in rows]
