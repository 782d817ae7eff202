"""Estimates: of memory what is measured; of time growing with the work, at most a day."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
import yaml

from kancore import networks
from kancore.data.known import BUNDLED, dataset_module
from kancore.networks.parts import evaluation_batch
from kancore.schemes import Architecture
from kancore.studies.config import resolve
from kancore.training.resources import (
    CUDA_BASE_MB,
    MAX_MINUTES,
    Shape,
    _layers,
    gpu_mb,
    memory_mb,
    runtime_minutes,
    shape,
    stack_sizes,
)

ROOT = Path(__file__).resolve().parents[3]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def study(name, **overrides):
    return resolve({**CONFIG, "study": name, **overrides})


DATA = study("paper").settings["data"]


@pytest.mark.parametrize("name", BUNDLED)
def test_shapes_are_those_of_the_data(name):
    dataset = dataset_module(name).prepare(None)
    examples, stored = (len(dataset.y_train), len(dataset.y_test)), dataset.x_train.element_size()
    expected = Shape(dataset.features, dataset.classes, *examples, stored)
    assert shape(name, DATA) == expected


def test_shapes_follow_the_settings():
    assert shape("imdb", DATA).features == 5000
    assert shape("imdb", {"imdb": {"weighting": "svd", "words": 9, "components": 7}}).features == 7
    higgs = shape("higgs", {"higgs": {"train_rows": 5, "test_rows": 6}})
    assert (higgs.train, higgs.test) == (5, 6)
    own = shape("my_own", DATA)
    assert replace(own, classes=10) == shape("cifar10", DATA)


def test_numbers_of_a_network_are_its_parameters():
    """All but the biases, which are few."""
    for sweep in study("quick").sweeps():
        size = shape(sweep.dataset, DATA)
        network = networks.build(sweep.architecture, size.features, size.classes, 1)
        stored = sum(value.numel() for value in network.parameters())
        estimated = sum(_layers(sweep, size))
        biases = sum(sweep.architecture.hidden_widths) + size.classes
        assert stored in (estimated, estimated + biases)


def test_every_job_of_the_paper_fits_a_day_and_small_ones_ask_for_little():
    for sweep in study("paper").sweeps():
        size = shape(sweep.dataset, DATA)
        assert 10 <= runtime_minutes(sweep, size, 1, True) <= MAX_MINUTES
        assert runtime_minutes(sweep, size, 1, True) <= runtime_minutes(sweep, size, 1, False)
        assert memory_mb(sweep, size, cuda=True) > CUDA_BASE_MB
    for sweep in study("quick").sweeps():
        size = shape(sweep.dataset, DATA)
        assert memory_mb(sweep, size) < 2500
        assert runtime_minutes(sweep, size, 1, False) < 30


def test_more_work_is_more_time_and_memory():
    def largest(**overrides):
        sweeps = study("paper", datasets=["cifar10"], seeds=[0], **overrides).sweeps()
        sizes = [shape(sweep.dataset, DATA) for sweep in sweeps]
        return (
            max(memory_mb(*pair) for pair in zip(sweeps, sizes, strict=True)),
            max(runtime_minutes(*pair, 1, True) for pair in zip(sweeps, sizes, strict=True)),
        )

    backprop = {"objectives": ["backprop"], "epochs": 10}
    small, large = largest(**backprop, stack=[]), largest(**backprop)
    assert all(a < b for a, b in zip(small, large, strict=True))
    assert largest(**backprop)[1] < largest(**{**backprop, "epochs": 20})[1]


# Dataset, model, depth, objective, batch size, and further settings.
SWEEPS = [
    ("digits", "mlp", "2layers", "backprop", 64, {}),
    ("digits", "kan", "4layers", "backprop", 1024, {}),
    ("mnist_sample", "mlp", "4layers", "backprop", 3000, {}),
    ("mnist_sample", "kan", "3layers", "backprop", 1024, {"batch_norm": "after_activation"}),
    ("mnist_sample", "kan", "2layers", "backprop", 2048, {"degrees": [5], "grid_sizes": [20]}),
    ("mnist_sample", "wide_mlp", "3layers", "backprop", 512, {}),
    ("mnist_sample", "mlp", "3layers", "hsic", 512, {"hsic": {"batch_size": 512}}),
    ("mnist_sample", "kan", "2layers", "hsic", 512, {"hsic": {"batch_size": 512, "term": "x"}}),
    ("breast_cancer", "kan", "3layers", "backprop", 400, {}),
    ("breast_cancer", "wide_mlp", "4layers", "backprop", 400, {}),
]
# One epoch of one batch on made-up data, for each line of input; its memory is that of a process
# which does nothing else: a copy of one that has imported what a job does, and computed nothing.
PROGRAM = """
import ctypes, json, mmap, os, sys, traceback
import numpy as np
import torch
from kancore.data.preparation import make_dataset
from kancore.machine.memory import peak_mb
from kancore.machine.processor import prepare_process
from kancore.schemes import Sweep
from kancore.training.loop import Training
import workflow_scripts.train


