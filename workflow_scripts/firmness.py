"""Judge the claims again by other choices than the declared ones."""

from pathlib import Path

import pandas as pd

from kancore.analysis.tables import FIRMNESS, INTRINSIC_DIMENSIONS
from kancore.claims.firmness import Material, firmness
from kancore.intrinsic_dimension.estimates import measured_complexity, paper_dimensions
from kancore.machine.program import program
from kancore.tables import HISTORY, TIMINGS, read_table, write_csv, write_table


def main(
    study: str,
    histories: list[Path],
    timings: Path,
    dimensions: Path,
    estimates: Path,
    out: Path,
    csv: Path,
) -> None:
    """Read what was measured, of the grid first, write verdicts by each choice, as CSV too."""
    grid, *follow_ups = [read_table(path, HISTORY) for path in histories]
    material = Material(
        histories=(grid, follow_ups[0] if follow_ups else grid.iloc[:0]),
        timings=read_table(timings, TIMINGS),
        dimensions=paper_dimensions(pd.read_csv(dimensions)),
        complexity=measured_complexity(read_table(estimates, INTRINSIC_DIMENSIONS)),
    )
    table = firmness(study, material)
    write_table(out, table, FIRMNESS)
    write_csv(csv, table)


if __name__ == "__main__":
    program(main)
