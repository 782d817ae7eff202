"""Train all schemes of a sweep; a job that was stopped goes on from its checkpoint."""

import argparse
import json
import platform
from pathlib import Path

import torch

import kancore
from kancore import checkpoints, networks, objectives
from kancore.data import load
from kancore.provenance import check_code, git_revision
from kancore.schemes import Sweep
from kancore.tables import HISTORY, TIMINGS, sweep_key, write_table
from kancore.training import Training, progress


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--sweep", type=json.loads, required=True, help="the sweep, as JSON")
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1, help="threads on the CPU")
    parser.add_argument("--checkpoint-seconds", type=int, default=60)
    parser.add_argument("--history", type=Path, required=True, help="table to write")
    parser.add_argument("--timings", type=Path, required=True, help="table to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    return parser.parse_args()


def device_name(device: str) -> str:
    """Name of the GPU, or the CPU's kind and widest vectors."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def main() -> None:
    """Run the command line."""
    args = arguments()
    sweep = Sweep.from_dict(args.sweep)
    modules = networks.MODULES[sweep.architecture.model], objectives.MODULES[sweep.objective]
    check_code(__file__, args.code, *modules)
    torch.set_num_threads(args.threads)
    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint = args.history.with_name("checkpoint.pt")
    try:
        dataset = load(args.data)
        training = Training(sweep, dataset, device, checkpoint, args.checkpoint_seconds, args.code)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{sweep.dataset}: {error}") from error
    rows = training.run(progress)

    key = {"study": args.study, **sweep_key(sweep)}
    origin = {"parameters": training.state.network.num_parameters, "code": args.code}
    write_table(args.history, [{**key, **row, **origin} for row in rows], HISTORY)
    clock = training.state.clock
    timing = {
        "study": args.study,
        "sweep": sweep.name,
        "schemes": len(sweep.schemes),
        "steps": training.state.step,
        "epochs": training.state.step // training.steps_per_epoch,
        "seconds": clock.total,
        "training_seconds": clock.training,
        "evaluation_seconds": clock.evaluation,
        "resumes": clock.resumes,
        "device": device_name(device),
        "threads": args.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "kancore": kancore.__version__,
        "git_revision": git_revision(),
    }
    write_table(args.timings, [timing], TIMINGS)
    checkpoints.remove(checkpoint)


if __name__ == "__main__":
    main()
