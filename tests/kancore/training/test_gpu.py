"""Training on a GPU: the same as on a CPU, without waiting for the device, and resumable."""

import gc
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from test_loop import only, sweep

from kancore import networks
from kancore.data.preparation import make_dataset
from kancore.intrinsic_dimension.landscape import measure_landscape
from kancore.intrinsic_dimension.subspaces import PROJECTIONS, Landscape
from kancore.machine.interruption import Stopped
from kancore.schemes import Architecture, HsicBottleneck
from kancore.training.loop import Training

# A network of the user's own.
OWN = """
from itertools import pairwise
from torch import nn

def build(widths):
    layers = [each for pair in pairwise(widths) for each in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*layers[:-1])
"""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]


def clusters(features=6, kind="numbers"):
    """Three noisy clusters; of images where `kind` says so, or of sparse words."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, features, generator=generator)
    y = torch.arange(3).repeat(80)
    x = centres[y] + 0.8 * torch.randn(240, features, generator=generator)
    options = {}
    if kind == "images":
        x, options = (128 + 40 * x).clamp(0, 255).byte(), {"image_shape": (1, 2, features // 2)}
    train, test = x[:180], x[180:]
    if kind == "words":
        train, test = ((part * (part > 1)).to_sparse_csr() for part in (train, test))
    names = ("a", "b", "c")
    arrays = train, y[:180], test, y[180:]
    return make_dataset("clusters", *arrays, class_names=names, source="made here", **options)


@pytest.mark.parametrize(
    ("model", "kind", "options"),
    [
        ("mlp", "numbers", {}),
        ("kan", "numbers", {}),
        ("kan", "images", {"flips": True}),
        ("kan", "words", {}),
        ("own_gpu:build", "numbers", {}),
    ],
    ids=["mlp", "kan", "flips", "sparse", "own"],
)
def test_training_is_that_of_a_cpu(model, kind, options, tmp_path, monkeypatch):
    (tmp_path / "own_gpu.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    options = {"optimizers": ("sgd", "sgd_momentum"), "dropout": 0.0, "epochs": 4} | options
    described = sweep("mlp" if ":" in model else model, **options)
    if ":" in model:
        described = replace(described, architecture=Architecture(model, (8, 5), activation=None))
    there, here = (Training(described, clusters(kind=kind), device) for device in ("cuda", "cpu"))
    found, expected = pd.DataFrame(there.run()), pd.DataFrame(here.run())
    losses = ["train_loss", "validation_loss", "test_loss"]
    tolerances = {"rtol": 1e-4, "atol": 1e-5}
    pd.testing.assert_frame_equal(found[losses], expected[losses], **tolerances)
    pairs = zip(there.state.network.parameters(), here.state.network.parameters(), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one.cpu(), other, **tolerances)


@pytest.mark.parametrize("model", ["mlp", "kan"])
def test_products_in_bfloat16_are_those_of_a_cpu(model):
    """To fewer digits, since a factor between two numbers may be rounded to the other one."""
    described = sweep(model, optimizers=("sgd",), dropout=0.0, epochs=2)
    described = replace(described, architecture=replace(described.architecture, bfloat16=True))
    tables = [
        pd.DataFrame(Training(described, clusters(), device).run()) for device in ("cuda", "cpu")
    ]
    found, expected = (table[["train_loss", "test_loss"]] for table in tables)
    pd.testing.assert_frame_equal(found, expected, rtol=5e-3)


@pytest.mark.parametrize(("model", "term"), [("mlp", "x"), ("kan", "h")])
def test_gradients_of_hsic_are_those_of_a_cpu(model, term):
    """In float64 by all digits; in float32, where inverses leave few, by as many as a CPU's."""
    described = sweep(model, dropout=0.0, epochs=1, hsic=HsicBottleneck(term=term))

    begun = Training(described, clusters(), "cpu")
    x, y = begun.splits.first(described.batch_size)

    def gradients(device, dtype):
        # Without an optimizer, which on a CPU updates weights as the layers' kernels pass back.
        network = networks.build(described.architecture, 6, 3, len(described.schemes))
        network.load_state_dict(begun.state.network.state_dict())
        network.to(device, dtype)
        losses = begun.losses(network, x.to(device, dtype), y.to(device), described)
        found = torch.autograd.grad(losses.sum(), list(network.parameters()))
        return [losses.detach().double().cpu(), *(each.double().cpu() for each in found)]

    expected = gradients("cpu", torch.float64)
    for one, other in zip(gradients("cuda", torch.float64), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7 * float(other.abs().max()))
    here, there = gradients("cpu", torch.float32), gradients("cuda", torch.float32)

    def error(found):
        pairs = list(zip(found, expected, strict=True))
        return max(float((one - other).norm() / other.norm()) for one, other in pairs)

    assert error(there) < 10 * error(here)
    rows = Training(described, clusters(), "cuda").run()
    assert all(row["train_loss"] is not None for row in rows)


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_landscape_is_that_of_a_cpu(projection):
    kan = Architecture("kan", (3,), degree=3, grid_size=5, grid_range=(-1.0, 1.0))
    options = {"epochs": 3, "batch_size": 32, "learning_rate": 0.01, "evaluate_every": 1}
    landscape = Landscape(
        *("clusters", "backprop", kan),
        **options,
        seed=0,
        projection=projection,
        dimensions=(5, 20),
        refinements=0,
    )
    there, here = (
        pd.DataFrame(measure_landscape(landscape, clusters(), device)) for device in ("cuda", "cpu")
    )
    pd.testing.assert_frame_equal(there, here, rtol=0, atol=0.03, check_exact=False)


