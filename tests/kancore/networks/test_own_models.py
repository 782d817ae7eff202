"""Networks of the user's own: as plain PyTorch trains each alone, and what wrong ones are told."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from kancore import KAN, networks
from kancore.data.dataset import rows, split
from kancore.intrinsic_dimension.landscape import measure_landscape
from kancore.intrinsic_dimension.subspaces import Landscape
from kancore.layers.initialization import fill
from kancore.machine import own_code
from kancore.machine.interruption import Stopped
from kancore.machine.provenance import code_digest
from kancore.networks import own
from kancore.networks.parts import networks_at_once
from kancore.schemes import INITIALIZATIONS, OPTIMIZERS, Architecture, Scheme, Sweep, derive_seed
from kancore.training.builder import Builder
from kancore.training.loop import Training
from kancore.training.resources import memory_mb, runtime_minutes

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "own_models.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
HEAD = "import torch\nfrom torch import nn\n"
# Batch normalization of inputs and of a layer, dropout, a mean that is assigned, frozen weights,
# and numbers that the function draws.
STATEFUL = f"""{HEAD}
class Noted(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.shift = nn.Parameter(torch.randn(()))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x + self.shift + self.mean


def build(widths):
    inputs, hidden, *_, outputs = widths
    frozen = nn.Linear(hidden, hidden)
    frozen.requires_grad_(False)
    layers = [nn.BatchNorm1d(inputs), nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.SiLU()]
    return nn.Sequential(*layers, frozen, Noted(), nn.Dropout(0.3), nn.Linear(hidden, outputs))
"""
# What `vmap` cannot do: the path depends on values.
BRANCHING = """
class Branching(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        outputs = self.inner(x)
        return outputs if outputs.sum() > 1e9 else 1.0 * outputs


def branching(widths):
    return Branching(build(widths))
"""
FILES = {"rbf_kan.py": EXAMPLE, "stateful.py": STATEFUL + BRANCHING}
MODELS = ("rbf_kan:build", "stateful:build", "stateful:branching")
WILD = 1e30


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with modules of the user's."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def sweep(model, **options):
    defaults = {
        **{"optimizers": OPTIMIZERS, "learning_rates": (0.05, 0.005), "seed": 0},
        **{"initializations": INITIALIZATIONS, "epochs": 4, "batch_size": 32, "evaluate_every": 2},
    }
    architecture = Architecture(model, (8, 5), activation=None)
    return Sweep("clusters", "backprop", architecture, **(defaults | options))


def table(rows):
    order = ["optimizer", "learning_rate", "initialization", "epoch"]
    return pd.DataFrame(rows).sort_values(order, ignore_index=True)


OPTIMIZER = {
    "sgd": torch.optim.SGD,
    "sgd_momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, nesterov=True),
    "adam": torch.optim.AdamW,
}


def train_alone(given, scheme, dataset):
    """Train one network by plain PyTorch; give it, and logits of the test part."""
    architecture = given.architecture
    seed = derive_seed(
        *("weights", given.dataset, replace(architecture, activation="any").name),
        *(scheme.initialization, given.seed),
    )
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
    network = own_code.load(architecture.model)((6, *architecture.hidden_widths, 3))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1 and parameter.requires_grad:
                fill(parameter.view(len(parameter), -1), scheme.initialization, generator)
    optimizer = OPTIMIZER[scheme.optimizer](network.parameters(), lr=scheme.learning_rate)
    train, _ = split(dataset.y_train, 0.1, derive_seed("split", "clusters", 0))
    x, y = dataset.standardize(rows(dataset.x_train, train)), dataset.y_train[train]
    steps = len(y) // given.batch_size
    for epoch in range(given.epochs):
        seed = derive_seed("order", "clusters", 0, epoch)
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
        for number, batch in enumerate(order.split(given.batch_size)[:steps]):
            torch.manual_seed(derive_seed("masks", "clusters", 0, epoch * steps + number))
            optimizer.zero_grad()
            F.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        return network, network.eval()(dataset.standardize(dataset.x_test))


@pytest.fixture
def in_float64(dataset):
    """The data set in float64, where Adam does not divide gradients that are rounding alone."""
    torch.set_default_dtype(torch.float64)
    yield replace(dataset, mean=dataset.mean.double(), std=dataset.std.double())
    torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_stack_trains_as_plain_pytorch_trains_each_network(model, in_float64):
    training = Training(sweep(model), in_float64)
    assert training.state.network.together == (model != "stateful:branching")
    history = table(training.run()).set_index(["optimizer", "learning_rate", "initialization"])
    network = training.state.network
    for index, scheme in enumerate(training.sweep.schemes):
        alone, logits = train_alone(training.sweep, scheme, in_float64)
        ours = {name: value[index] for name, value in network.state_dict().items()}
        theirs = {own._place(name): value for name, value in alone.state_dict().items()}
        assert set(ours) == set(theirs)
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-7, atol=1e-8)
        row = history.loc[tuple(vars(scheme).values())].iloc[-1]
        loss = F.cross_entropy(logits, in_float64.y_test).item()
        assert row["test_loss"] == pytest.approx(loss, rel=1e-6)
        correct = (logits.argmax(1) == in_float64.y_test).double().mean().item()
        assert row["test_accuracy"] == correct
        trained = [p for p in alone.parameters() if p.requires_grad]
        assert network.num_parameters == sum(map(torch.numel, trained))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS[:2])
def test_at_once_is_one_after_the_other(model, in_float64, monkeypatch):
    together = Training(sweep(model), in_float64)
    with monkeypatch.context() as patch:
        patch.setattr(own, "_can_stack", lambda module, x: False)
        in_turn = Training(sweep(model), in_float64)
    assert (together.state.network.together, in_turn.state.network.together) == (True, False)
    expected = pd.DataFrame(together.run())
    pd.testing.assert_frame_equal(pd.DataFrame(in_turn.run()), expected, rtol=1e-8)
    monkeypatch.setattr(
        own, "CACHED", 5 * 32 * networks.needs(sweep(model).architecture, 6, 3).activations
    )
    in_fives = Training(sweep(model), in_float64)
    pd.testing.assert_frame_equal(pd.DataFrame(in_fives.run()), expected, rtol=1e-8)


def test_the_example_learns(dataset):
    history = table(Training(sweep("rbf_kan:build", epochs=20), dataset).run())
    assert history["test_accuracy"].max() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("moment", [3, 5, 14])
def test_a_stopped_sweep_goes_on_to_the_same_bits(model, moment, dataset, tmp_path):
    given = sweep(model, learning_rates=(0.05, WILD))
    undisturbed = Training(given, dataset).run()
    path = tmp_path / "checkpoint.pt"
    stopped = Training(
        given, dataset, "cpu", path, 999, should_stop=lambda: stopped.state.step == moment
    )
    with pytest.raises(Stopped):
        stopped.run()
    resumed = Training(given, dataset, "cpu", path, 999)
    assert resumed.state.step == moment
    assert resumed.run() == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_diverged_networks_leave_the_stack_and_disturb_nobody(model, dataset):
    options = {"optimizers": ("sgd", "sgd_momentum"), "epochs": 6}
    wild = Training(sweep(model, learning_rates=(0.005, WILD), **options), dataset)
    history = table(wild.run())
    assert set(history.loc[history["diverged"], "learning_rate"]) == {WILD}
    calm = Training(sweep(model, learning_rates=(0.005,), **options), dataset)
    assert wild.state.schemes == calm.sweep.schemes
    expected = table(calm.run())
    others = history[history["learning_rate"] < WILD].reset_index(drop=True)
    columns = ["train_loss", "validation_loss", "test_loss"]
    pd.testing.assert_frame_equal(others[columns], expected[columns], rtol=1e-3)
    for ours, theirs in zip(
        wild.state.network.state_dict().values(),
        calm.state.network.state_dict().values(),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_numbers_of_the_function_depend_on_the_run_alone(dataset):
    """Not on what was drawn before, nor on the other networks; and nothing else is disturbed."""
    torch.manual_seed(1)
    whole = Training(sweep("stateful:build"), dataset)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3))
    alone = Training(sweep("stateful:build", initializations=("orthogonal",)), dataset)
    place = [scheme.initialization for scheme in whole.sweep.schemes].index("orthogonal")
    for name, value in alone.state.network.state_dict().items():
        assert torch.equal(value[0], whole.state.network.state_dict()[name][place]), name
    other = Training(sweep("stateful:build", seed=1), dataset)
    shifts = [t.state.network.state_dict()["own/5/shift"] for t in (whole, other)]
    assert not torch.equal(*shifts)


def test_a_method_initializes_in_place_of_the_rule(folder):
    (folder / "mine.py").write_text(
        f"{HEAD}"
        "class Mine(nn.Linear):\n"
        "    def initialize(self, initialization, generator):\n"
        "        self.weight.fill_(len(initialization))\n"
        "        self.bias.copy_(torch.rand(len(self.bias), generator=generator))\n"
        "def build(widths):\n"
        "    return Mine(widths[0], widths[-1])\n"
    )
    stack = networks.build(Architecture("mine:build", (4,), activation=None), 5, 3, 2)
    for index, name in enumerate(("orthogonal", "kaiming_normal")):
        stack.initialize(index, name, torch.Generator().manual_seed(7))
    weight, bias = stack.parameters()
    assert weight[:, 0, 0].tolist() == [len("orthogonal"), len("kaiming_normal")]
    assert torch.equal(bias[0], bias[1])


KANCORE = """
import torch
from torch import nn
from kancore import KAN

def plain(widths):
    return KAN(widths, batch_norm="after_activation")

class Headed(nn.Module):
    def __init__(self, widths):
        super().__init__()
        *body, outputs = widths
        self.body = KAN([*body, 6])
        self.head = nn.Linear(6, outputs)
    def forward(self, x):
        return self.head(self.body(x))
"""


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_networks_of_kancore_are_initialized_as_kancore_does_it(folder, initialization):
    (folder / "ours.py").write_text(KANCORE)
    widths = (5, 4, 3)
    for function in ("plain", "Headed"):
        stack = own.OwnStack(own_code.load(f"ours:{function}"), widths, 1)
        stack.initialize(0, initialization, torch.Generator().manual_seed(3))
        generator = torch.Generator().manual_seed(3)
        torch.randint(2**63 - 1, (), generator=generator)  # of numbers that the function draws
        expected = KAN([5, 4, 3 if function == "plain" else 6], stack=1)
        expected.initialize(0, initialization, generator)
        prefix = "own/" if function == "plain" else "own/body/"
        for name, value in expected.named_parameters():
            found = getattr(stack, prefix + name.replace(".", "/"))
            assert torch.equal(found[0], value), name
        if function == "plain":
            norm = getattr(stack, "own/stages/0/normalization/weight")
            assert torch.equal(norm, torch.ones_like(norm))
        else:
            head = fill(torch.empty(3, 6), initialization, generator)
            assert torch.equal(getattr(stack, "own/head/weight")[0], head)


@pytest.mark.parametrize("function", ["plain", "Headed"])
def test_networks_of_kancore_train_as_own_models(folder, dataset, function):
    (folder / "ours.py").write_text(KANCORE)
    measured = own.measure(f"ours:{function}", (6, 4, 3))
    assert measured.together
    training = Training(sweep(f"ours:{function}"), dataset)
    rows_ = training.run()
    best = max(row["test_accuracy"] for row in rows_ if not row["diverged"])
    assert best > 0.6


def test_a_warm_start_goes_on_with_buffers_that_are_whole_numbers(dataset):
    options = {"warm_start": True, "optimizers": ("sgd",), "learning_rates": (0.05,)}
    first = Training(sweep("stateful:build", **options), dataset)
    first.run()
    start = first.state_dicts()
    del start["orthogonal"]
    second = Training(sweep("stateful:build", **options), dataset, start=start)
    counts = second.state.network.state_dict()["own/0/num_batches_tracked"]
    assert sorted(counts.tolist()) == [0, first.state.step, first.state.step]
    assert sum(row["diverged"] for row in second.run()) == 1


def test_a_landscape_of_ones_own_network(dataset):
    landscape = Landscape(
        *("clusters", "backprop"),
        Architecture("stateful:build", (8,), activation=None),
        **{"projection": "dense", "dimensions": (4, 16), "refinements": 0, "seed": 0},
        **{"epochs": 2, "batch_size": 32, "learning_rate": 0.01},
    )
    assert [row["dimension"] for row in measure_landscape(landscape, dataset)][:2] == [4, 16]


WRONG = {
    "missing:build": (None, r"missing:build: there is no missing\.py in .* and no installed"),
    "no.such:build": (None, r"no\.such:build: there is no installed module no\.such"),
    "torch.nothing:build": (None, r"torch\.nothing cannot be imported: ModuleNotFoundError"),
    "broken:build": ("def build(:", r"broken\.py cannot be imported: SyntaxError: .*line 3"),
    "raises:build": ("\n1 / 0", r"raises\.py cannot be imported: ZeroDivisionError.*line 4"),
    "leaves:build": ("raise SystemExit(3)", r"leaves\.py cannot be imported: SystemExit: 3"),
    "empty:build": ("", r"empty:build: .*empty\.py has no function build"),
    "fails:build": (
        "def build(widths):\n    return nn.Linear(widths)",
        r"fails:build: build\(\(6, 8, 3\)\) fails: TypeError: .* \(fails\.py, line 4\)",
    ),
    "function:build": (
        "def build(widths):\n    return torch.relu",
        r"function:build gives \w+; expected a torch\.nn\.Module",
    ),
    "fixed:build": (
        "def build(widths):\n    return nn.ReLU()",
        r"fixed:build: its network has no parameters to train",
    ),
    "shape:build": (
        "def build(widths):\n    return nn.Linear(widths[0], 7)",
        r"shape:build: its network makes \[4, 7\] of inputs \[4, 6\]; expected \[4, 3\]",
    ),
    "inner:build": (
        "def build(widths):\n    return nn.Linear(widths[1], widths[2])",
        r"inner:build: its network on inputs \[4, 6\] fails: RuntimeError: ",
    ),
    "pair:build": (
        "class Pair(nn.Linear):\n    def forward(self, x):\n        return super().forward(x), 1\n"
        "def build(widths):\n    return Pair(widths[0], widths[-1])",
        r"pair:build: its network makes tuple of inputs \[4, 6\]; expected \[4, 3\]",
    ),
    "unseeded:build": (
        "def build(widths):\n    torch.seed()\n    return nn.Linear(widths[0], widths[-1])",
        r"unseeded:build: the same seed gives networks that differ in bias",
    ),
    "noisy:build": (
        "class Noisy(nn.Linear):\n    def forward(self, x):\n"
        "        return super().forward(x) + torch.rand(())\n"
        "def build(widths):\n    return Noisy(widths[0], widths[-1])",
        r"noisy:build: in evaluation the same inputs give different outputs",
    ),
    "clock:build": (
        "import itertools\ntimes = itertools.count()\n"
        "class Clock(nn.Linear):\n    def forward(self, x):\n"
        "        return super().forward(x) + (next(times) if self.training else 0)\n"
        "def build(widths):\n    return Clock(widths[0], widths[-1])",
        r"clock:build: in training, under one seed, the same inputs give different outputs",
    ),
    "greedy:build": (
        "class Greedy(nn.Linear):\n    def forward(self, x):\n"
        "        return super().forward(x.mul_(2))\n"
        "def build(widths):\n    return Greedy(widths[0], widths[-1])",
        r"greedy:build: its network changes its inputs in place",
    ),
    "apart:build": (
        "class Apart(nn.Linear):\n    def forward(self, x):\n"
        "        return super().forward(x).detach()\n"
        "def build(widths):\n    return Apart(widths[0], widths[-1])",
        r"apart:build: the gradient of its network fails: RuntimeError: ",
    ),
}


@pytest.mark.parametrize("model", WRONG)
def test_what_cannot_train_is_one_error_that_names_it(model, folder):
    text, message = WRONG[model]
    if text is not None:
        (folder / f"{model.partition(':')[0]}.py").write_text(f"{HEAD}{text}\n")
    with pytest.raises(ValueError, match=message) as error:
        own.measure(model, (6, 8, 3))
    assert "\n" not in str(error.value).split(": ", 2)[0]


def test_a_training_job_tells_it_before_its_first_step(dataset, folder):
    (folder / "shape.py").write_text(f"{HEAD}def build(widths):\n    return nn.Linear(6, 7)\n")
    with pytest.raises(ValueError, match="shape:build: its network makes"):
        Training(sweep("shape:build"), dataset)


def test_a_file_may_be_named_as_a_module_of_python(folder):
    (folder / "random.py").write_text(EXAMPLE)
    import random

    assert own.measure("random:build", (6, 8, 3)).parameters == (6 * 8 + 8 * 3) * 9
    assert hasattr(random, "getstate")
    assert own_code.source("random:build") == folder / "random.py"


def test_a_network_may_be_installed():
    """As one of PyTorch's is, were it a function of widths."""
    assert own_code.load("torch.nn:Sequential") is torch.nn.Sequential
    assert own_code.source("torch.nn:Sequential") is None


def test_the_code_of_the_file_counts_and_its_comments_do_not(folder, monkeypatch):
    def digest():
        code_digest.cache_clear()
        from kancore.machine import provenance

        provenance._read.cache_clear()
        return code_digest("workflow_scripts/train.py", *networks.modules("rbf_kan:build"))

    first, file = digest(), folder / "rbf_kan.py"
    file.write_text(f"# a comment\n{EXAMPLE}")
    assert digest() == first
    file.write_text(EXAMPLE.replace("centres=8", "centres=9"))
    assert digest() != first
    file.write_text("def build(:")
    assert digest() != first


def test_what_a_network_needs_is_measured():
    needs = own.measure("rbf_kan:build", (64, 32, 10))
    assert needs.parameters == (64 * 32 + 32 * 10) * 9
    assert needs.together
    # The Gaussians of both layers; of the second what they are of, too.
    assert 8 * (64 + 2 * 32) <= needs.activations <= 1.2 * 8 * (64 + 2 * 32)
    assert not own.measure("stateful:branching", (6, 8, 3)).together


def test_estimates_go_by_what_is_measured(dataset):
    given = sweep("rbf_kan:build")
    shape = Builder(given, dataset, None, None, None).shape
    assert shape.own == own.measure("rbf_kan:build", (6, 8, 5, 3))
    assert networks_at_once(given, 10) is None
    grown = replace(shape, own=replace(shape.own, activations=10**6))
    assert memory_mb(given, grown) > memory_mb(given, shape) + 18 * 32 * 4
    slow = replace(shape, own=replace(shape.own, together=False))
    long = replace(given, epochs=10_000)
    assert runtime_minutes(long, slow, 1, False) > runtime_minutes(long, shape, 1, False)


def test_names_are_safe_in_files():
    architecture = Architecture("package.module:function", (8, 5), activation=None)
    assert architecture.name == "package.module.function-8x5"
    assert architecture.family == "package.module.function"
    assert Scheme("sgd", 0.1, "orthogonal") in sweep("rbf_kan:build", learning_rates=(0.1,)).schemes
