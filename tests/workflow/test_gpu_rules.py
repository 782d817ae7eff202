"""Jobs that take a GPU, on a CPU that reports as one: they start as their rules say, and finish."""

import os
import shutil
from pathlib import Path

import pandas as pd

from kancore.analysis.tables import INTRINSIC_DIMENSIONS
from kancore.tables import HISTORY, LANDSCAPES, TIMINGS, read_table

# Imported by each Python that starts.
START = """
import sys
programs = {f"workflow_scripts/{name}.py" for name in ("train", "landscape", "manifold")}
if programs & {*sys.orig_argv}:
    from pretended_gpu import pretend
    pretended = pretend()
    pretended.__enter__()
"""
JOB = "results/tiny/jobs/grid/digits/backprop/kan-32-gelu-degree3-grid5/0.005/seed0"
MANIFOLD = "results/manifolds/digits.parquet"


def test_jobs_of_a_gpu_give_the_tables_of_a_cpu(project, tmp_path, monkeypatch):
    root = project.path
    (found,) = root.glob("results/tiny/jobs/landscapes/**/landscape.parquet")
    tables = {f"{JOB}/history.parquet": HISTORY, f"{JOB}/timings.parquet": TIMINGS}
    tables |= {str(found.relative_to(root)): LANDSCAPES, MANIFOLD: INTRINSIC_DIMENSIONS}

    def read():
        return [read_table(root / table, schema) for table, schema in tables.items()]

    on_a_cpu = read()
    start = tmp_path / "start"
    start.mkdir()
    shutil.copy(Path(__file__).parents[1] / "pretended_gpu.py", start)
    (start / "sitecustomize.py").write_text(START)
    monkeypatch.setenv("PYTHONPATH", f"{start}{os.pathsep}{root}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # with locks of this GPU
    project.warm = None
    settings = "device=cuda", "tf32=true", "compile=true"
    project.snakemake("--cores", "1", "--force", *tables, "--config", *settings)
    history, timings, landscape, manifold = read()
    assert {*timings["device"]} == {"a CPU that reports as a GPU"}
    same = {"rtol": 1e-3, "atol": 1e-4, "check_exact": False}
    measured = "train_loss", "validation_loss", "test_loss", "train_accuracy"
    for one, other in zip(
        (history[[*measured]], landscape, manifold),
        (on_a_cpu[0][[*measured]], *on_a_cpu[2:]),
        strict=True,
    ):
        pd.testing.assert_frame_equal(one, other, **same)
