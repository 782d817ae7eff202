"""Test the paper's claims on the runs of a study."""

from pathlib import Path

import pandas as pd

from kancore.analysis.tables import INTRINSIC_DIMENSIONS, RUNS, VERDICTS
from kancore.claims.comparisons import measured
from kancore.claims.declared import THRESHOLDS
from kancore.claims.own_models import compare
from kancore.claims.verdicts import judge, tabulate
from kancore.intrinsic_dimension.estimates import measured_complexity, paper_dimensions
from kancore.machine.files import write_json
from kancore.machine.program import program
from kancore.tables import TIMINGS, read_table, write_csv, write_table


def main(
    study: str,
    runs: Path,
    timings: Path,
    published: Path,
    dimensions: Path,
    estimates: Path,
    out: Path,
    table: Path,
    csv: Path,
    follow_ups: Path | None = None,
) -> None:
    """Read what was measured and published, write the verdicts as JSON and as tables."""
    grid = read_table(runs, RUNS)
    evidence = measured(
        grid,
        read_table(follow_ups, RUNS) if follow_ups else grid.iloc[:0],
        paper_dimensions(pd.read_csv(dimensions)),
        read_table(timings, TIMINGS),
        measured_complexity(read_table(estimates, INTRINSIC_DIMENSIONS)),
    )
    claims = judge(evidence, pd.read_csv(published))
    result = {"study": study, "thresholds": THRESHOLDS, "claims": claims}
    if own_models := compare(evidence):
        result["own_models"] = own_models
    write_json(out, result)
    tests = tabulate(study, claims)
    write_table(table, tests, VERDICTS)
    write_csv(csv, tests)


if __name__ == "__main__":
    program(main)
