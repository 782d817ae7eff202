"""Optimizers of the user's own against torch.optim, formulas, and networks that train alone."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kancore import networks
from kancore.machine.interruption import Stopped
from kancore.machine.provenance import code_digest
from kancore.schemes import Architecture, HsicBottleneck, Scheme, Sweep
from kancore.training import own_optimizers
from kancore.training.builder import Builder
from kancore.training.loop import Training
from kancore.training.optimizers import StackedOptimizer
from kancore.training.resources import memory_mb

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "own_schemes.md").read_text(encoding="utf-8")
LION, _ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
# As Muon, it goes by the norm of each parameter.
NORMED = """
import torch
class Normed(torch.optim.Optimizer):
    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.mul_(0.9).add_(p.grad)
                p.sub_(group["lr"] * mean / (mean.norm() + 1e-12))
"""
KAN = Architecture("kan", (5, 4), degree=3, grid_size=5, grid_range=(-1.0, 1.0), dropout=0.2)
MLP = Architecture("mlp", (8, 5), batch_norm="before_activation")
WILD = 1e30


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with modules of the user's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(LION + NORMED)
    own_optimizers._can_stack.cache_clear()
    return tmp_path


@pytest.fixture
def in_float64(dataset):
    torch.set_default_dtype(torch.float64)
    yield replace(dataset, mean=dataset.mean.double(), std=dataset.std.double())
    torch.set_default_dtype(torch.float32)


def sweep(*optimizers, architecture=KAN, objective="backprop", **options):
    defaults = {
        **{"learning_rates": (0.05, 0.005), "seed": 0, "epochs": 3, "batch_size": 32},
        **{"initializations": ("kaiming_normal", "orthogonal"), "evaluate_every": 2},
    }
    return Sweep(
        *("clusters", objective, architecture), optimizers=optimizers, **(defaults | options)
    )


def trained(given, dataset, **options):
    training = Training(given, dataset, **options)
    rows = training.run()
    return rows, training.state.network.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"warmup_epochs": 1, "rate_decay": "cosine", "clip_norm": 0.5, "weight_decay": 0.1},
        {"architecture": replace(MLP, batch_norm=None)},
        # In float64, where Adam does not divide gradients that are rounding alone.
        {"architecture": MLP, "double": True},
        {"objective": "hsic", "hsic": HsicBottleneck(), "double": True},
    ],
)
@pytest.mark.parametrize(
    ("own", "named"), [("torch.optim:AdamW", "adam"), ("torch.optim:SGD", "sgd")]
)
def test_pytorchs_own_give_what_the_named_ones_give(own, named, options, dataset, request):
    if options.get("double"):
        dataset = request.getfixturevalue("in_float64")
        options = {key: value for key, value in options.items() if key != "double"}
    _, found = trained(sweep(own, **options), dataset)
    _, expected = trained(sweep(named, **options), dataset)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=2e-5)


def test_lion_is_its_formula_in_float64():
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(2, *shape, generator=generator).double() for shape in ((4, 3), (5,))]
    expected = [value.clone() for value in values]
    means = [torch.zeros_like(value) for value in values]
    rate, decay = 0.01, 0.1
    schemes = [Scheme("mine:Lion", rate, name) for name in ("a", "b")]
    optimizer = StackedOptimizer(values, schemes, weight_decay=decay)
    for step in range(20):
        gradients = [torch.sin(value * (1 + 0.1 * step)) for value in values]
        optimizer.step(gradients)
        for place, g in enumerate(gradients):
            update = torch.sign(0.9 * means[place] + 0.1 * g)
            expected[place] -= rate * (update + decay * expected[place])
            means[place] = 0.99 * means[place] + 0.01 * g
    for value, other in zip(values, expected, strict=True):
        torch.testing.assert_close(value, other, rtol=0, atol=1e-14)


@pytest.mark.parametrize("architecture", [KAN, MLP], ids=["kan", "mlp"])
def test_together_and_alone_give_the_same_bits(architecture, dataset, monkeypatch):
    given = sweep("mine:Lion", architecture=architecture)
    assert own_optimizers._can_stack("mine:Lion", 0.05, None, "cpu")
    rows, found = trained(given, dataset)
    monkeypatch.setattr(own_optimizers, "_can_stack", lambda *_: False)
    alone_rows, alone = trained(given, dataset)
    assert rows == alone_rows
    assert all(torch.equal(value, alone[name]) for name, value in found.items())


def test_what_goes_by_a_matrix_trains_each_network_as_if_alone():
    assert not own_optimizers._can_stack("mine:Normed", 0.05, None, "cpu")
    schemes = [Scheme("mine:Normed", rate, name) for rate in (0.005, 0.05) for name in "ab"]
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(4, *shape, generator=generator) for shape in ((4, 3), (5,))]
    start = [value.clone() for value in values]
    optimizer = StackedOptimizer(values, schemes)
    for step in range(10):
        optimizer.step([torch.sin(value + step) for value in values])
    for place, scheme in enumerate(schemes):
        own = [value[place].clone() for value in start]
        means = [torch.zeros_like(value) for value in own]
        for step in range(10):
            for value, mean in zip(own, means, strict=True):
                mean.mul_(0.9).add_(torch.sin(value + step))
                value.sub_(scheme.learning_rate * mean / (mean.norm() + 1e-12))
        for value, expected in zip(values, own, strict=True):
            torch.testing.assert_close(value[place], expected)


@pytest.mark.parametrize("own", ["mine:Lion", "mine:Normed", "torch.optim:RMSprop"])
def test_a_stopped_sweep_goes_on_to_the_same_bits(own, dataset, tmp_path):
    given = sweep(own, warmup_epochs=2, learning_rates=(0.005, WILD))
    undisturbed = Training(given, dataset).run()
    assert any(row["diverged"] for row in undisturbed) or own == "mine:Normed"
    path = tmp_path / "checkpoint.pt"
    stopped = Training(
        given, dataset, "cpu", path, 999, should_stop=lambda: stopped.state.step == 7
    )
    with pytest.raises(Stopped):
        stopped.run()
    resumed = Training(given, dataset, "cpu", path, 999)
    assert resumed.state.step == 7
    assert resumed.run() == undisturbed


@pytest.mark.parametrize("own", ["torch.optim:AdamW", "torch.optim:Adafactor"])
def test_selected_schemes_go_on_as_if_nothing_had_happened(own):
    schemes = [Scheme(own, rate, name) for rate in (0.005, 0.05) for name in "abc"]
    keep = [0, 2, 4]
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(6, *shape, generator=generator) for shape in ((4, 3), (5,))]
    optimizer = StackedOptimizer(values, schemes)

    def run(optimizer, values, steps):
        for step in steps:
            optimizer.step([torch.sin(value + step) for value in values])

    run(optimizer, values, range(5))
    kept = [value[keep].clone() for value in values]
    chosen = optimizer.select(keep, kept)
    run(chosen, kept, range(5, 10))
    run(optimizer, values, range(5, 10))
    assert all(torch.equal(a, b[keep]) for a, b in zip(kept, values, strict=True))


def test_only_named_optimizers_update_in_the_backward_pass(dataset):
    for optimizer, fused in (("adam", True), ("mine:Lion", False)):
        network = Training(sweep(optimizer), dataset).state.network
        layers = [layer for layer in network.modules() if hasattr(layer, "update")]
        if any(layer.has_kernels() for layer in layers):
            assert all((layer.update is not None) == fused for layer in layers)


def test_schemes_of_ones_own_leave_the_others_as_they_are():
    mixed = sweep("adam", "mine:Lion", "sgd", initializations=("orthogonal", "mine:fill"))
    parts = mixed.own_apart()
    assert parts[0] == sweep("adam", "sgd", initializations=("orthogonal",))
    assert sorted(s for part in parts for s in part.schemes) == sorted(mixed.schemes)
    names = {(part.part, part.own) for part in parts}
    assert ("mine.Lion-orthogonal", ("mine:Lion",)) in names
    assert ("mine.Lion-mine.fill", ("mine:Lion", "mine:fill")) in names
    assert len(names) == len(parts) == 4


HEAD = "import torch\nclass Own(torch.optim.SGD):\n    def step(self):\n"
WRONG = {
    "missing:Lion": (None, r"missing:Lion: there is no missing\.py in .* and no installed"),
    "mine:Tiger": (None, r"mine:Tiger: .*mine\.py has no function Tiger"),
    "rate:build": (
        "def build(parameters):\n    pass",
        r"rate:build: build\(parameters, lr=0\.1\) fails: TypeError: .*'lr'",
    ),
    "kind:build": (
        "def build(parameters, lr):\n    return lr",
        r"kind:build gives float; expected a torch\.optim\.Optimizer",
    ),
    "torch.optim:LBFGS": (None, r"LBFGS: a step, without a closure .* fails: TypeError: .*closure"),
    "torch.optim:SparseAdam": (None, "dense gradients, fails: RuntimeError"),
    "torch.optim:Muon": (None, r"Muon\(parameters, lr=0\.1\) fails: ValueError: .*2D"),
    "norate:Own": (
        f"{HEAD}        pass\n    def __init__(self, parameters, lr):\n"
        "        torch.optim.Optimizer.__init__(self, parameters, {})",
        "norate:Own: a group of its parameters has no lr; expected one in each",
    ),
    "noisy:Own": (
        f"{HEAD}        for p in self.param_groups[0]['params']:\n"
        "            p.data.add_(torch.rand_like(p))",
        "noisy:Own: its steps draw random numbers; expected the same each time",
    ),
    "moved:Own": (
        f"{HEAD}        for p in self.param_groups[0]['params']:\n"
        "            p.data = p.data - p.grad",
        "moved:Own: a step puts other tensors in the place of its parameters' own",
    ),
    "counts:Own": (
        f"{HEAD}        self.count = getattr(self, 'count', 0) + 1\n"
        "        for p in self.param_groups[0]['params']:\n"
        "            p.data.sub_(p.grad / self.count)",
        "counts:Own: its steps change if its state is saved and loaded",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_train_is_one_error_that_names_it(name, folder):
    text, message = WRONG[name]
    if text is not None:
        (folder / f"{name.partition(':')[0]}.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        own_optimizers.check(name, 0.1, None)


def test_the_code_of_the_file_counts_in_jobs_that_train_by_it(folder):
    def digest(given):
        from kancore.machine import provenance

        code_digest.cache_clear()
        provenance._read.cache_clear()
        modules = *networks.modules("kan"), *given.own
        return code_digest("workflow_scripts/train.py", *modules)

    own, named = sweep("mine:Lion"), sweep("adam")
    before = digest(own), digest(named)
    (folder / "mine.py").write_text("# a comment\n" + LION + NORMED)
    assert (digest(own), digest(named)) == before
    (folder / "mine.py").write_text(LION.replace("0.99", "0.98") + NORMED)
    assert digest(own) != before[0]
    assert digest(named) == before[1]
    assert digest(sweep("torch.optim:NAdam")) != digest(named)


def test_memory_is_that_of_adamw_and_of_gradients(dataset):
    own = sweep("mine:Lion", architecture=replace(KAN, hidden_widths=(500, 500)))
    shape = Builder(own, dataset, None, None, None).shape
    named, clipped = (replace(own, optimizers=("adam",), clip_norm=c) for c in (None, 1.0))
    assert memory_mb(own, shape) == memory_mb(clipped, shape) > memory_mb(named, shape)
