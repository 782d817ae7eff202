"""The training loop: what stacking, order, divergence and interruption may not change."""

import math
import os
from dataclasses import replace
from functools import cache
from itertools import product

import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from kancore.data.dataset import rows, split
from kancore.data.preparation import make_dataset, take
from kancore.layers import local_support, products
from kancore.machine import devices
from kancore.machine.interruption import Stopped
from kancore.networks import build, parts
from kancore.objectives.backprop import cross_entropy, losses
from kancore.schemes import (
    INITIALIZATIONS,
    MODELS,
    OPTIMIZERS,
    Architecture,
    HsicBottleneck,
    Sweep,
    derive_seed,
)
from kancore.training.builder import Builder
from kancore.training.loop import Training
from kancore.training.progress import progress
from kancore.training.resources import Shape, memory_mb
from kancore.training.stacks import Stacks

RATES = (0.05, 0.005)
WILD = 1e30
SCHEMES = len(OPTIMIZERS) * len(RATES) * len(INITIALIZATIONS)
# Places in a stack of half of its schemes, where each optimizer, rate and initialization meets each
# of the others.
HALF = [
    (place * len(RATES) + (place + other) % len(RATES)) * len(INITIALIZATIONS) + other
    for place, other in product(range(len(OPTIMIZERS)), range(len(INITIALIZATIONS)))
]


def sweep(model="kan", **options):
    kan = {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)} if model == "kan" else {}
    architecture = Architecture(model, (8, 5), dropout=options.pop("dropout", 0.2), **kan)
    objective = "hsic" if "hsic" in options else "backprop"
    defaults = {
        "optimizers": OPTIMIZERS,
        "learning_rates": RATES,
        "initializations": INITIALIZATIONS,
        "seed": 0,
        "epochs": 4,
        "batch_size": 32,
        "evaluate_every": 2,
    }
    return Sweep("clusters", objective, architecture, **(defaults | options))


def only(optimizer, learning_rate, initialization):
    """Axes of a sweep of one scheme."""
    return {
        "optimizers": (optimizer,),
        "learning_rates": (learning_rate,),
        "initializations": (initialization,),
    }


def table(rows):
    order = ["optimizer", "learning_rate", "initialization", "epoch"]
    return pd.DataFrame(rows).sort_values(order, ignore_index=True)


def compare_with_runs_alone(model, dataset, check, alone=range(SCHEMES), **options):
    """Train all schemes as a stack for some steps, and some alone: `check(stack, index, one)`."""
    options = {"epochs": 20, "batch_size": 160, **options}
    whole = Training(sweep(model, **options), dataset)
    assert whole.steps_per_epoch == 1
    whole.run()
    for index in alone:
        scheme = only(*vars(whole.sweep.schemes[index]).values())
        one = Training(sweep(model, **(options | scheme)), dataset)
        one.run()
        check(whole, index, one)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_scheme_trains_in_a_stack_as_it_does_alone(model, dataset):
    def check(whole, index, alone):
        if whole.sweep.schemes[index].optimizer == "adam":
            return  # it divides gradients that are rounding noise by themselves: see float64
        pairs = zip(whole.state.network.parameters(), alone.state.network.parameters(), strict=True)
        for ours, theirs in pairs:
            torch.testing.assert_close(ours[index], theirs[0], rtol=1e-5, atol=1e-5)

    compare_with_runs_alone(model, dataset, check)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["kan", "mlp"])  # a wide MLP is an MLP of other widths
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hsic": HsicBottleneck(term="n")},
        {"hsic": HsicBottleneck(term="x", scale_by_dimension=False)},
        {"hsic": HsicBottleneck(term="h", label_kernel="student")},
        {"hsic": HsicBottleneck(output="hsic")},
    ],
    ids=["backprop", "hsic-n", "hsic-x", "hsic-h", "hsic-unformatted"],
)
def test_in_float64_all_optimizers_agree_in_every_parameter(model, options, dataset):
    def check(whole, index, alone):
        pairs = zip(whole.state.network.parameters(), alone.state.network.parameters(), strict=True)
        for ours, theirs in pairs:
            assert ours.dtype == torch.float64
            torch.testing.assert_close(ours[index], theirs[0], rtol=1e-8, atol=1e-8)

    dataset = replace(dataset, mean=dataset.mean.double(), std=dataset.std.double())
    torch.set_default_dtype(torch.float64)
    try:
        # Stable rates: those of HSIC's large losses are chaotic, and double rounding each step.
        rates = {"learning_rates": (1e-4, 1e-5), "epochs": 8, "alone": HALF} if options else {}
        compare_with_runs_alone(model, dataset, check, **options, **rates, evaluate_every=8)
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_order_of_schemes_changes_nothing(dataset):
    forward = Training(sweep(), dataset).run()
    reverse = {"optimizers": OPTIMIZERS[::-1], "learning_rates": RATES[::-1]}
    backward = Training(sweep(**reverse), dataset).run()
    pd.testing.assert_frame_equal(table(forward), table(backward), check_exact=True)


