"""Train a network in random subspaces; a job that was stopped goes on from its checkpoints."""

import argparse
import json
from pathlib import Path

import torch

from kancore import networks
from kancore.data.dataset import load
from kancore.intrinsic_dimension.landscape import measure_landscape
from kancore.intrinsic_dimension.subspaces import Landscape
from kancore.machine.devices import lease
from kancore.machine.files import run_plainly
from kancore.machine.interruption import resumable
from kancore.machine.memory import keep_freed_memory
from kancore.machine.provenance import check_code
from kancore.tables import LANDSCAPES, write_table
from kancore.training import checkpoints
from kancore.training.progress import progress


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--landscape", type=json.loads, required=True, help="as JSON")
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1, help="threads on the CPU")
    parser.add_argument("--parent", type=int, required=True, help="process whose end ends this one")
    parser.add_argument("--checkpoint-seconds", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True, help="table to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    landscape = Landscape.from_dict(args.landscape)
    modules = networks.modules(landscape.architecture.model)
    check_code(__file__, args.code, *modules, device=args.device)
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    folder = args.out.parent
    with (
        resumable(landscape.name, folder / "job.lock", args.parent) as stop,
        lease(args.device, stop.check) as device,
    ):
        try:
            rows = measure_landscape(
                landscape,
                load(args.data),
                device,
                folder,
                args.checkpoint_seconds,
                args.code,
                progress,
                stop,
            )
        except ValueError as error:
            raise SystemExit(f"{landscape.dataset}: {error}") from error
    key = {
        "study": args.study,
        "dataset": landscape.dataset,
        "network": landscape.architecture.name,
        "projection": landscape.projection,
        "seed": landscape.seed,
        "source": "measured",
        "code": args.code,
    }
    write_table(args.out, [{**key, **row} for row in rows], LANDSCAPES)
    for number in range(landscape.refinements + 1):
        checkpoints.remove(folder / f"checkpoint{number}.pt")


if __name__ == "__main__":
    run_plainly(main)
