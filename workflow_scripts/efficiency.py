"""Compute the efficiency of all runs under every source of the intrinsic dimension."""

from pathlib import Path

import pandas as pd

from kancore.analysis.efficiency import efficiency_by_source, rank_correlations
from kancore.analysis.tables import EFFICIENCY, EFFICIENCY_RANKS, INTRINSIC_DIMENSIONS, RUNS
from kancore.intrinsic_dimension.estimates import dimensions_for_efficiency
from kancore.machine.program import program
from kancore.tables import read_table, write_csv, write_table


def main(
    runs: Path, estimates: Path, published: Path, efficiency: Path, ranks: Path, csv: Path
) -> None:
    """Read runs and dimensions, write efficiencies, and how their ranks correlate, as CSV too."""
    table = read_table(runs, RUNS)
    dimensions = dimensions_for_efficiency(
        read_table(estimates, INTRINSIC_DIMENSIONS),
        pd.read_csv(published),
        sorted(set(table["dataset"])),
    )
    by_source = efficiency_by_source(table, dimensions)
    correlations = rank_correlations(by_source)
    write_table(efficiency, by_source, EFFICIENCY)
    write_table(ranks, correlations, EFFICIENCY_RANKS)
    write_csv(csv, correlations)


if __name__ == "__main__":
    program(main)
