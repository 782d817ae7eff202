"""Status of a study from the files that its jobs leave."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kancore.machine.files import HOPELESS
from kancore.machine.locks import lock
from kancore.status import StudyStatus, duration, lines, main, read_status

ROOT = Path(__file__).parents[2]
AT = {
    **{"sweep": 2, "sweeps": 15, "epoch": 3, "epochs": 12, "schemes": 27},
    **{"steps_per_second": 123.45, "best_accuracy": 0.97123, "seconds_left": 65, "written": 1000.0},
}


@pytest.fixture
def study(tmp_path):
    """A study with two finished jobs, one that runs, one that was stopped, and one that waits."""
    folder = tmp_path / "results" / "small"
    jobs = ["grid/a/one", "landscapes/a/b", "grid/a/two", "audit/clean/c", "follow_ups/b"]
    for job in jobs[:4]:
        (folder / "jobs" / job).mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"jobs": jobs}))
    (folder / "jobs/grid/a/one/history.parquet").touch()
    (folder / "jobs/landscapes/a/b/landscape.parquet").touch()
    for job in jobs[2:4]:
        (folder / "jobs" / job / "progress.json").write_text(json.dumps(AT))
    (folder / "jobs/audit/clean/c/job.lock").touch()  # as a job that was killed leaves it
    with lock(folder / "jobs/grid/a/two/job.lock"):
        yield folder


def test_jobs_of_every_kind_are_finished_running_stopped_or_waiting(study):
    expected = StudyStatus("small", 2, 1, {"grid/a/two": AT}, {"audit/clean/c": AT})
    assert read_status(study) == expected


def test_the_share_of_the_work_and_the_time_left_follow_from_finished_jobs(study):
    jobs = json.loads((study / "plan.json").read_text())["jobs"]
    # Of 100, done are 20 + 20, and of two jobs at epoch 3 of 12 of sweep 2 of 15 1.25 / 15 of 20.
    (study / "plan.json").write_text(json.dumps({"jobs": jobs, "work": dict.fromkeys(jobs, 20)}))
    done = 40 + 2 * 20 * 1.25 / 15
    assert read_status(study).share == pytest.approx(done / 100)
    assert read_status(study).seconds_left is None
    for job, seconds in (("grid/a/one", 30), ("landscapes/a/b", 10)):
        path = study / "benchmarks" / "jobs" / f"{job}.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:10\n")
    status = read_status(study)
    assert status.seconds_left == pytest.approx(100 - done)  # a unit a second, one job at once
    assert next(iter(lines(status, 0))).endswith("waiting; 43% of the work done, about 57 s left")


def test_a_job_that_has_told_nothing_yet_or_nothing_that_is_understood_runs_if_it_is_locked(study):
    for told in (None, "{", "[]", '{"sweep": 1}'):
        path = study / "jobs/grid/a/two/progress.json"
        path.unlink() if told is None else path.write_text(told)
        status = read_status(study)
        assert status == StudyStatus("small", 2, 1, {"grid/a/two": {}}, {"audit/clean/c": AT})
        assert list(lines(status, 1003))[2].split() == ["grid/a/two", *7 * "-"]


def test_the_log_of_a_job_says_that_it_begins_or_why_it_has_failed(study):
    log = study / "logs/jobs/follow_ups/b.log"
    log.parent.mkdir(parents=True)
    log.symlink_to("b.log.all")  # as the process starts
    assert read_status(study).running == {"grid/a/two": AT, "follow_ups/b": {}}
    tries = log.with_name("b.log.all")
    tries.write_text(f"begun\nthe data set is none\n{HOPELESS}\n")
    failed = read_status(study)
    assert failed == StudyStatus(
        "small",
        2,
        0,
        {"grid/a/two": AT},
        {"audit/clean/c": AT},
        failed={"follow_ups/b": "the data set is none"},
    )
    text = [*lines(failed, 1003)]
    assert text[0] == "small: 2 jobs finished, 1 running, 1 stopped, 1 failed, 0 waiting"
    assert text[-2:] == ["  failed", "  follow_ups/b: the data set is none"]
    # Tried again: what the log says is of the try before.
    os.utime(tries, (1000, 1000))
    assert "follow_ups/b" in read_status(study).running
    log.unlink()
    log.symlink_to("b.log.all")
    os.utime(log, (2000, 2000), follow_symlinks=False)  # and was killed as it began
    tries.write_text("killed\n")
    assert read_status(study).stopped == {"audit/clean/c": AT, "follow_ups/b": {}}


@pytest.mark.parametrize("text", ["epoch 3/3\n", "killed\n", f"no such file\n{HOPELESS}\n"])
@pytest.mark.parametrize("newer", ["plan.json", "benchmarks/jobs/follow_ups/b.tsv"])
def test_a_job_that_is_due_again_waits_whatever_its_log_says_of_before(study, text, newer):
    tries = study / "logs/jobs/follow_ups/b.log.all"
    tries.parent.mkdir(parents=True)
    tries.write_text(text)
    tries.with_name("b.log").symlink_to("b.log.all")
    benchmark = study / "benchmarks/jobs/follow_ups/b.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\n9\t0:00:09\n")
    for path, moment in ((study / "plan.json", 1000), (benchmark, 1000), (tries, 2000)):
        os.utime(path, (moment, moment))
    os.utime(tries.with_name("b.log"), (1500, 1500), follow_symlinks=False)
    assert read_status(study).waiting == 0  # of this call
    os.utime(study / newer, (3000, 3000))
    assert read_status(study) == StudyStatus(
        "small", 2, 1, {"grid/a/two": AT}, {"audit/clean/c": AT}
    )


def test_a_plan_that_is_none_is_one_sentence(study):
    for text in ("{", "[]", "{}"):
        (study / "plan.json").write_text(text)
        done = run(study.parents[1])
        assert done.returncode != 0
        assert done.stderr.count("\n") == 1
        assert "plan.json: not the plan of a study" in done.stderr


@pytest.mark.parametrize("key", AT)
@pytest.mark.parametrize("value", ["x", [], True, 10**400, float("nan"), float("inf")])
def test_what_a_job_never_tells_is_not_understood(key, value, study):
    path = study / "jobs/grid/a/two/progress.json"
    path.write_text(json.dumps(AT | {key: value}))
    status = read_status(study)
    assert status.running == {"grid/a/two": {}}
    assert len([*lines(status, 1003)]) == 5


@pytest.mark.parametrize(
    "plan",
    [
        *({"jobs": jobs} for jobs in (3, "abc", [3], {"a": 3}, None)),
        *({"jobs": {}, "work": work} for work in (None, [1], {"a": "x"}, {"a": float("nan")})),
    ],
)
def test_a_plan_of_other_values_is_one_sentence(plan, study, monkeypatch):
    (study / "plan.json").write_text(json.dumps(plan))
    monkeypatch.setattr(sys, "argv", ["status", str(study.parent)])
    with pytest.raises(SystemExit, match=r"plan\.json: not the plan of a study"):
        main()


def test_pipes_are_not_waited_for(study):
    for name in ("progress.json", "job.lock"):
        path = study / "jobs/grid/a/two" / name
        path.unlink()
        os.mkfifo(path)
    assert read_status(study).waiting == 2
    (study / "plan.json").unlink()
    os.mkfifo(study / "plan.json")
    with pytest.raises(FileNotFoundError):
        read_status(study)


def test_a_job_that_has_its_table_is_finished_whatever_it_left(study):
    for job in ("grid/a/two", "audit/clean/c"):
        (study / "jobs" / job / "history.parquet").touch()
    assert read_status(study) == StudyStatus("small", 4, 1, {}, {})


def test_text(study):
    first, running, job, stopped, other = lines(read_status(study), now=1003.4)
    assert first == "small: 2 jobs finished, 1 running, 1 stopped, 1 waiting"
    assert [running.split()[0], stopped.split()[0]] == ["running", "stopped"]
    cells = ["2/15", "3/12", "27", "0.9712", "123.5", "1 min 5 s", "3 s ago"]
    for name, line in (("grid/a/two", job), ("audit/clean/c", other)):
        assert [cell.strip() for cell in re.split(r"\s{2,}", line.strip())] == [name, *cells]
    assert len(running) == len(job)
    first_epoch = StudyStatus("new", 0, 0, {"a": {**AT, "epoch": 0, "seconds_left": None}}, {})
    assert " ?  " in list(lines(first_epoch, now=1003))[-1]
    assert list(lines(StudyStatus("idle", 3, 0, {}, {}), 0)) == [
        "idle: 3 jobs finished, 0 running, 0 stopped, 0 waiting"
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
    assert done.stdout.startswith("small: 2 jobs finished")
    assert "grid/a/two" in done.stdout


def test_commands_are_listed():
    command = [sys.executable, "-m", "kancore"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *commands, _ = done.stdout.splitlines()
    assert [line.split()[2] for line in commands] == [
        f"kancore.{name}" for name in ("plan", "status", "predict", "bench")
    ]
    assert all(len(line.split()) > 5 for line in commands)


def test_where_nothing_was_started_it_says_so(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    assert "results: no study has been started here" in done.stderr
    assert "Traceback" not in done.stderr
