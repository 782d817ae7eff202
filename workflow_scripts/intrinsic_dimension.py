"""Put the loss landscapes of a study together, and all estimates beside published ones."""

import argparse
import json
from pathlib import Path

import pandas as pd

from kancore.intrinsic_dimension.estimates import (
    estimate_landscapes,
    published_curves,
    published_estimates,
)
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.studies.study import Study
from kancore.tables import INTRINSIC_DIMENSIONS, LANDSCAPES, read_table, write_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--manifolds", type=Path, nargs="+", required=True, help="their estimates")
    parser.add_argument("--folder", type=Path, required=True, help="folder of the landscapes")
    parser.add_argument("--published", type=Path, required=True, help="published figures, CSV")
    parser.add_argument("--landscapes", type=Path, required=True, help="table to write")
    parser.add_argument("--estimates", type=Path, required=True, help="table to write")
    parser.add_argument("--csv", type=Path, required=True, help="the estimates again, as CSV")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)

    study = Study(**args.study)
    datasets = study.settings["datasets"]
    published = pd.read_csv(args.published)
    published = published[published["dataset"].isin(datasets)]
    files = [args.folder / each.name / "landscape.parquet" for each in study.landscapes()]
    measured = [read_table(file, LANDSCAPES) for file in files]
    landscapes = pd.concat([*measured, published_curves(published)], ignore_index=True)
    write_table(args.landscapes, landscapes, LANDSCAPES)

    manifolds = [read_table(file, INTRINSIC_DIMENSIONS) for file in args.manifolds]
    parts = [
        pd.concat(manifolds).assign(study=study.name),
        estimate_landscapes(landscapes[landscapes["source"] == "measured"]),
        published_estimates(published),
    ]
    estimates = pd.concat([part for part in parts if len(part)], ignore_index=True)
    write_table(args.estimates, estimates, INTRINSIC_DIMENSIONS)
    write_atomically(args.csv, lambda part: estimates.to_csv(part, index=False))


if __name__ == "__main__":
    run_plainly(main)