def pages_of_files():
    found = []
    with open("/proc/self/maps") as maps, open("/proc/self/pagemap", "rb", 0) as table:
        for span, mode, _, _, file, *_ in map(str.split, maps):
            if mode[0] == "r" and file != "0":
                start, end = (int(place, 16) // mmap.PAGESIZE for place in span.split("-"))
                table.seek(8 * start)
                entries = np.frombuffer(table.read(8 * (end - start)), np.uint64)
                found.append(start + np.flatnonzero(entries >> np.uint64(63)))  # in memory
    return [page * mmap.PAGESIZE for page in np.concatenate(found).tolist()]


def peak(values, size):
    for page in imported:
        ctypes.c_byte.from_address(page).value
    prepare_process(threads=1)
    x = torch.randint(256, (size["train"] + size["test"], size["features"]), dtype=torch.uint8)
    x = x if size["bytes"] == 1 else torch.randn(x.shape)
    y = torch.arange(len(x)) % size["classes"]
    train, names = size["train"], tuple(map(str, range(size["classes"])))
    parts = x[:train].clone(), y[:train], x[train:].clone(), y[train:]
    data = make_dataset(values["dataset"], *parts, class_names=names, source="made up")
    del x, parts
    Training(Sweep.from_dict(values), data).run()
    return peak_mb()


imported = pages_of_files()  # a copy begins without them
for line in sys.stdin:
    if os.fork():
        os.wait()
        print("end", flush=True)
    else:
        try:
            print(peak(*json.loads(line)), flush=True)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
        finally:
            sys.stdout.flush()
            os._exit(0)
"""


@pytest.fixture(scope="module")
def lines_of_a_sweep():
    """Give a sweep to `PROGRAM`, and what it prints of it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    program = subprocess.Popen([sys.executable, "-W", "ignore", "-c", PROGRAM], cwd=ROOT, **pipes)

    def give(*values):
        print(json.dumps(values), file=program.stdin, flush=True)
        return [*takewhile("end\n".__ne__, iter(program.stdout.readline, ""))]

    with program:
        yield give


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="the system tells no peaks")
@pytest.mark.parametrize(("dataset", "model", "depth", "objective", "batch", "settings"), SWEEPS)
def test_memory_is_what_a_sweep_takes(
    dataset, model, depth, objective, batch, settings, lines_of_a_sweep
):
    one = {"datasets": [dataset], "models": [model], "depths": [depth], "objectives": [objective]}
    (sweep,) = study("paper", **one, seeds=[0], batch_size=batch, **settings).sweeps()
    sweep = replace(sweep, epochs=1, evaluate_every=1)
    size = replace(shape(dataset, DATA), train=round(batch / 0.9) + 1, test=300)
    lines = lines_of_a_sweep(sweep.to_dict(), vars(size))
    assert len(lines) == 1, "".join(lines)
    assert memory_mb(sweep, size) == pytest.approx(float(lines[0]), rel=0.25)


def test_stacks_are_the_fewest_that_fit():
    options = {"datasets": ["cifar10"], "models": ["wide_mlp"], "depths": ["4layers"]}
    (sweep,) = study("paper", **options, seeds=[0], objectives=["backprop"]).sweeps()
    size, schemes = shape("cifar10", DATA), sweep.schemes
    assert stack_sizes(sweep, size, schemes, memory_mb(sweep, size)) == [27]
    sizes = stack_sizes(sweep, size, schemes, 23_000)
    assert sum(sizes) == 27
    assert max(sizes) - min(sizes) <= 1
    bounds = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    needed = [memory_mb(sweep, size, schemes[a:b]) for a, b in pairwise(bounds)]
    assert max(needed) <= 23_000
    assert stack_sizes(sweep, size, schemes, 1) == [1] * 27
    assert stack_sizes(sweep, size, [], 1) == []


