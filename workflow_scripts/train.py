"""Train sweeps one after the other; a job that was stopped goes on from its checkpoints."""

import argparse
import json
from pathlib import Path

import torch

from kancore import networks, objectives
from kancore.data.dataset import load
from kancore.machine.devices import lease
from kancore.machine.files import run_plainly
from kancore.machine.interruption import resumable
from kancore.machine.memory import keep_freed_memory, last_words, usable_mb
from kancore.machine.provenance import check_code
from kancore.studies.jobs import Job
from kancore.tables import HISTORY, TIMINGS, write_table
from kancore.training import runner
from kancore.training.runner import history_rows
from kancore.training.timings import timing


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--job", type=json.loads, required=True, help="what to train, as JSON")
    parser.add_argument("--choice", type=Path, help="what is chosen for it, a JSON file")
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--memory-mb", type=int, required=True, help="memory that is planned for")
    parser.add_argument("--threads", type=int, default=1, help="threads on the CPU")
    parser.add_argument("--tf32", type=int, choices=[0, 1], help="products of 3 digits on a GPU")
    parser.add_argument("--compile", type=int, choices=[0, 1], help="compile the steps")
    parser.add_argument("--parent", type=int, required=True, help="process whose end ends this one")
    parser.add_argument("--checkpoint-seconds", type=int, default=60)
    parser.add_argument("--history", type=Path, required=True, help="table to write")
    parser.add_argument("--timings", type=Path, required=True, help="table to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    args = arguments()
    job = Job.from_dict(args.job)
    if args.choice:
        job = job.chosen(json.loads(args.choice.read_text()))
    sweeps = job.sweeps
    model, objective = sweeps[0].architecture.model, sweeps[0].objective
    modules = *networks.modules(model), objectives.MODULES[objective]
    check_code(__file__, args.code, *modules, device=args.device)
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = bool(args.tf32)
    keep_freed_memory()
    folder = args.history.parent
    run = runner.Job(sweeps, folder)
    origin = {"study": args.study, "experiment": job.label, "protocol": job.protocol}
    history, timings = [], []
    with (
        resumable(str(folder), folder / "job.lock", args.parent) as stop,
        lease(args.device, stop.check) as device,
    ):
        # Asked only now, when a process that did the same work before has ended.
        there = usable_mb()
        memory = min(args.memory_mb, there)
        options = args.checkpoint_seconds, args.code, stop, bool(args.compile), memory
        try:
            with last_words(there):
                for training, rows in run.run(load(args.data), device, *options):
                    history += history_rows(training, rows, **origin, code=args.code)
                    timings.append(timing(training, args.threads, **origin))
        except ValueError as error:
            name = f"{job.dataset}: "
            raise SystemExit(name + str(error).removeprefix(name)) from error
        write_table(args.history, history, HISTORY)
        write_table(args.timings, timings, TIMINGS)
    run.remove_traces()


if __name__ == "__main__":
    run_plainly(main)
