"""Compare the factors of the experiment on stability, alone and together, with the baseline."""

from pathlib import Path

import pandas as pd

from kancore.analysis.stability import effects
from kancore.analysis.tables import RUNS, STABILITY
from kancore.machine.program import program
from kancore.tables import HISTORY, read_table, write_csv, write_table


def main(history: list[Path], runs: list[Path], out: Path, csv: Path) -> None:
    """Read tables of factors alone and together, write their effects, as CSV too."""
    evaluations, summaries = (
        pd.concat([read_table(path, schema) for path in paths], ignore_index=True)
        for paths, schema in ((history, HISTORY), (runs, RUNS))
    )
    table = effects(evaluations, summaries)
    write_table(out, table, STABILITY)
    write_csv(csv, table)


if __name__ == "__main__":
    program(main)
