"""Test the paper's claims on the runs of a study."""

from pathlib import Path

import pandas as pd

from kancore.analysis.tables import INTRINSIC_DIMENSIONS, RUNS, VERDICTS
from kancore.claims.comparisons import measured
from kancore.claims.declared import THRESHOLDS
from kancore.claims.firmness import Material
from kancore.claims.own_models import compare
from kancore.claims.verdicts import judge, tabulate
from kancore.intrinsic_dimension.estimates import measured_complexity, paper_dimensions
from kancore.machine.files import write_json
from kancore.machine.program import program
from kancore.tables import HISTORY, TIMINGS, read_table, write_csv, write_table


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
    histories: list[Path],
    follow_ups: Path | None = None,
) -> None:
    """Read what was measured, of the grid first, and published; write the verdicts."""
    grid = read_table(runs, RUNS)
    evaluated, *others = [read_table(path, HISTORY) for path in histories]
    known = {
        "dimensions": paper_dimensions(pd.read_csv(dimensions)),
        "timings": read_table(timings, TIMINGS),
        "complexity": measured_complexity(read_table(estimates, INTRINSIC_DIMENSIONS)),
    }
    evidence = measured(
        grid, read_table(follow_ups, RUNS) if follow_ups else grid.iloc[:0], **known
    )
    material = Material((evaluated, others[0] if others else evaluated.iloc[:0]), **known)
    claims = judge(evidence, pd.read_csv(published), more=material.choices())
    result = {"study": study, "thresholds": THRESHOLDS, "claims": claims}
    if own_models := compare(evidence):
        result["own_models"] = own_models
    write_json(out, result)
    tests = tabulate(study, claims)
    write_table(table, tests, VERDICTS)
    write_csv(csv, tests)


if __name__ == "__main__":
    program(main)
