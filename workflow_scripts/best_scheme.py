"""Choose the scheme of the follow-up experiments on a data set."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from kancore.analysis.statistics import best_kan_scheme
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.tables import RUNS, read_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="table of the grid's runs")
    parser.add_argument("--dataset", required=True, help="name of the data set")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)
    scheme = best_kan_scheme(read_table(args.runs, RUNS), args.dataset)
    text = json.dumps(asdict(scheme), indent=2) + "\n"
    write_atomically(args.out, lambda part: part.write_text(text))


if __name__ == "__main__":
    run_plainly(main)
