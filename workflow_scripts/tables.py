"""Put the tables of all jobs of an experiment together, and sum up each run in one row."""

import argparse
import json
from pathlib import Path

import pandas as pd

from kancore.analysis.statistics import summarize_runs
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.tables import HISTORY, KEY_NAMES, RUNS, TIMINGS, read_table, write_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=Path, required=True, help="names of the jobs, a JSON file")
    parser.add_argument("--folder", type=Path, required=True, help="folder of these jobs")
    parser.add_argument("--history", type=Path, required=True, help="table to write")
    parser.add_argument("--runs", type=Path, required=True, help="table to write")
    parser.add_argument("--csv", type=Path, required=True, help="the runs again, as CSV")
    parser.add_argument("--timings", type=Path, required=True, help="table to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)

    folders = [args.folder / name for name in json.loads(args.jobs.read_text())]
    history = pd.concat([read_table(folder / "history.parquet", HISTORY) for folder in folders])
    timings = pd.concat([read_table(folder / "timings.parquet", TIMINGS) for folder in folders])
    history = history.sort_values([*KEY_NAMES, "epoch"], ignore_index=True)
    runs = summarize_runs(history)
    write_table(args.history, history, HISTORY)
    write_table(args.runs, runs, RUNS)
    write_atomically(args.csv, lambda part: runs.to_csv(part, index=False))
    write_table(args.timings, timings.sort_values("sweep", ignore_index=True), TIMINGS)


if __name__ == "__main__":
    run_plainly(main)
