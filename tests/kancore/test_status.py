"""Status of a study from the files that its jobs leave."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kancore.status import StudyStatus, duration, lines, read_status

ROOT = Path(__file__).parents[2]
AT = {
    **{"sweep": 2, "sweeps": 15, "epoch": 3, "epochs": 12, "schemes": 27},
    **{"steps_per_second": 123.45, "best_accuracy": 0.97123, "seconds_left": 65, "written": 1000.0},
}


@pytest.fixture
def study(tmp_path):
    """A study with a finished job, one that runs, and one that waits."""
    folder = tmp_path / "results" / "small"
    jobs = ["sweeps/a/one", "sweeps/a/two", "follow_ups/b"]
    for job in jobs[:2]:
        (folder / job).mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"jobs": jobs}))
    (folder / "sweeps/a/one/history.parquet").touch()
    (folder / "sweeps/a/two/progress.json").write_text(json.dumps(AT))
    return folder


def test_jobs_are_finished_running_or_waiting(study):
    assert read_status(study) == StudyStatus("small", 1, 1, {"sweeps/a/two": AT})


def test_a_job_that_has_its_table_is_finished_whatever_it_left(study):
    (study / "sweeps/a/two/history.parquet").touch()
    assert read_status(study) == StudyStatus("small", 2, 1, {})


def test_text(study):
    first, headings, job = lines(read_status(study), now=1003.4)
    assert first == "small: 1 jobs finished, 1 running, 1 waiting"
    cells = ["sweeps/a/two", "2/15", "3/12", "27", "0.9712", "123.5", "1 min 5 s", "3 s ago"]
    assert [cell.strip() for cell in re.split(r"\s{2,}", job.strip())] == cells
    assert len(headings) == len(job)
    first_epoch = StudyStatus("new", 0, 0, {"a": {**AT, "epoch": 0, "seconds_left": None}})
    assert " ?  " in list(lines(first_epoch, now=1003))[-1]
    assert list(lines(StudyStatus("idle", 3, 0, {}), 0)) == [
        "idle: 3 jobs finished, 0 running, 0 waiting"
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.6, "1 min 0 s"), (61, "1 min 1 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def run(folder):
    command = [sys.executable, "-m", "kancore.status"]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_command(study):
    done = run(study.parents[1])
    assert done.returncode == 0
    assert done.stdout.startswith("small: 1 jobs finished")
    assert "sweeps/a/two" in done.stdout


def test_where_nothing_was_started_it_says_so(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    assert "results: no study has been started here" in done.stderr
    assert "Traceback" not in done.stderr
