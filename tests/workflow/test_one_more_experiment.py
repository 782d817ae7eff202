"""One more experiment is one more list of sweeps: an edit of one file, and nothing else."""

import json

from kancore.analysis.tables import RUNS
from kancore.status import StudyStatus, read_status
from kancore.tables import read_table

LONGER = """
def longer(study: Study) -> Iterator[Job]:
    for sweep in study.sweeps():
        twice = replace(sweep, epochs=2 * sweep.epochs)
        yield Job("longer", sweep.name, "longer", study.protocol, (twice,))


EXPERIMENTS["longer"] = longer
"""


def test_an_experiment_is_planned_trained_tabulated_watched_and_retrained_alone(project):
    project.append("kancore/studies/experiments.py", LONGER)
    # Nothing that has been trained is trained again.
    assert project.plan() == {"train": 2, "tables": 1, "report": 1}
    project.snakemake("--cores", "2")
    results = project.path / "results" / "tiny"
    runs = read_table(results / "tables" / "longer" / "runs.parquet", RUNS)
    assert set(runs["experiment"]) == {"longer"}
    assert set(runs["epochs"]) == {4}
    assert len(runs) == 2 * 9
    planned = json.loads((results / "plan.json").read_text())["jobs"]
    assert sum(job.startswith("longer/") for job in planned) == 2
    assert read_status(results) == StudyStatus("tiny", len(planned), 0, {}, {}, 1.0)
