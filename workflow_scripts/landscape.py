"""Train a network in random subspaces; a job that was stopped goes on from its checkpoints."""

from pathlib import Path
from typing import Literal

from kancore import networks
from kancore.data.dataset import load
from kancore.intrinsic_dimension.landscape import measure_landscape
from kancore.intrinsic_dimension.subspaces import Landscape
from kancore.machine.devices import lease
from kancore.machine.interruption import resumable
from kancore.machine.last_words import last_words
from kancore.machine.memory import usable_mb
from kancore.machine.processor import prepare_process
from kancore.machine.program import program
from kancore.tables import LANDSCAPES, write_table
from kancore.training import checkpoints
from kancore.training.progress import Progress


def main(
    study: str,
    landscape: dict,
    data: Path,
    device: Literal["auto", "cpu", "cuda"],
    threads: int,
    parent: int,
    checkpoint_seconds: int,
    out: Path,
    code: str,
) -> None:
    """Train it in subspaces of more and more dimensions, write what each reached.

    Parameters
    ----------
    parent
        Process whose end ends this one.
    """
    planned = Landscape.from_dict(landscape)
    prepare_process(threads)
    folder = out.parent
    progress = Progress(folder / "progress.json", planned.refinements + 1)
    with (
        resumable(planned.name, folder / "job.lock", parent) as stop,
        lease(device, stop.check) as leased,
        last_words(usable_mb()),
    ):
        try:
            rows = measure_landscape(
                planned,
                load(data),
                leased,
                folder,
                checkpoint_seconds,
                code,
                progress.report,
                stop,
            )
        except ValueError as error:
            raise SystemExit(f"{planned.dataset}: {error}") from error
    key = {
        "study": study,
        "dataset": planned.dataset,
        "network": planned.architecture.name,
        "projection": planned.projection,
        "seed": planned.seed,
        "source": "measured",
        "code": code,
    }
    write_table(out, [{**key, **row} for row in rows], LANDSCAPES)
    for number in range(planned.refinements + 1):
        checkpoints.remove(folder / f"checkpoint{number}.pt")
    progress.remove()


if __name__ == "__main__":
    program(main, lambda landscape: networks.modules(landscape["architecture"]["model"]))
