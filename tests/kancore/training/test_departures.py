"""What the published code does differently, beside plain PyTorch or its definition."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kancore.data.dataset import rows, split
from kancore.data.preparation import make_dataset
from kancore.machine.interruption import Stopped
from kancore.networks import build
from kancore.schemes import MODELS, WARM_ORDER, Architecture, Sweep, derive_seed
from kancore.training.loop import Training
from kancore.training.runner import Runner

GRID = {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)}
OPTIONS = ("cpu", 60, "code")


@pytest.fixture(scope="module")
def dataset():
    """Noisy images of 2 channels, 3 rows and 4 columns, in 3 classes."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(3).repeat(80)
    centres = torch.randint(0, 256, (3, 24), generator=generator)
    x = (centres[y] + torch.randint(0, 90, (240, 24), generator=generator)).clamp(max=255)
    x = x.to(torch.uint8)
    return make_dataset(
        "images",
        *(x[:180], y[:180], x[180:], y[180:]),
        class_names=("a", "b", "c"),
        source="made here",
        image_shape=(2, 3, 4),
    )


def architecture(model, **options):
    return Architecture(model, (8, 5), **(GRID if model == "kan" else {}), **options)


def sweep(model="mlp", of=None, **options):
    defaults = {
        "optimizers": ("adam", "sgd", "sgd_momentum"),
        "learning_rates": (0.05, 0.005),
        "initializations": ("kaiming_normal", "orthogonal"),
        "seed": 0,
        "epochs": 2,
        "batch_size": 32,
        "validation_fraction": 0.0,
    }
    return Sweep("images", "backprop", of or architecture(model), **(defaults | options))


def torchs_optimizer(name, parameters, rate):
    if name == "adam":
        return torch.optim.AdamW(parameters, lr=rate)
    momentum = {"momentum": 0.9, "nesterov": True} if name == "sgd_momentum" else {}
    return torch.optim.SGD(parameters, lr=rate, **momentum)


def test_a_warm_start_is_one_pytorch_network_trained_in_turn(dataset, plain_mlp, tmp_path):
    warm = sweep(warm_start=True, initializations=("orthogonal",))
    first = Training(warm.stages()[0], dataset)
    network = plain_mlp(first.state.network)
    train, _ = split(dataset.y_train, 0.0, derive_seed("split", "images", 0))
    x, y = dataset.standardize(rows(dataset.x_train, train)), dataset.y_train[train]
    expected = []
    for rate in (0.05, 0.005):
        for name in WARM_ORDER:
            optimizer = torchs_optimizer(name, network.parameters(), rate)
            for epoch in range(2):
                seed = derive_seed("order", "images", 0, epoch)
                order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
                for batch in order.split(32)[: len(y) // 32]:
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
                    optimizer.step()
            logits = network(dataset.standardize(dataset.x_test))
            loss = torch.nn.functional.cross_entropy(logits, dataset.y_test).item()
            expected.append((name, rate, loss))
    found = [
        (rows[-1]["optimizer"], rows[-1]["learning_rate"], rows[-1]["test_loss"])
        for _, rows in Runner([warm], tmp_path).run(dataset, *OPTIONS)
    ]
    assert [each[:2] for each in found] == [each[:2] for each in expected]
    np.testing.assert_allclose(
        [each[2] for each in found], [each[2] for each in expected], rtol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_warm_start_has_the_same_runs_beside_others(model, dataset, tmp_path):
    normalized = architecture(model, dropout=0.2, batch_norm="after_activation")
    # Without Adam, which divides gradients that are rounding noise by themselves.
    warm = sweep(of=normalized, warm_start=True, optimizers=("sgd", "sgd_momentum"))
    together = [row for _, rows in Runner([warm], tmp_path).run(dataset, *OPTIONS) for row in rows]
    for name in warm.initializations:
        alone = replace(warm, initializations=(name,))
        found = Runner([alone], tmp_path / name).run(dataset, *OPTIONS)
        found = [row for _, rows in found for row in rows]
        own = [row for row in together if row["initialization"] == name]
        assert [row["test_accuracy"] for row in found] == [row["test_accuracy"] for row in own]
        losses = [[row["test_loss"] for row in each] for each in (found, own)]
        np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 12, 30, 55])
def test_a_warm_start_goes_on_where_it_was_stopped(stop, dataset, tmp_path):
    warm = sweep(warm_start=True)
    undisturbed = [rows for _, rows in Runner([warm], tmp_path / "else").run(dataset, *OPTIONS)]
    calls = iter(range(10**6))
    with pytest.raises(Stopped):
        list(
            Runner([warm], tmp_path).run(dataset, *OPTIONS, should_stop=lambda: next(calls) == stop)
        )
    assert [rows for _, rows in Runner([warm], tmp_path).run(dataset, *OPTIONS)] == undisturbed


def test_a_network_that_has_diverged_stays_so_in_a_warm_start(dataset, tmp_path):
    warm = sweep(warm_start=True, optimizers=("sgd",), learning_rates=(1e30, 0.05))
    wild, after = (rows for _, rows in Runner([warm], tmp_path).run(dataset, *OPTIONS))
    for stage in (wild, after):
        assert [row["diverged"] for row in stage] == [True, True]
        assert [row["test_accuracy"] for row in stage] == [None, None]


def test_a_warm_start_says_where_its_networks_were_trained_in_turn(dataset):
    training = Training(sweep(optimizers=("sgd",), learning_rates=(0.05,)), dataset)
    training.state.keep([1])
    with pytest.raises(MemoryError, match="warm start side by side"):
        training.state_dicts()


