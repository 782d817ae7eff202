"""Choose the scheme of the follow-up experiments on a data set."""

from pathlib import Path

from kancore.analysis.statistics import choice_of_scheme
from kancore.analysis.tables import RUNS
from kancore.machine.files import write_json
from kancore.machine.program import program
from kancore.tables import read_table


def main(runs: Path, dataset: str, out: Path) -> None:
    """Read the runs of the grid, write the scheme as JSON."""
    write_json(out, choice_of_scheme(read_table(runs, RUNS), dataset))


if __name__ == "__main__":
    program(main)
