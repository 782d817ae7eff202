"""A training job: sweeps in turn, its progress for others to read, its history at the end."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from kancore.data.dataset import Dataset
from kancore.schemes import Keep, Sweep
from kancore.tables import sweep_key
from kancore.training import checkpoints
from kancore.training.loop import Training
from kancore.training.progress import Progress


class Runner:
    """Trains the sweeps of a job in turn, on one data set.

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
        self.progress = Progress(folder / "progress.json", count)

    def run(
        self,
        dataset: Dataset,
        device: torch.device | str,
        checkpoint_seconds: float,
        identity: str,
        should_stop: Callable[[], bool] = lambda: False,
        compiled: bool = False,
        memory_mb: int | None = None,
        keep: Keep = "none",
    ) -> Iterator[tuple[Training, list[dict]]]:
        """Train each sweep to its end; what a stopped job had finished is not trained again.

        Parameters
        ----------
        dataset, device, checkpoint_seconds, identity, should_stop, compiled, memory_mb, keep
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
        for (sweep, stage), checkpoint in zip(stages, self.checkpoints, strict=True):
            start = training.state_dicts() if training and sweep is before else None
            more = start, memory_mb, keep
            training = Training(stage, dataset, device, checkpoint, *options, *more)
            self.progress.write(training)
            rows = training.run(self.progress.report)
            if checkpoint != self.checkpoints[-1]:
                training.stacks.save()  # it has ended: a resumed job does not train it again
            before = sweep
            yield training, rows

    def remove_traces(self) -> None:
        """Remove what only a job that still runs, or goes on, needs."""
        for path in self.checkpoints:
            checkpoints.remove(path)
        self.progress.remove()


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
