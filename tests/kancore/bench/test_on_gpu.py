"""The benchmark of a GPU on a pretended one: each table, and what a crash leaves of them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kancore.layers import on_chip

ROOT = Path(__file__).resolve().parents[3]
# All tables at small sizes; the process dies once the last has been measured.
MEASURED = """
import os, signal, sys
from pathlib import Path
from tests.pretended_gpu import pretend
import yaml
with pretend():
    from kancore.bench import __main__ as bench
    from kancore.bench import hsic, kernels, measure, on_gpu, ours, peers
    measure.TURN = 0.0
    on_gpu.SIDE, on_gpu.COPIED = 64, 2**16
    on_gpu.LAYERS = (2, 20, 5, 3, True), (2, 20, 5, 3, False)
    kernels.NETWORKS = ((6, 4, 3),)
    bench.MEAN_OF = bench.STEPS = bench.WIDE = ("6-4-3",)
    bench.SWEEPS = ("784-4-3", "pixels"), ("60-4-2", "words")
    bench.TRAINED, ours.STEPS = ("784-4-10",), 2
    hsic.WIDTHS = 6, 4, 4, 3
    peers.BUILDERS = {"recursive": (None, peers.recursive)}
    settings = yaml.safe_load(Path("config.yaml").read_text())
    widths = {"default": {"2layers": [4]}}
    small = {"datasets": ["breast_cancer"], "depths": ["2layers"], "hidden_widths": widths}
    settings["studies"] = {"small": small}
    config, out = map(Path, sys.argv[1:])
    config.write_text(yaml.safe_dump(settings))

    def last(*arguments, measured=bench.layerwise):
        yield from measured(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    bench.layerwise = last
    bench.main(batch=[16], seconds=0.0, device="cuda", out=out, config=config, study="small")
"""
# Rows of each table.
ROWS = {
    "Limits of the device": 11,
    "Sweeps of study small, one seed, products in tf32": 3,
    "Sweeps of study small, one seed, products in ieee": 3,
    "Sweeps of study small, one seed, products in bf16": 1,  # the kernels' alone
    "Each kernel alone": 3 * (2 + 3),
    "Sweeps of study small, one seed, products in tf32, compiled": 3,
    "Sweeps of study small, one seed, products in ieee, compiled": 3,
    "Sweeps of study small, one seed, products in bf16, compiled": 1,
    "A step of a sweep of 27 KANs": 2 * 4,
    "One step of a KAN": 1,
    "A step of a sweep of 27 KANs, beside 27 separate steps": 2,
    "The same of trained KANs, on images of MNIST": 1,
    "A step of a sweep of 27 wide MLPs": 1,
    "A step of an MLP by the HSIC bottleneck": 2,
}


@pytest.mark.slow
@pytest.mark.skipif(not on_chip.TRITON, reason="Triton is not installed")
def test_every_table_is_measured_and_outlives_a_crash(tmp_path):
    out = tmp_path / "bench.md"
    command = [sys.executable, "-W", "ignore", "-c", MEASURED, str(tmp_path / "config.yaml")]
    done = subprocess.run([*command, str(out)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    text = out.read_text()
    assert "a CPU that reports as a GPU" in text
    assert "Stopped" not in text
    parts = dict(part.split("\n", 1) for part in text.split("## ")[1:])
    found = {title: sum(line[:1] == "|" for line in parts[title].split("\n")) - 2 for title in ROWS}
    assert found == ROWS
