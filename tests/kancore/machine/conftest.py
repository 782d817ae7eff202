"""A controller of Slurm that gives made-up answers."""

import os

import pytest


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Make scontrol tell these properties of job 7, and put this process into that job."""

    def answer(**properties):
        text = " ".join(f"{name}={value}" for name, value in properties.items())
        program = tmp_path / "bin" / "scontrol"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\n[ "$*" = "show job --oneliner 7" ] && echo "{text}"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU"):
            monkeypatch.delenv(name, raising=False)

    return answer
