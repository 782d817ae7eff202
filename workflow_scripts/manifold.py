"""Estimate the intrinsic dimension of the manifold that a data set lies on."""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from kancore.data.dataset import load
from kancore.intrinsic_dimension.manifold import estimate_dimension
from kancore.machine.devices import lease
from kancore.machine.files import run_plainly
from kancore.machine.provenance import check_code
from kancore.tables import INTRINSIC_DIMENSIONS, write_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=1, help="threads on the CPU")
    parser.add_argument("--out", type=Path, required=True, help="table to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)
    torch.set_num_threads(args.threads)
    with lease(args.device) as device:
        try:
            dataset = load(args.data)
            estimates = estimate_dimension(dataset.x_train.to(device))
        except ValueError as error:
            raise SystemExit(f"{args.data}: {error}") from error
    rows = []
    for estimate in estimates:
        values = asdict(estimate)
        values["observations"] = values.pop("points")
        rows.append({"dataset": dataset.name, "source": "measured", **values})
    missing = dict.fromkeys(("study", "network", "parameters"))
    write_table(args.out, [{**missing, **row} for row in rows], INTRINSIC_DIMENSIONS)


if __name__ == "__main__":
    run_plainly(main)
