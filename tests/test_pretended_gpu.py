"""Tests marked gpu are rehearsed without one: their fixtures, sizes, calls and what they expect."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kancore.layers import on_chip

ROOT = Path(__file__).parents[1]
FILES = [
    str(file.relative_to(ROOT))
    for file in sorted(ROOT.glob("tests/**/test_*.py"))
    if "pytest.mark.gpu" in file.read_text() and file != Path(__file__)
]
# What the rehearsal leaves out beside the tests that `pretended_gpu.ONLY_A_GPU` names.
SKIPPED = {"Triton's interpreter has no products of bfloat16"}


@pytest.mark.slow
@pytest.mark.skipif(not on_chip.TRITON, reason="Triton is not installed")
@pytest.mark.parametrize("file", FILES)
def test_every_test_of_a_gpu_passes_on_a_pretended_one(file, tmp_path):
    results = tmp_path / "results.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.pretended_gpu", "-m", "gpu"]
    command += ["-p", "no:cacheprovider", f"--junitxml={results}", file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    cases = [*ElementTree.parse(results).iter("testcase")]
    assert {each.get("message") for case in cases for each in case} <= SKIPPED
    assert len(cases) > 10


def test_a_test_that_fails_keeps_the_benchmark_from_nothing(tmp_path):
    """And only files with tests of a GPU are read, with whichever Python is there."""
    python, told = tmp_path / "python", tmp_path / "told"
    python.write_text(f'#!/bin/sh\necho "$*" >>{told}\ncase "$*" in *pytest*) exit 1; esac\n')
    python.chmod(0o755)
    command = ["make", "gpu", "STAMP=", f"BIN={tmp_path}", "BATCH=64"]
    environment = os.environ | {"OUT": str(tmp_path / "out")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    tests, benchmark = told.read_text().splitlines()
    assert {*FILES} <= {*tests.split()}
    assert len(tests.split()) < 15
    assert f"--batch 64 --seconds 0.3 --most 150 --out {tmp_path}/out/bench_gpu.md" in benchmark


@pytest.mark.slow
def test_each_test_that_only_a_gpu_can_run_is_there_and_says_why():
    # In a process of its own: the module asks Triton for its interpreter.
    print_them = "from tests.pretended_gpu import ONLY_A_GPU; print(*ONLY_A_GPU)"
    named = subprocess.check_output([sys.executable, "-c", print_them], cwd=ROOT, text=True).split()
    files = [*FILES, "tests/kancore/layers/kernel_checks.py"]
    text = "".join((ROOT / file).read_text() for file in files)
    assert named
    assert [name for name in named if f"def {name}(" not in text] == []
