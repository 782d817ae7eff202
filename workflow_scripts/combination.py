"""Choose the factors of the experiment on stability that help together, and plan their jobs."""

from pathlib import Path

from kancore.analysis.stability import effects, helpful
from kancore.analysis.tables import RUNS
from kancore.machine.files import write_json
from kancore.machine.program import program
from kancore.studies.changes import combined_sweeps
from kancore.studies.study import Study
from kancore.tables import HISTORY, read_table


def main(study: dict, history: Path, runs: Path, out: Path) -> None:
    """Read what single factors change, write those that help and the sweeps of each job."""
    planned = Study(**study)
    stability = planned.settings["stability"]
    factors = {name: stability["factors"][name] for name in stability["train"]}
    chosen = helpful(effects(read_table(history, HISTORY), read_table(runs, RUNS)), factors)
    jobs = {
        name: [sweep.to_dict() for sweep in sweeps]
        for name, sweeps in combined_sweeps(planned, chosen).items()
    }
    write_json(out, {"factors": chosen, "jobs": jobs})


if __name__ == "__main__":
    program(main)