@pytest.fixture
def _waiting_is_an_error():
    """PyTorch raises where the host would wait for the device."""
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.usefixtures("_waiting_is_an_error")
@pytest.mark.parametrize(
    ("model", "kind", "options"),
    [
        ("mlp", "numbers", {}),
        ("kan", "numbers", {}),
        ("kan", "images", {"flips": True}),
        ("kan", "words", {}),
        ("mlp", "numbers", {"hsic": HsicBottleneck()}),
        ("kan", "numbers", {"hsic": HsicBottleneck(term="h", output="hsic")}),
    ],
    ids=["mlp", "kan", "flips", "sparse", "hsic", "hsic-unformatted"],
)
def test_within_an_epoch_nothing_waits_for_the_device(model, kind, options):
    training = Training(sweep(model, **options), clusters(kind=kind), "cuda")
    for epoch in range(2):
        for batch in training.splits.training_batches(epoch):
            training.step(*batch)
        torch.cuda.set_sync_debug_mode("error")  # the first epoch compiles kernels
    assert training.state.step == 2 * training.steps_per_epoch


@pytest.mark.parametrize("model", ["mlp", "kan"])
def test_cuda_graphs_train_the_same(model):
    options = {**only("sgd_momentum", 0.05, "orthogonal"), "epochs": 4, "dropout": 0.0}
    plain = Training(sweep(model, **options), clusters(), "cuda")
    compiled = Training(sweep(model, **options), clusters(), "cuda", compiled=True)
    for training in (plain, compiled):
        training.run()
    pairs = zip(plain.state.network.parameters(), compiled.state.network.parameters(), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["mlp", "kan"])
def test_a_sweep_goes_on_to_the_same_bits(model, tmp_path):
    undisturbed = Training(sweep(model), clusters(), "cuda").run()
    path = tmp_path / "checkpoint.pt"
    stopped = Training(
        *(sweep(model), clusters(), "cuda", path, 999),
        should_stop=lambda: stopped.state.step == 5,
    )
    with pytest.raises(Stopped):
        stopped.run()
    resumed = Training(sweep(model), clusters(), "cuda", path, 999)
    assert resumed.state.step == 5
    assert resumed.run() == undisturbed


@pytest.fixture
def less_memory():
    """Let this process have so many bytes of the device's memory."""

    def limit(size):
        gc.collect()
        torch.cuda.empty_cache()
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(size / whole)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_what_does_not_fit_is_trained_in_halves(less_memory, capsys):
    # Wide enough for parameters and their gradients to be most of what is allocated.
    options = {"epochs": 1, "evaluate_every": 1, "dropout": 0.0}
    data = clusters(20_000)
    torch.cuda.reset_peak_memory_stats()
    whole = Training(sweep(**options), data, "cuda")
    expected = pd.DataFrame(whole.run())
    peak, schemes = torch.cuda.max_memory_allocated(), len(whole.sweep.schemes)
    del whole
    less_memory(0.8 * peak)
    halved = Training(sweep(**options), data, "cuda")
    found = pd.DataFrame(halved.run())
    assert "out of memory on cuda" in capsys.readouterr().err
    assert len(halved.state.schemes) < schemes
    order = ["optimizer", "learning_rate", "initialization"]
    found, expected = (
        table[table["optimizer"] == "sgd"].sort_values(order, ignore_index=True)
        for table in (found, expected)
    )
    pd.testing.assert_frame_equal(found, expected, rtol=1e-3, atol=1e-5)


HOLD = """
import time
from kancore.machine.devices import lease
with lease("cuda") as device:
    begin = time.time()
    import torch
    torch.ones(1, device=device).item()
    time.sleep(2)
    print(device, begin, time.time())
"""


def test_two_processes_have_a_gpu_in_turn(tmp_path):
    root = Path(__file__).parents[3]
    environment = {key: value for key, value in os.environ.items() if key != "SLURM_JOB_ID"}
    first = environment.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    environment |= {"CUDA_VISIBLE_DEVICES": first, "TMPDIR": str(tmp_path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD],
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = sorted(process.communicate(timeout=120)[0].split() for process in processes)
    (_, *one), (_, *other) = sorted(said, key=lambda words: float(words[1]))
    assert [words[0] for words in said] == ["cuda:0", "cuda:0"]
    assert float(one[1]) <= float(other[0])
