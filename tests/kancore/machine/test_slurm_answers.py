"""What a made-up controller of Slurm says, and what is made of it."""

import pytest

from kancore.machine import slurm


def test_properties_are_those_of_the_job(scontrol):
    scontrol(JobState="RUNNING", Reason="None", TRES="cpu=1,mem=641M")
    job = slurm.properties("7")
    assert (job["JobState"], job["TRES"]) == ("RUNNING", "cpu=1,mem=641M")
    assert slurm.properties("8") == {}
    assert slurm.properties(None) == {}


def test_without_slurm_nothing_is_known(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert slurm.properties("7") == {}


MIB = 2**20 / 1e6


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"MinMemoryNode": "1500M"}, 1500 * MIB),
        ({"MinMemoryNode": "2G"}, 2048 * MIB),
        ({"MinMemoryNode": "1.50G"}, 1536 * MIB),
        ({"MinMemoryCPU": "600M", "NumCPUs": "3"}, 1800 * MIB),
        ({"MinMemoryNode": "0"}, float("inf")),  # all of the node
        ({}, float("inf")),
    ],
)
def test_the_memory_is_asked_for_where_the_environment_lacks_it(told, expected, scontrol):
    scontrol(JobState="RUNNING", **told)
    assert slurm.allocated_mb() == pytest.approx(expected)


def test_the_environment_is_believed(scontrol):
    scontrol(MinMemoryNode="1500M")
    given = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "2048"}
    assert slurm.allocated_mb(given) == pytest.approx(2048 * MIB)
    assert slurm.allocated_mb({}) == float("inf")


@pytest.mark.parametrize(
    ("run", "limit", "over"),
    [
        ("00:04:00", "00:04:00", True),
        ("00:03:59", "00:04:00", False),
        ("1-00:00:10", "1-00:00:00", True),
        ("23:59:59", "1-00:00:00", False),
        ("00:04:00", "UNLIMITED", False),
    ],
)
def test_a_job_is_out_of_time(run, limit, over):
    assert slurm.out_of_time({"RunTime": run, "TimeLimit": limit}) == over
    assert not slurm.out_of_time({})
