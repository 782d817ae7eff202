"""Compare the protocols of the audit: in accuracy, gap and efficiency, and in the claims."""

import argparse
import json
from pathlib import Path

import pandas as pd

from kancore.claims.audit import by_protocol, effects, evidence, verdicts
from kancore.claims.comparisons import published
from kancore.intrinsic_dimension.estimates import paper_dimensions
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.studies.changes import audit_plan
from kancore.studies.study import Study
from kancore.tables import AUDIT, RUNS, read_table, write_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--runs", type=Path, required=True, help="table of the audit's runs")
    parser.add_argument("--published", type=Path, required=True, help="published figures, CSV")
    parser.add_argument("--dimensions", type=Path, required=True, help="published ones, CSV")
    parser.add_argument("--effects", type=Path, required=True, help="table to write")
    parser.add_argument("--csv", type=Path, required=True, help="the effects again, as CSV")
    parser.add_argument("--claims", type=Path, required=True, help="verdicts to write, JSON")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)
    runs = by_protocol(read_table(args.runs, RUNS), audit_plan(Study(**args.study)))
    found = evidence(runs, paper_dimensions(pd.read_csv(args.dimensions)))
    table = effects(runs, found)
    write_table(args.effects, table, AUDIT)
    write_atomically(args.csv, lambda part: table.to_csv(part, index=False))
    judged = verdicts(found, published(pd.read_csv(args.published)))
    text = json.dumps(judged, indent=2, allow_nan=False) + "\n"
    write_atomically(args.claims, lambda part: part.write_text(text))


if __name__ == "__main__":
    run_plainly(main)