def test_one_scheme_is_plain_pytorch(dataset, plain_mlp):
    """One MLP trained with nn.Linear, torch.optim and the same minibatches, in float32."""
    scheme = only("sgd_momentum", 0.05, "orthogonal")
    training = Training(sweep("mlp", **scheme, dropout=0.0, epochs=3), dataset)
    network = plain_mlp(training.state.network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    train, _ = split(dataset.y_train, 0.1, derive_seed("split", "clusters", 0))
    x = (rows(dataset.x_train, train) - dataset.mean) / dataset.std
    y = dataset.y_train[train]
    for epoch in range(3):
        seed = derive_seed("order", "clusters", 0, epoch)
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
        for batch in order.split(32)[: len(y) // 32]:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    last = training.run()[-1]
    logits = network((dataset.x_test - dataset.mean) / dataset.std)
    expected = torch.nn.functional.cross_entropy(logits, dataset.y_test).item()
    assert last["test_loss"] == pytest.approx(expected, rel=1e-5)
    accuracy = (logits.argmax(1) == dataset.y_test).double().mean().item()
    assert last["test_accuracy"] == accuracy


def go_in_chunks(monkeypatch, networks):
    """Let a cache have room for so many of the MLPs that `sweep` is of."""
    monkeypatch.setattr(parts, "AT_ONCE", networks * 32 * 8)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 5])
def test_a_stack_divided_for_the_cache_trains_as_a_whole_one(size, dataset, monkeypatch):
    normalized = replace(sweep("mlp").architecture, batch_norm="before_activation")
    given = replace(sweep("mlp", optimizers=("sgd", "sgd_momentum")), architecture=normalized)
    whole = Training(given, dataset)
    expected = whole.run()
    go_in_chunks(monkeypatch, size)
    divided = Training(given, dataset)
    assert [len(next(chunk.parameters())) for chunk in divided.state.chunks][:2] == [size, size]
    found = divided.run()
    assert [row["test_accuracy"] for row in found] == [row["test_accuracy"] for row in expected]
    ours, theirs = (training.state.network.state_dict() for training in (divided, whole))
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-5)


def test_a_divided_stack_drops_what_diverges(dataset, monkeypatch):
    go_in_chunks(monkeypatch, 2)
    wild = Training(sweep("mlp", optimizers=("sgd",), learning_rates=(WILD, 0.05)), dataset)
    alone = Training(sweep("mlp", optimizers=("sgd",), learning_rates=(0.05,)), dataset)
    rows = [row for row in wild.run() if row["learning_rate"] == 0.05]
    assert len(wild.state.chunks) == 2
    pairs = zip(rows, alone.run(), strict=True)
    assert all(a["test_loss"] == pytest.approx(b["test_loss"], rel=1e-5) for a, b in pairs)


