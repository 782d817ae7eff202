"""Choose the scheme of the follow-up experiments on a data set."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from kancore.analysis.statistics import best_kan_scheme
from kancore.analysis.tables import RUNS
from kancore.machine.files import write_json
from kancore.machine.program import program
from kancore.tables import read_table


def main(runs: Path, dataset: str, out: Path) -> None:
    """Read the runs of the grid, write the scheme as JSON.

    With one of the user's own goes the code that trained it: new code is another choice, by which
    follow-ups train again.
    """
    table = read_table(runs, RUNS)
    chosen = asdict(best_kan_scheme(table, dataset))
    if any(":" in str(value) for value in chosen.values()):
        by_it = table[(table[list(chosen)] == pd.Series(chosen)).all(axis=1)]
        chosen["code"] = sorted(set(by_it.loc[by_it["dataset"] == dataset, "code"]))
    write_json(out, chosen)


if __name__ == "__main__":
    program(main)
