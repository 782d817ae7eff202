"""Test the paper's claims on the runs of a study, and by other choices than the declared ones."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from kancore.analysis.tables import FIRMNESS, INTRINSIC_DIMENSIONS, RUNS, VERDICTS
from kancore.claims.choices import changed
from kancore.claims.comparisons import measured
from kancore.claims.declared import THRESHOLDS
from kancore.claims.firmness import Material, firmness
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
    tables: Sequence[Path],
    csv: Sequence[Path],
    histories: list[Path],
    follow_ups: Path | None = None,
) -> None:
    """Read what was measured, of the grid first, and published; write verdicts, and how firm.

    Parameters
    ----------
    tables
        Tables of verdicts and of firmness, with each as `csv` too.
    """
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
    other = changed(evidence, material.choices())
    claims = judge(evidence, pd.read_csv(published), other=other)
    result = {"study": study, "thresholds": THRESHOLDS, "claims": claims}
    if own_models := compare(evidence):
        result["own_models"] = own_models
    write_json(out, result)
    found = tabulate(study, claims), firmness(study, evidence, other)
    for table, schema, target, text in zip(found, (VERDICTS, FIRMNESS), tables, csv, strict=True):
        write_table(target, table, schema)
        write_csv(text, table)


if __name__ == "__main__":
    program(main)