def test_it_learns(dataset):
    # Long, and without dropout: the rounding of a processor's kernels then decides on no example.
    trained = Training(sweep(epochs=60, evaluate_every=60, dropout=0.0), dataset).run()
    linear = LogisticRegression().fit(dataset.x_train, dataset.y_train)
    expected = linear.score(dataset.x_test, dataset.y_test)
    assert table(trained)["test_accuracy"].max() > expected - 1.5 / 60


def test_evaluations_are_where_asked_and_at_the_end(dataset):
    history = table(Training(sweep(epochs=5, evaluate_every=2), dataset).run())
    assert len(history) == 3 * SCHEMES
    assert sorted(history["epoch"].unique()) == [2, 4, 5]


def test_too_few_examples_for_a_validation_part(dataset):
    message = r"validation_fraction 0\.1 of 4 training examples leaves none .* at least 0\.25, or 0"
    small = take(dataset, 4)
    with pytest.raises(ValueError, match=message):
        Training(sweep(validation_fraction=0.1), small)
    assert Training(sweep(validation_fraction=0.25), small).splits.sizes["validation"] == 1


def test_no_validation_data(dataset):
    row = Training(sweep(validation_fraction=0.0), dataset).run()[0]
    assert "validation_accuracy" not in row
    assert not row["diverged"]


def test_each_seed_trains_and_tests_on_examples_of_its_own(dataset):
    def seen(seed):
        splits = Training(sweep(train_examples=90, test_examples=30, seed=seed), dataset).splits
        return [
            torch.cat([x.sum(1) for x, _ in splits.in_order(part, 90)]).sort().values
            for part in ("train", "test")
        ]

    for first, again, other in zip(seen(0), seen(0), seen(1), strict=True):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_examples_are_taken_as_asked(dataset):
    training = Training(sweep(train_examples=90, test_examples=30), dataset)
    assert training.splits.sizes == {"train": 81, "validation": 9, "test": 30}


@pytest.mark.parametrize("model", MODELS)
def test_diverged_schemes_leave_the_stack_and_disturb_nobody(model, dataset):
    with_wild = Training(sweep(model, epochs=6, learning_rates=(*RATES, WILD)), dataset)
    history = table(with_wild.run())
    marked = history[history["diverged"]]
    assert set(marked["learning_rate"]) == {WILD}
    assert len(marked) == 9
    assert set(marked["epoch"]) == {2}
    assert marked[["train_loss", "test_accuracy"]].isna().all(axis=None)
    assert with_wild.state.optimizer.schemes == sweep().schemes
    calm = table(Training(sweep(model, epochs=6), dataset).run())
    others = history[history["learning_rate"] < WILD].reset_index(drop=True)
    columns = ["train_loss", "validation_loss", "test_loss"]
    pd.testing.assert_frame_equal(others[columns], calm[columns], rtol=1e-3)


def test_a_sweep_whose_schemes_all_diverge_ends(dataset):
    training = Training(sweep(**only("sgd", WILD, "orthogonal"), epochs=50), dataset)
    assert [row["epoch"] for row in training.run()] == [2]
    assert training.state.step == 2 * training.steps_per_epoch


@pytest.fixture(scope="module")
def undisturbed(dataset):
    """Rows of a sweep that nothing stops, trained once for all tests that stop it."""
    return cache(lambda given: Training(given, dataset).run())


class Killed(Exception):
    pass


KILLED = {
    "backprop": {},
    "hsic": {"hsic": HsicBottleneck()},
    "hsic-unformatted": {"hsic": HsicBottleneck(output="hsic")},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "model", "objective"),
    [  # each of one kind with each of another
        (moment, model, [*KILLED][(place + other) % len(KILLED)])
        for place, moment in enumerate((1, 5, 7, 10, 14, 19))
        for other, model in enumerate(MODELS)
    ],
)
def test_a_killed_sweep_resumes_to_the_same_bits(
    objective, model, moment, dataset, undisturbed, tmp_path
):
    given = sweep(model, **KILLED[objective], learning_rates=(*RATES, WILD))
    path = tmp_path / "checkpoint.pt"

    def die():
        if killed.state.step == moment:
            raise Killed

    killed = Training(given, dataset, "cpu", path, 0, should_stop=die)
    with pytest.raises(Killed):
        killed.run()
    resumed = Training(given, dataset, "cpu", path, 0)
    assert resumed.state.step == moment - 1
    assert resumed.state.clock.resumes == 1
    assert resumed.run() == undisturbed(given)


