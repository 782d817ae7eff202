"""Estimate the intrinsic dimension of the manifold that a data set lies on."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from kancore.analysis.tables import INTRINSIC_DIMENSIONS
from kancore.data.dataset import load
from kancore.intrinsic_dimension.manifold import estimate_dimension
from kancore.machine.devices import lease
from kancore.machine.interruption import repeatable
from kancore.machine.last_words import last_words
from kancore.machine.memory import usable_mb
from kancore.machine.processor import prepare_process
from kancore.machine.program import program
from kancore.tables import write_table


def main(data: Path, device: Literal["auto", "cpu", "cuda"], threads: int, out: Path) -> None:
    """Read a prepared data set, write a table of estimates."""
    prepare_process(threads)
    with repeatable(), last_words(usable_mb()), lease(device) as leased:
        try:
            dataset = load(data)
            estimates = estimate_dimension(dataset.x_train.to(leased))
        except ValueError as error:
            raise SystemExit(f"{data}: {error}") from error
    rows = []
    for estimate in estimates:
        values = asdict(estimate)
        values["observations"] = values.pop("points")
        rows.append({"dataset": dataset.name, "source": "measured", **values})
    missing = dict.fromkeys(("study", "network", "parameters"))
    write_table(out, [{**missing, **row} for row in rows], INTRINSIC_DIMENSIONS)


if __name__ == "__main__":
    program(main)
