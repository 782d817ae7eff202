"""Train all schemes of a sweep; a job that was stopped goes on from its checkpoint."""

import argparse
import json
from pathlib import Path

import torch

from kancore import checkpoints, networks, objectives
from kancore.data import load
from kancore.devices import lease
from kancore.files import run_plainly
from kancore.interruption import resumable
from kancore.memory import keep_freed_memory
from kancore.progress import progress
from kancore.provenance import check_code
from kancore.schemes import Sweep
from kancore.tables import HISTORY, TIMINGS, sweep_key, write_table
from kancore.timings import timing
from kancore.training import Training


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--sweep", type=json.loads, required=True, help="the sweep, as JSON")
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1, help="threads on the CPU")
    parser.add_argument("--tf32", type=int, choices=[0, 1], help="products of 3 digits on a GPU")
    parser.add_argument("--compile", type=int, choices=[0, 1], help="compile the steps")
    parser.add_argument("--checkpoint-seconds", type=int, default=60)
    parser.add_argument("--history", type=Path, required=True, help="table to write")
    parser.add_argument("--timings", type=Path, required=True, help="table to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    args = arguments()
    sweep = Sweep.from_dict(args.sweep)
    modules = networks.MODULES[sweep.architecture.model], objectives.MODULES[sweep.objective]
    check_code(__file__, args.code, *modules)
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = bool(args.tf32)
    keep_freed_memory()
    checkpoint = args.history.with_name("checkpoint.pt")
    with (
        resumable(sweep.name, checkpoint.with_suffix(".lock")) as stop,
        lease(args.device) as device,
    ):
        options = checkpoint, args.checkpoint_seconds, args.code, stop, bool(args.compile)
        try:
            training = Training(sweep, load(args.data), device, *options)
        except ValueError as error:
            name = f"{sweep.dataset}: "
            raise SystemExit(name + str(error).removeprefix(name)) from error
        rows = training.run(progress)
        key = {"study": args.study, **sweep_key(sweep)}
        origin = {"parameters": training.state.network.num_parameters, "code": args.code}
        write_table(args.history, [{**key, **row, **origin} for row in rows], HISTORY)
        write_table(args.timings, [timing(training, args.study, args.threads)], TIMINGS)
    checkpoints.remove(checkpoint)


if __name__ == "__main__":
    run_plainly(main)
