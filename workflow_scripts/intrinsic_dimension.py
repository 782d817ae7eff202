"""Put the loss landscapes of a study together, and all estimates beside published ones."""

from pathlib import Path

import pandas as pd

from kancore.analysis.tables import INTRINSIC_DIMENSIONS
from kancore.intrinsic_dimension.estimates import (
    estimate_landscapes,
    published_curves,
    published_estimates,
)
from kancore.machine.program import program
from kancore.studies.study import Study
from kancore.tables import LANDSCAPES, read_table, write_csv, write_table


def main(
    study: dict,
    manifolds: list[Path],
    folder: Path,
    published: Path,
    landscapes: Path,
    estimates: Path,
    csv: Path,
) -> None:
    """Read estimates and landscapes of each data set, write those of all, estimates as CSV too."""
    planned = Study(**study)
    known = pd.read_csv(published)
    known = known[known["dataset"].isin(planned.settings["datasets"])]
    files = [folder / each.name / "landscape.parquet" for each in planned.landscapes()]
    measured = [read_table(file, LANDSCAPES) for file in files]
    curves = pd.concat([*measured, published_curves(known)], ignore_index=True)
    write_table(landscapes, curves, LANDSCAPES)

    parts = [
        pd.concat([read_table(file, INTRINSIC_DIMENSIONS) for file in manifolds]).assign(
            study=planned.name
        ),
        estimate_landscapes(curves[curves["source"] == "measured"]),
        published_estimates(known),
    ]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    write_table(estimates, table, INTRINSIC_DIMENSIONS)
    write_csv(csv, table)


if __name__ == "__main__":
    program(main)
