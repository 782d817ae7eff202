"""Test the paper's claims on the runs of a study."""

import argparse
import json
from pathlib import Path

import pandas as pd

from kancore.claims.comparisons import measured, published
from kancore.claims.declared import THRESHOLDS
from kancore.claims.own_models import compare
from kancore.claims.verdicts import judge
from kancore.intrinsic_dimension.estimates import measured_complexity, paper_dimensions
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.tables import INTRINSIC_DIMENSIONS, RUNS, TIMINGS, read_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--runs", type=Path, required=True, help="table of the grid's runs")
    parser.add_argument("--follow-ups", type=Path, help="table of the follow-ups' runs")
    parser.add_argument("--timings", type=Path, required=True, help="table of the grid's sweeps")
    parser.add_argument("--published", type=Path, required=True, help="published figures, CSV")
    parser.add_argument("--dimensions", type=Path, required=True, help="published ones, CSV")
    parser.add_argument("--estimates", type=Path, required=True, help="table of dimensions")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)
    runs = read_table(args.runs, RUNS)
    follow_ups = read_table(args.follow_ups, RUNS) if args.follow_ups else runs.iloc[:0]
    dimensions = paper_dimensions(pd.read_csv(args.dimensions))
    complexity = measured_complexity(read_table(args.estimates, INTRINSIC_DIMENSIONS))
    timings = read_table(args.timings, TIMINGS)
    evidence = measured(runs, follow_ups, dimensions, timings, complexity)
    claims = judge(evidence, published(pd.read_csv(args.published)))
    result = {"study": args.study, "thresholds": THRESHOLDS, "claims": claims}
    if own_models := compare(evidence):
        result["own_models"] = own_models
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    write_atomically(args.out, lambda part: part.write_text(text))


if __name__ == "__main__":
    run_plainly(main)
