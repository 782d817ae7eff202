"""Choose the factors of the experiment on stability that help together, and plan their jobs."""

import argparse
import json
from pathlib import Path

from kancore.analysis.stability import effects, helpful
from kancore.machine.files import run_plainly, write_atomically
from kancore.machine.provenance import check_code
from kancore.studies.changes import combined_sweeps
from kancore.studies.study import Study
from kancore.tables import HISTORY, RUNS, read_table


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=json.loads, required=True, help="the study, as JSON")
    parser.add_argument("--history", type=Path, required=True, help="of single factors")
    parser.add_argument("--runs", type=Path, required=True, help="of single factors")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--code", required=True, help="digest of the code, as planned")
    args = parser.parse_args()
    check_code(__file__, args.code)
    study = Study(**args.study)
    table = effects(read_table(args.history, HISTORY), read_table(args.runs, RUNS))
    stability = study.settings["stability"]
    chosen = helpful(table, {name: stability["factors"][name] for name in stability["train"]})
    jobs = combined_sweeps(study, chosen)
    plain = {name: [sweep.to_dict() for sweep in sweeps] for name, sweeps in jobs.items()}
    text = json.dumps({"factors": chosen, "jobs": plain}, indent=1) + "\n"
    write_atomically(args.out, lambda part: part.write_text(text))


if __name__ == "__main__":
    run_plainly(main)
