"""Compute the efficiency of all runs under every source of the intrinsic dimension."""

import argparse
from pathlib import Path

import pandas as pd

from kancore.analysis.efficiency import efficiency_by_source, rank_correlations
from kancore.intrinsic_dimension.estimates import dimensions_for_efficiency
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.tables import (
    EFFICIENCY,
    EFFICIENCY_RANKS,
    INTRINSIC_DIMENSIONS,
    RUNS,
    read_table,
    write_table,
)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="table of runs")
    parser.add_argument("--estimates", type=Path, required=True, help="table of dimensions")
    parser.add_argument("--published", type=Path, required=True, help="published figures, CSV")
    parser.add_argument("--efficiency", type=Path, required=True, help="table to write")
    parser.add_argument("--ranks", type=Path, required=True, help="table to write")
    parser.add_argument("--csv", type=Path, required=True, help="the ranks again, as CSV")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)

    runs = read_table(args.runs, RUNS)
    dimensions = dimensions_for_efficiency(
        read_table(args.estimates, INTRINSIC_DIMENSIONS),
        pd.read_csv(args.published),
        sorted(set(runs["dataset"])),
    )
    table = efficiency_by_source(runs, dimensions)
    ranks = rank_correlations(table)
    write_table(args.efficiency, table, EFFICIENCY)
    write_table(args.ranks, ranks, EFFICIENCY_RANKS)
    write_atomically(args.csv, lambda part: ranks.to_csv(part, index=False))


if __name__ == "__main__":
    run_plainly(main)
