"""Jobs of one machine share its memory."""

import re

import pytest


@pytest.mark.parametrize(("mib", "together"), [("1100", 1), ("4000", 2)])
def test_jobs_wait_for_one_anothers_memory(mib, together, project, monkeypatch):
    """Slurm's allocation stands for a small machine: a training job takes about 650 MB."""
    monkeypatch.setenv("SLURM_MEM_PER_NODE", mib)
    six = "--config", "stack=[optimizer]", *project.GRID_ALONE
    output = project.snakemake("--cores", "2", "--until", "train", *six)
    running = most = 0
    for line in output.splitlines():
        running += bool(re.match(r"Job \d+: train ", line))
        running -= "(Rule: train)" in line
        most = max(most, running)
    assert most == together