def test_evaluations_on_a_gpu_take_as_many_examples_as_its_size_allows():
    architecture = Architecture("kan", (128, 64), degree=3, grid_size=5, grid_range=(-1.0, 1.0))
    described = replace(next(iter(study("paper").sweeps())), architecture=architecture)
    # On a CPU 256; else the power of two whose largest layer takes at most 1/64 of the memory:
    # 27 * 128 numbers an example, or 9 functions of each of its features.
    assert evaluation_batch(described, 27, 784, None) == 256
    assert evaluation_batch(described, 27, 28, 64 * 4 * 3456 * 5000) == 4096
    assert evaluation_batch(described, 27, 784, 64 * 4 * 9 * 784 * 8192) == 8192
    assert evaluation_batch(described, 27, 784, 10**6) == 256
    mlp = replace(described, architecture=Architecture("mlp", (128, 64)))
    assert evaluation_batch(mlp, 27, 784, 64 * 4 * 3456 * 2048) == 2048


def test_networks_of_own_data_may_have_as_few_outputs_as_there_can_be_classes():
    own = {"datasets": ["my_own"], "data": {"own": {"my_own": "my_own.npz"}}, "outputs": 2}
    alone = {"audit": {"departures": []}, "stability": {"train": []}}
    for sweep in study("quick", **own, **alone).sweeps():
        size = shape("my_own", DATA)
        assert memory_mb(sweep, size) > 0
        assert runtime_minutes(sweep, size, 1, False) > 0


# Live bytes of all tensors, in a step on a CPU that reports as a GPU, and their estimate.
ON_A_GPU = """
import json, weakref
from tests.pretended_gpu import MEMORY, pretend
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from kancore.data.preparation import make_dataset
from kancore.layers import on_chip
from kancore.training import resources
from kancore.training.loop import Training
from tests.kancore.training.test_resources import study

class Live(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.now, self.peak, self.seen = 0, 0, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for leaf in torch.utils._pytree.tree_leaves(found):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if (name := id(storage)) not in self.seen:
                    self.seen.add(name)
                    weakref.finalize(storage, self.drop, name, storage.nbytes())
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
        return found

    def drop(self, name, size):
        self.seen.discard(name)
        self.now -= size

x, y = torch.randn(600, 784), torch.arange(600) % 10
data = make_dataset("mnist", x, y, x[:50], y[:50], class_names="0123456789", source="made up")
size, found = resources.Shape(784, 10, len(x), 50), []
on_chip.missing = lambda gpu: None
for triton, models in ((False, ["mlp", "kan", "wide_mlp"]), (True, ["kan"])):
    resources.TRITON = on_chip.TRITON = on_chip.INTERPRETED = triton
    sweeps = study(
        "paper", datasets=["mnist"], models=models, depths=["2layers", "3layers"], seeds=[0],
        initializations=["orthogonal"], learning_rates=[0.05], batch_size=64 if triton else 256,
        hidden_widths={"default": {"2layers": [32], "3layers": [48, 32]}},
        objectives=["backprop"] if triton else ["backprop", "hsic"],
        optimizers=["adam"] if triton else ["sgd", "sgd_momentum", "adam"],
    ).sweeps()
    for sweep in sweeps:
        with pretend(), Live() as live:
            on_chip.ENABLED = triton
            training = Training(sweep, data, "cuda")
            batch = next(iter(training.splits.training_batches(0)))
            live.peak = live.now
            training.step(*batch)
        estimate = resources.gpu_mb(sweep, size, sweep.schemes, 0)
        found.append((sweep.name, live.peak / 1e6, estimate))
print(json.dumps(found))
"""


@pytest.mark.slow
def test_memory_of_a_gpu_is_at_least_what_a_step_takes():
    command = [sys.executable, "-W", "ignore", "-c", ON_A_GPU]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    assert len(found) == 14
    for name, measured, estimated in found:
        assert 0.97 * measured < estimated < 1.8 * measured + 1, name


def test_schemes_are_divided_by_the_memory_of_a_gpu():
    sweep, *_ = study(
        "paper", datasets=["higgs"], models=["wide_mlp"], depths=["4layers"], seeds=[0]
    ).sweeps()
    size, gpu = shape("higgs", DATA), 80 * 2**30
    assert gpu_mb(sweep, size, sweep.schemes, gpu) > gpu / 1e6
    limit = 0.9 * gpu / 1e6
    sizes = stack_sizes(sweep, size, sweep.schemes, limit, gpu)
    assert sum(sizes) == 27
    assert 1 < len(sizes) < 6
    start = 0
    for count in sizes:
        stack = sweep.schemes[start : (start := start + count)]
        assert gpu_mb(sweep, size, stack, gpu) <= limit