def test_a_checkpoint_of_other_code_is_not_used(dataset, tmp_path, capsys):
    path = tmp_path / "checkpoint.pt"
    first = Training(sweep(), dataset, "cpu", path, 0, identity="code 1")
    first.run()
    again = Training(sweep(), dataset, "cpu", path, 0, identity="code 2")
    assert again.state.step == 0
    assert "another sweep or code" in capsys.readouterr().err


@pytest.mark.parametrize("moment", [0, 3, 5, 7])
def test_a_sweep_that_is_asked_to_stop_goes_on_to_the_same_bits(
    moment, dataset, undisturbed, tmp_path
):
    path = tmp_path / "checkpoint.pt"
    stopped = Training(
        sweep(), dataset, "cpu", path, 999, should_stop=lambda: stopped.state.step == moment
    )
    with pytest.raises(Stopped):
        stopped.run()
    resumed = Training(sweep(), dataset, "cpu", path, 999)
    assert resumed.state.step == moment
    assert resumed.run() == undisturbed(sweep())


def test_a_sweep_stops_within_an_evaluation(dataset, undisturbed, tmp_path):
    path = tmp_path / "checkpoint.pt"
    stopped = Training(
        sweep(), dataset, "cpu", path, 0, should_stop=lambda: not stopped.state.network.training
    )
    stopped.state.network.train()
    with pytest.raises(Stopped):
        stopped.run()
    resumed = Training(sweep(), dataset, "cpu", path)
    assert resumed.state.step == 2 * resumed.steps_per_epoch - 1  # before the first one
    assert resumed.run() == undisturbed(sweep())


def on_a_small_device(allowed, where):
    """Training on a device that holds no more than `allowed` schemes, where they are counted."""

    class SmallBuilder(Builder):
        def build(self, schemes, device):
            if where == "building" and len(schemes) > allowed:
                raise torch.OutOfMemoryError("CUDA out of memory")
            state = super().build(schemes, device)
            state.network.register_forward_pre_hook(self.count)
            return state

        def count(self, network, inputs):
            now = "step" if network.training else "evaluation"
            if where == now and len(next(network.parameters())) > allowed:
                raise torch.OutOfMemoryError("CUDA out of memory")

    class SmallTraining(Training):
        builder = SmallBuilder

    return SmallTraining


@pytest.mark.slow
@pytest.mark.parametrize("where", ["building", "step", "evaluation"])
@pytest.mark.parametrize("allowed", [4, 17])
@pytest.mark.parametrize("saved", [False, True], ids=["unsaved", "saved"])
def test_out_of_memory_splits_the_stack(where, allowed, saved, dataset, undisturbed, tmp_path):
    if (where, saved) == ("building", True):
        return  # parts of a checkpoint are built in the CPU's memory
    path = tmp_path / "checkpoint.pt" if saved else None
    split = on_a_small_device(allowed, where)(sweep(), dataset, "cpu", path, 0)
    history = pd.DataFrame(split.run())
    assert len(split.state.schemes) <= allowed
    expected = pd.DataFrame(undisturbed(sweep()))
    pd.testing.assert_frame_equal(history, expected, rtol=1e-3, atol=1e-6)


def test_graphs_are_forgotten_with_what_did_not_fit(monkeypatch):
    """They would keep the memory that they were made in."""
    done, whole = [], {"schemes": 4 * [{}]}

    def work():
        done.append("work")
        if len(done) == 1:
            raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.compiler, "reset", lambda: done.append("reset"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("empty_cache"))
    stacks = Stacks.__new__(Stacks)
    stacks._device, stacks._checkpoint, stacks._left = torch.device("cuda"), None, [whole]
    stacks._until_it_fits(work)
    assert done == ["work", "reset", "empty_cache", "work"]
    assert [len(part["schemes"]) for part in stacks._left] == [2, 2]


