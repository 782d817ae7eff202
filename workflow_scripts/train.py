"""Train the sweeps of a job in turn; one that was stopped goes on from its checkpoints."""

from pathlib import Path
from typing import Literal

import torch

from kancore import objectives
from kancore.data.dataset import load
from kancore.machine.devices import lease
from kancore.machine.files import read_json
from kancore.machine.interruption import resumable
from kancore.machine.last_words import last_words
from kancore.machine.memory import usable_mb
from kancore.machine.processor import prepare_process
from kancore.machine.program import program
from kancore.networks import modules as modules_of
from kancore.studies.jobs import Job
from kancore.tables import HISTORY, TIMINGS, write_table
from kancore.training.runner import Runner, history_rows
from kancore.training.stored import described, write_networks
from kancore.training.timings import timing


def main(
    study: str,
    job: dict,
    data: Path,
    device: Literal["auto", "cpu", "cuda"],
    memory_mb: int,
    threads: int,
    tf32: Literal[0, 1],
    compile: Literal[0, 1],
    parent: int,
    checkpoint_seconds: int,
    history: Path,
    timings: Path,
    keep: Literal["best", "all", "none"],
    code: str,
    choice: Path | None = None,
) -> None:
    """Train, write the evaluations, the times and the best networks of all sweeps.

    Parameters
    ----------
    choice
        What is chosen for the job, a JSON file.
    memory_mb
        Memory that is planned for.
    keep
        Which networks of the grid are kept as they were at their best evaluation.
    tf32
        Products of 3 digits on a GPU.
    compile
        Compile the steps.
    parent
        Process whose end ends this one.
    """
    planned = Job.from_dict(job)
    if choice is not None:
        planned = planned.chosen(read_json(choice))
    prepare_process(threads)
    torch.backends.cuda.matmul.allow_tf32 = bool(tf32)
    folder = history.parent
    runner = Runner(planned.sweeps, folder)
    origin = {"study": study, "experiment": planned.label, "protocol": planned.protocol}
    evaluations, times, kept = [], [], []
    with (
        resumable(str(folder), folder / "job.lock", parent) as stop,
        lease(device, stop.check) as leased,
    ):
        # Asked only now, when a process that did the same work before has ended.
        there = usable_mb()
        options = checkpoint_seconds, code, stop, bool(compile), min(memory_mb, there)
        try:
            with last_words(there):
                dataset = load(data)
                kept_here = keep if planned.experiment == "grid" else "none"
                for training, rows in runner.run(dataset, leased, *options, kept_here):
                    evaluations += history_rows(training, rows, **origin, code=code)
                    times.append(timing(training, threads, **origin))
                    kept += described(training, dataset, **origin, code=code)
        except ValueError as error:
            name = f"{planned.dataset}: "
            raise SystemExit(name + str(error).removeprefix(name)) from error
        write_table(history, evaluations, HISTORY)
        write_table(timings, times, TIMINGS)
        if keep != "none":
            write_networks(folder / f"networks.{keep}.safetensors", kept)
    runner.remove_traces()


def modules(job: dict) -> tuple[str, ...]:
    """Modules of the job's model and objective, and optimizers or initializations of one's own."""
    sweep = Job.from_dict(job).sweeps[0]
    model = sweep.architecture.model
    return *modules_of(model), *sweep.own, objectives.MODULES[sweep.objective]


if __name__ == "__main__":
    program(main, modules)
