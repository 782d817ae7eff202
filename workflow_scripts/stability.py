"""Compare the factors of the experiment on stability, alone and together, with the baseline."""

import argparse
from pathlib import Path

import pandas as pd

from kancore.analysis.stability import effects
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.tables import HISTORY, RUNS, STABILITY, read_table, write_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--history", type=Path, nargs=2, required=True, help="alone, together")
    parser.add_argument("--runs", type=Path, nargs=2, required=True, help="alone, together")
    parser.add_argument("--out", type=Path, required=True, help="table to write")
    parser.add_argument("--csv", type=Path, required=True, help="the table again, as CSV")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)
    history, runs = (
        pd.concat([read_table(path, schema) for path in paths], ignore_index=True)
        for paths, schema in ((args.history, HISTORY), (args.runs, RUNS))
    )
    table = effects(history, runs)
    write_table(args.out, table, STABILITY)
    write_atomically(args.csv, lambda part: table.to_csv(part, index=False))


if __name__ == "__main__":
    run_plainly(main)