def test_without_a_compiler_steps_are_not_compiled(dataset, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("Failed to find C compiler. Please specify via CC.\nand more")

    monkeypatch.setattr(torch, "compile", fail)
    devices.cannot_compile.cache_clear()
    with pytest.warns(UserWarning, match=r"^steps are not compiled: Failed to find C compiler\."):
        training = Training(sweep(), dataset, compiled=True)
    devices.cannot_compile.cache_clear()
    assert training.losses is training.objective.losses


def test_parts_of_a_saved_stack_are_restored_without_the_whole(dataset, tmp_path):
    small, built = on_a_small_device(14, "evaluation"), []

    class Recorded(small.builder):
        def build(self, schemes, device):
            built.append(len(schemes))
            return super().build(schemes, device)

    small.builder = Recorded
    small(sweep(), dataset, "cpu", tmp_path / "checkpoint.pt", 0).run()
    assert built == [18, 9, 9, 9, 9]  # the whole, both parts, and each when its turn comes


def test_a_split_stack_goes_on_where_it_was_and_can_be_stopped(dataset, undisturbed, tmp_path):
    path = tmp_path / "checkpoint.pt"

    def stop_at(step, kind):
        training = kind(
            sweep(), dataset, "cpu", path, should_stop=lambda: training.state.step == step
        )
        begun = training.state.step
        with pytest.raises(Stopped):
            training.run()
        return begun, len(training.state.schemes)

    small = on_a_small_device(9, "step")
    assert stop_at(12, Training) == (0, 18)
    assert stop_at(14, small) == (12, 9)  # the first half, while the second waits
    assert stop_at(13, small) == (14, 9)  # the second half
    last = small(sweep(), dataset, "cpu", path)
    assert (last.state.step, len(last.state.schemes)) == (13, 9)
    history, expected = pd.DataFrame(last.run()), pd.DataFrame(undisturbed(sweep()))
    pd.testing.assert_frame_equal(history, expected, rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module")
def wide():
    """Noise of so many features that networks take megabytes."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(120, 6000, generator=generator), torch.arange(3).repeat(40)
    arrays = x[:90], y[:90], x[90:], y[90:]
    return make_dataset("clusters", *arrays, class_names=("a", "b", "c"), source="made here")


def room_for(schemes, given):
    """MB that the first schemes of a sweep on `wide` take, which train by Adam."""
    return memory_mb(given, Shape(6000, 3, 90, 30), given.schemes[:schemes])


@pytest.mark.slow
@pytest.mark.parametrize(("model", "widths"), [("mlp", (80, 5)), ("kan", (8, 5))])
def test_a_stack_that_needs_too_much_memory_is_trained_in_parts(
    model, widths, wide, tmp_path, capsys
):
    given = sweep(model)
    given = replace(given, architecture=replace(given.architecture, hidden_widths=widths))
    undisturbed = pd.DataFrame(Training(given, wide).run())
    limit = room_for(6, given)
    divided = Training(given, wide, "cpu", tmp_path / "checkpoint.pt", memory_mb=limit)
    assert "training 3 parts of at most 6, one after the other" in capsys.readouterr().err
    history = pd.DataFrame(divided.run())
    assert len(divided.state.schemes) == 6
    pd.testing.assert_frame_equal(history, undisturbed, rtol=1e-3, atol=1e-6)


def test_progress_counts_parts_by_their_share_of_schemes(wide):
    given, seen = sweep(), []
    training = Training(given, wide, memory_mb=room_for(6, given))
    steps = given.epochs * training.steps_per_epoch
    training.run(lambda training: seen.append(training.stacks.steps_done(steps) / steps))
    assert seen == pytest.approx([number / 12 for number in range(1, 13)])


def test_networks_of_a_warm_start_are_kept_of_all_parts(wide):
    options = only("adam", 0.005, None) | {"initializations": INITIALIZATIONS, "warm_start": True}
    given = sweep(**options)
    whole = Training(given, wide)
    whole.run()
    divided = Training(given, wide, memory_mb=room_for(1, given))
    divided.run()
    assert len(divided.state.schemes) == 1
    expected = whole.state_dicts()
    for initialization, network in divided.state_dicts().items():
        torch.testing.assert_close(network, expected[initialization], rtol=1e-3, atol=1e-5)


def test_one_network_that_needs_more_than_there_is_is_told_before_training(dataset):
    given = sweep()
    vast = replace(given, architecture=replace(given.architecture, hidden_widths=(10**10,)))
    with pytest.raises(MemoryError, match=r"need [\d,]+ MB of memory, and there are .*batch_size"):
        Training(vast, dataset, memory_mb=1000)


def test_one_network_that_does_not_fit_is_told(dataset):
    with pytest.raises(MemoryError, match="smaller batch_size"):
        on_a_small_device(0, "step")(sweep(), dataset).run()


def test_seeds_differ_in_weights_minibatches_and_split(dataset):
    first, second = (Training(sweep(seed=seed), dataset) for seed in (0, 1))
    weights = [next(iter(t.state.network.parameters())) for t in (first, second)]
    assert not torch.equal(*weights)
    for name in ("train", "validation"):
        inputs = [next(t.splits.in_order(name, 1000))[0] for t in (first, second)]
        assert not torch.equal(*inputs)
    same_split = [Training(sweep(seed=seed, validation_fraction=0.0), dataset) for seed in (0, 1)]
    batches = [next(t.splits.training_batches(0))[0] for t in same_split]
    assert not torch.equal(*batches)


def test_schemes_with_one_initialization_start_from_the_same_weights(dataset):
    training = Training(sweep(), dataset)
    weight = next(iter(training.state.network.parameters()))
    for index, scheme in enumerate(training.sweep.schemes):
        same = [s.initialization == scheme.initialization for s in training.sweep.schemes]
        assert [torch.equal(weight[index], other) for other in weight] == same


def test_cross_entropy_of_a_stack_is_each_networks(dataset):
    logits, y = torch.randn(4, 7, 3), torch.randint(3, (7,))
    expected = torch.stack([torch.nn.functional.cross_entropy(one, y) for one in logits])
    torch.testing.assert_close(cross_entropy(logits, y), expected)
    network = build(sweep().architecture, 6, 3, 2).eval()
    for index in range(2):
        network.initialize(index, "orthogonal", torch.Generator().manual_seed(index))
    x = torch.randn(7, 6)
    assert torch.equal(losses(network, x, y, sweep()), cross_entropy(network(x), y))


def test_progress_says_how_far(dataset, capsys):
    Training(replace(sweep(), epochs=4), dataset).run(progress)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("epoch 4/4  18 schemes")
    assert lines[-1].endswith("0 s left")
    best = float(lines[-1].split("accuracy ")[1].split()[0])
    assert 0 < best <= 1
    assert not math.isnan(best)


@pytest.mark.slow
@pytest.mark.skipif(
    "ATEN_CPU_CAPABILITY" in os.environ, reason="torch.compile does not go by this variable"
)
@pytest.mark.parametrize("model", ["mlp", "kan"])
def test_compiled_steps_are_the_same(model, dataset, monkeypatch):
    """In PyTorch alone, as without kernels; those of a GPU are operators to the compiler."""
    for module in (local_support, products):
        monkeypatch.setattr(module, "LIBRARY", None)
    options = {**only("sgd_momentum", 0.05, "orthogonal"), "epochs": 2, "dropout": 0.0}
    plain = Training(sweep(model, **options), dataset)
    compiled = Training(sweep(model, **options), dataset, compiled=True)
    for training in (plain, compiled):
        training.run()
    pairs = zip(plain.state.network.parameters(), compiled.state.network.parameters(), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
