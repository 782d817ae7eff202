"""Compare the protocols of the audit: in accuracy, gap and efficiency, and in the claims."""

from pathlib import Path

import pandas as pd

from kancore.analysis.tables import AUDIT, RUNS
from kancore.claims import audit
from kancore.intrinsic_dimension.estimates import paper_dimensions
from kancore.machine.files import write_json
from kancore.machine.program import program
from kancore.studies.changes import audit_plan
from kancore.studies.study import Study
from kancore.tables import read_table, write_csv, write_table


def main(
    study: dict,
    runs: Path,
    published: Path,
    dimensions: Path,
    effects: Path,
    csv: Path,
    claims: Path,
) -> None:
    """Read the audit's runs, write the effects of protocols, as CSV too, and the verdicts."""
    protocols = audit.by_protocol(read_table(runs, RUNS), audit_plan(Study(**study)))
    found = audit.evidence(protocols, paper_dimensions(pd.read_csv(dimensions)))
    table = audit.effects(protocols, found)
    write_table(effects, table, AUDIT)
    write_csv(csv, table)
    write_json(claims, audit.verdicts(found, pd.read_csv(published)))


if __name__ == "__main__":
    program(main)
