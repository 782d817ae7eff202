"""Put the tables of all jobs of an experiment together, and sum up each run in one row."""

from pathlib import Path

import pandas as pd

from kancore.analysis.statistics import summarize_runs
from kancore.analysis.tables import RUNS
from kancore.machine.files import read_json
from kancore.machine.program import program
from kancore.tables import HISTORY, KEY_NAMES, TIMINGS, read_table, write_csv, write_table


def main(jobs: Path, folder: Path, history: Path, runs: Path, csv: Path, timings: Path) -> None:
    """Read the tables of all jobs, write those of evaluations, of runs (as CSV too) and of sweeps.

    Parameters
    ----------
    jobs
        Names of the jobs, a JSON file.
    folder
        Folder of these jobs.
    """
    folders = [folder / name for name in read_json(jobs)]
    evaluations = pd.concat([read_table(each / "history.parquet", HISTORY) for each in folders])
    times = pd.concat([read_table(each / "timings.parquet", TIMINGS) for each in folders])
    evaluations = evaluations.sort_values([*KEY_NAMES, "epoch"], ignore_index=True)
    summary = summarize_runs(evaluations)
    write_table(history, evaluations, HISTORY)
    write_table(runs, summary, RUNS)
    write_csv(csv, summary)
    write_table(timings, times.sort_values("sweep", ignore_index=True), TIMINGS)


if __name__ == "__main__":
    program(main)
