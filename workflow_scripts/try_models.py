"""Try networks of the user's own: whether they can be trained, and what they need."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from kancore.machine.files import run_plainly
from kancore.networks.own import load, measure


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models", type=json.loads, required=True, help="pairs of a model and widths, as JSON"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    try:
        for model, widths in args.models:
            if widths:
                found.append(asdict(measure(model, widths)))
            else:  # nothing is known of its data
                load(model)
                found.append(None)
    except ValueError as error:
        # In one line, which is all that is read of it.
        raise SystemExit(" ".join(str(error).split())) from error
    args.out.write_text(json.dumps(found))


if __name__ == "__main__":
    run_plainly(main)
