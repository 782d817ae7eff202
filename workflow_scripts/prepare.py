"""Make the prepared form of a data set."""

import argparse
import json
from pathlib import Path

from kancore.data import dataset_module
from kancore.data.dataset import save, summary
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of the data set, or own")
    parser.add_argument("--raw", type=Path, help="folder of its raw files, or its own file")
    parser.add_argument("--options", type=json.loads, default={}, help="options, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--summary", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code, f"kancore.data.{args.dataset}")
    try:
        dataset = dataset_module(args.dataset).prepare(args.raw, **args.options)
    except ValueError as error:
        raise SystemExit(f"{error}") from error
    save(args.out, dataset)
    text = json.dumps(summary(dataset), indent=2) + "\n"
    write_atomically(args.summary, lambda part: part.write_text(text))


if __name__ == "__main__":
    run_plainly(main)
