"""Judge the claims again by other choices than the declared ones."""

import argparse
from pathlib import Path

import pandas as pd

from kancore.claims.firmness import Material, firmness
from kancore.intrinsic_dimension.estimates import measured_complexity, paper_dimensions
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.tables import (
    FIRMNESS,
    HISTORY,
    INTRINSIC_DIMENSIONS,
    TIMINGS,
    read_table,
    write_table,
)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--histories", type=Path, nargs="+", required=True, help="grid, follow-ups")
    parser.add_argument("--timings", type=Path, required=True, help="table of the grid's sweeps")
    parser.add_argument("--dimensions", type=Path, required=True, help="published ones, CSV")
    parser.add_argument("--estimates", type=Path, required=True, help="table of dimensions")
    parser.add_argument("--out", type=Path, required=True, help="table to write")
    parser.add_argument("--csv", type=Path, required=True, help="the same, as CSV")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)
    grid, *follow_ups = [read_table(path, HISTORY) for path in args.histories]
    material = Material(
        histories=(grid, follow_ups[0] if follow_ups else grid.iloc[:0]),
        timings=read_table(args.timings, TIMINGS),
        dimensions=paper_dimensions(pd.read_csv(args.dimensions)),
        complexity=measured_complexity(read_table(args.estimates, INTRINSIC_DIMENSIONS)),
    )
    table = firmness(args.study, material)
    write_table(args.out, table, FIRMNESS)
    write_atomically(args.csv, lambda part: table.to_csv(part, index=False))


if __name__ == "__main__":
    run_plainly(main)