def test_sweeps_in_turn_start_anew_from_each_other(dataset, tmp_path):
    warm = sweep(warm_start=True)
    twice = Runner([warm, replace(warm)], tmp_path).run(dataset, *OPTIONS)
    twice = [rows for _, rows in twice]
    assert len(twice) == 12
    assert twice[:6] == twice[6:]


@pytest.mark.parametrize("model", MODELS)
def test_hidden_layers_may_have_an_initialization_of_their_own(model):
    stack = build(architecture(model, hidden_initialization="kaiming_uniform"), 6, 3, 1)
    same = build(architecture(model), 6, 3, 1)
    stack.initialize(0, "orthogonal", torch.Generator().manual_seed(1))
    same.initialize(0, "kaiming_uniform", torch.Generator().manual_seed(1))
    for ours, theirs in zip(stack.stages[:-1], same.stages[:-1], strict=True):
        for name, value in ours.state_dict().items():
            torch.testing.assert_close(value, theirs.state_dict()[name], rtol=0, atol=0)
    if model != "kan":
        last = stack.stages[-1].weight[0]
        torch.testing.assert_close(last @ last.T, torch.eye(3))


@pytest.mark.parametrize("model", ["mlp", "wide_mlp"])
def test_outputs_and_biases_may_begin_as_pytorchs(model):
    torch.manual_seed(0)
    shape = architecture(model, output_initialization="pytorch", uniform_biases=True)
    stack = build(shape, 6, 3, 1)
    stack.initialize(0, "orthogonal", torch.Generator().manual_seed(1))
    hidden = stack.stages[0].linear.weight[0].T
    torch.testing.assert_close(hidden @ hidden.T, torch.eye(6), rtol=0, atol=1e-5)
    last = stack.stages[-1]
    for value in (last.weight, last.bias):
        assert 0 < value.abs().max() < 5**-0.5
    assert (last.weight[0] @ last.weight[0].T).diagonal().max() < 1


def test_pixels_may_be_inputs_in_the_unit_interval(dataset):
    training = Training(sweep(scaling="unit"), dataset)
    x, _ = next(training.splits.in_order("test", 60))
    torch.testing.assert_close(x, dataset.x_test.float() / 255)


@pytest.mark.parametrize(("first", "epochs"), [(None, [2, 4, 5]), (1, [1, 3, 5]), (3, [3, 5])])
def test_evaluations_begin_where_they_are_told_to(dataset, first, epochs):
    found = Training(sweep(epochs=5, evaluate_every=2, first_evaluation=first), dataset).run()
    assert list(dict.fromkeys(row["epoch"] for row in found)) == epochs


@pytest.mark.parametrize("model", MODELS)
def test_logits_may_be_rectified(model):
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    plain, rectified = (build(architecture(model, relu_logits=on), 6, 3, 2) for on in (False, True))
    for network in (plain, rectified):
        for index in range(2):
            network.initialize(index, "orthogonal", torch.Generator().manual_seed(index))
    assert (plain(x) < 0).any()
    torch.testing.assert_close(rectified(x), plain(x).clamp(min=0), rtol=0, atol=0)
    torch.testing.assert_close(rectified.layerwise(x)[-1], plain.layerwise(x)[-1].clamp(min=0))


def test_a_network_may_have_more_outputs_than_classes(dataset):
    # The published count of IMDB, 100 features.
    mlp = Architecture("mlp", (32,), batch_norm="after_activation", outputs=10)
    assert build(mlp, 100, 2, 1).num_parameters == 3_626
    wide = Training(sweep(of=architecture("mlp", outputs=7)), dataset)
    assert wide.run()[-1]["test_accuracy"] > 0.4
    assert wide.state.network(torch.zeros(1, 24)).shape[-1] == 7
    with pytest.raises(ValueError, match="outputs are 2, expected at least the 3 classes"):
        Training(sweep(of=architecture("mlp", outputs=2)), dataset)


def test_test_examples_after_the_last_whole_batch_are_left_out(dataset):
    whole, all_of_it = (
        Training(sweep(batch_size=25, whole_test_batches=on), dataset) for on in (True, False)
    )
    assert all_of_it.splits.sizes["test"] == 60
    assert whole.splits.sizes["test"] == 50
    x, y = dataset.standardize(dataset.x_test[:50]), dataset.y_test[:50]
    last = whole.run()[-1]
    predicted = whole.state.network(x)[-1].argmax(-1)
    assert last["test_accuracy"] == (predicted == y).double().mean().item()
    small = Training(sweep(batch_size=64, whole_test_batches=True), dataset)
    assert small.splits.sizes["test"] == 60


def test_images_are_flipped_each_way_one_half_of_them(dataset):
    plain, flipped = (Training(sweep(flips=on), dataset).splits for on in (False, True))
    seen = np.zeros(4, int)
    for epoch in range(20):
        pairs = zip(plain.training_batches(epoch), flipped.training_batches(epoch), strict=True)
        for images, others in pairs:
            images, others = (x.numpy().reshape(-1, 2, 3, 4) for x, _ in (images, others))
            for image, other in zip(images, others, strict=True):
                kinds = [image, image[:, :, ::-1], image[:, ::-1], image[:, ::-1, ::-1]]
                seen += [np.array_equal(other, kind) for kind in kinds]
    assert seen.sum() == 20 * 160
    assert (abs(seen / seen.sum() - 0.25) < 0.03).all()


def test_tables_are_not_flipped(dataset):
    table = make_dataset(
        "images",
        *(dataset.x_train.float(), dataset.y_train, dataset.x_test.float(), dataset.y_test),
        class_names=dataset.class_names,
        source="made here",
    )
    found = [Training(sweep(flips=on), table).run() for on in (False, True)]
    assert found[0] == found[1]
    assert Training(sweep(flips=True), dataset).run() != Training(sweep(), dataset).run()
