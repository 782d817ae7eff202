"""Make the prepared form of a data set."""

import argparse
import json
from pathlib import Path

from kancore.data import save, summary
from kancore.data.registry import dataset_module
from kancore.files import write_atomically
from kancore.provenance import check_code


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of the data set")
    parser.add_argument("--raw", type=Path, help="folder of its raw files, if it has any")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--summary", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code, f"kancore.data.{args.dataset}")
    dataset = dataset_module(args.dataset).prepare(args.raw)
    save(args.out, dataset)
    text = json.dumps(summary(dataset), indent=2) + "\n"
    write_atomically(args.summary, lambda part: part.write_text(text))


if __name__ == "__main__":
    main()
