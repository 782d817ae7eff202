"""What the jobs of a study ask of a cluster, by plans with the profile for Slurm."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from kancore.machine.memory import BESIDE_MB, capacity_mb
from kancore.training.resources import BASE_MB, CUDA_BASE_MB, MAX_MINUTES

ROOT = Path(__file__).resolve().parents[2]
# Instead of what a dry run shows, the resources of every job.
PLAN = """
import json, os, sys
from snakemake import cli
from snakemake.executors import dryrun

attempt = int(sys.argv.pop(1))

def run(self, job, before=dryrun.Executor.run_job):
    job.attempt = attempt
    # A dry run takes all jobs for local ones.
    if job.rule.name not in self.workflow._localrules:
        asked = {**job.resources, "PYTHONSAFEPATH": os.environ.get("PYTHONSAFEPATH")}
        print("JOB", json.dumps([job.rule.name, asked]))
    before(self, job)

dryrun.Executor.run_job = run
cli.main([*sys.argv[1:], "--dry-run", "--quiet", "all"])
"""
SUBMITTED = {"prepare", "train", "manifold", "landscape", "inspection"}
TRAINING = SUBMITTED - {"prepare", "inspection"}
SIGNALS = "--signal=URG@120 --open-mode=append"


def plan(folder, *arguments, attempt=1, profile="slurm"):
    """Resources of all jobs that would be submitted, by rule."""
    snakemake = sys.executable, "-c", PLAN, str(attempt), "--snakefile", ROOT / "Snakefile"
    done = subprocess.run(
        [*snakemake, "--workflow-profile", ROOT / "profiles" / profile, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": os.path.dirname(sys.executable) + ":/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    jobs = defaultdict(list)
    for line in done.stdout.splitlines():
        if line.startswith("JOB "):
            rule, asked = json.loads(line.removeprefix("JOB "))
            jobs[rule].append(asked)
    return jobs


def check(jobs, least):
    """All jobs that are submitted are warned, and ask for memory and time that they can use."""
    assert set(jobs) == SUBMITTED
    for rule, all_asked in jobs.items():
        for asked in all_asked:
            assert asked["slurm_extra"] == SIGNALS
            # No snakemake on a node imports what lies in the working folder.
            assert asked["PYTHONSAFEPATH"] == "1"
            assert 10 <= asked["runtime"] <= MAX_MINUTES
            assert asked["mem_mb"] > BESIDE_MB + (least if rule in TRAINING else BASE_MB)
            assert asked.get("gpu", 0) == (least == CUDA_BASE_MB and rule in TRAINING)


@pytest.fixture(scope="module")
def on_gpus(tmp_path_factory):
    return plan(tmp_path_factory.mktemp("gpus"), "--config", "study=paper")


@pytest.fixture(scope="module")
def on_cpus(tmp_path_factory):
    return plan(tmp_path_factory.mktemp("cpus"), "--config", "study=paper", "device=cpu")


def test_every_job_of_the_paper_on_gpus(on_gpus):
    counts = {rule: len(jobs) for rule, jobs in on_gpus.items()}
    assert counts == {"prepare": 5, "train": 921, "manifold": 5, "landscape": 15, "inspection": 1}
    check(on_gpus, CUDA_BASE_MB)


def test_every_job_of_the_paper_on_cpus(on_cpus):
    check(on_cpus, BASE_MB)
    # No machine that submits jobs limits theirs.
    assert 57_000 < max(asked["mem_mb"] for asked in on_cpus["train"]) < 60_000


def test_a_retry_asks_for_more_on_any_machine(on_cpus, tmp_path):
    again = plan(tmp_path, "--config", "study=paper", "device=cpu", attempt=2)
    for rule in SUBMITTED:
        for name in ("mem_mb", "runtime"):
            first, second = ([asked[name] for asked in jobs[rule]] for jobs in (on_cpus, again))
            most = MAX_MINUTES if name == "runtime" else float("inf")
            assert Counter(second) == Counter(min(2 * amount, most) for amount in first)
    assert max(asked["mem_mb"] for asked in again["train"]) > 110_000


def test_a_fixed_value_leaves_all_else_in_force(tmp_path):
    changed = ("--set-resources", "train:mem_mb=64000", "--config", "study=quick")
    jobs = plan(tmp_path, *changed)
    assert {asked["mem_mb"] for asked in jobs["train"]} == {64_000}
    check(jobs, CUDA_BASE_MB)


def test_jobs_of_this_machine_ask_for_no_more_than_it_has(tmp_path):
    here = plan(tmp_path, "--config", "study=paper", "device=cpu", profile="default")
    most = int(0.9 * capacity_mb())
    assert max(asked["mem_mb"] for asked in here["train"]) <= most
    # Of one that needs less, only its own process counts: no snakemakes are started for it.
    least = min(asked["mem_mb"] for asked in here["train"])
    assert BASE_MB < least < BASE_MB + BESIDE_MB


def test_a_plan_says_what_jobs_ask_for(finished):
    shown = finished.snakemake(
        *(
            "--dry-run",
            "--forceall",
            "--workflow-profile",
            "profiles/slurm",
            "--config",
            "seeds=[0]",
        )
    )
    assert "train grid/digits/backprop/mlp-32-gelu/0.005/seed0 (1 threads, 2" in shown
    assert "MB, 10 min, 1 GPUs)" in shown
