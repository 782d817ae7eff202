"""Training in random subspaces: an oracle in PyTorch's own terms, neighbours, kills, divergence."""

from dataclasses import replace

import pytest
import torch
from torch.func import functional_call

from kancore.data.digits import prepare
from kancore.data.preparation import take
from kancore.intrinsic_dimension.landscape import SubspaceAdam, SubspaceTraining, measure_landscape
from kancore.intrinsic_dimension.subspaces import PROJECTIONS, Landscape, Subspace
from kancore.schemes import Architecture

SMALL = Architecture("mlp", (8,), activation="relu")
SIZE = 64 * 8 + 8 + 8 * 10 + 10
KAN = Architecture("kan", (3,), degree=3, grid_size=5, grid_range=(-1.0, 1.0))


@pytest.fixture(scope="module")
def dataset():
    return take(prepare(None), 400, 200)


def landscape(**options):
    defaults = {
        "architecture": SMALL,
        "projection": "fastfood",
        "dimensions": (5, 50),
        "refinements": 1,
        "seed": 0,
        "epochs": 4,
        "batch_size": 32,
        "learning_rate": 0.01,
        "evaluate_every": 2,
    }
    return Landscape("digits", "backprop", **(defaults | options))


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("architecture", [SMALL, KAN], ids=["mlp", "kan"])
def test_is_adam_on_the_coordinates(projection, architecture, dataset):
    """Against torch.optim.Adam on z in theta_0 + P z, with autograd through P, in float64."""
    what = landscape(projection=projection, architecture=architecture)
    training = SubspaceTraining(what, dataset)
    state = training.state
    projections = [each.double() for each in state.optimizer.projections]
    state.network.double()
    start = {name: value.detach().clone() for name, value in state.network.named_parameters()}
    parameters = list(state.network.parameters())
    optimizer = SubspaceAdam(parameters, what.schemes, projections, what.learning_rate)
    z = [torch.zeros(each.dimension, dtype=torch.float64).requires_grad_() for each in projections]
    adam = torch.optim.Adam(z, lr=what.learning_rate)
    flat = torch.cat([value.flatten(1) for value in start.values()], dim=1)
    sizes = [value[0].numel() for value in start.values()]

    def moved():
        moved = flat + torch.stack([p(one) for p, one in zip(projections, z, strict=True)])
        pieces = zip(start.items(), moved.split(sizes, dim=1), strict=True)
        return {name: piece.reshape(value.shape).contiguous() for (name, value), piece in pieces}

    for number in range(10):
        x, y = training.splits.batch("train", torch.arange(32) + 32 * number)
        losses = training.objective.losses(state.network, x.double(), y, what)
        optimizer.step(torch.autograd.grad(losses.sum(), parameters))
        logits = functional_call(state.network, moved(), (x.double(),))
        adam.zero_grad()
        sum(torch.nn.functional.cross_entropy(each, y) for each in logits).backward()
        adam.step()
    for name, value in moved().items():
        found = dict(state.network.named_parameters())[name]
        torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_a_subspace_of_all_dimensions_reaches_the_direct_network(dataset):
    whole = landscape(dimensions=(SIZE,), epochs=60, projection="dense", evaluate_every=60)
    direct, subspace = (
        next(row for row in rows if row["dimension"] == dimension)["test_accuracy"]
        for rows in [SubspaceTraining(whole, dataset).run()]
        for dimension in (None, SIZE)
    )
    assert direct > 0.85
    assert subspace == pytest.approx(direct, abs=0.05)


def test_a_few_dimensions_are_not_enough(dataset):
    rows = measure_landscape(landscape(dimensions=(1, 300), refinements=0, epochs=20), dataset)
    one, many, direct = (row["test_accuracy"] for row in rows)
    assert one < 0.3 < many
    assert many <= direct + 0.05
    assert [row["dimension"] for row in rows] == [1, 300, SIZE]
    assert [row["direct"] for row in rows] == [False, False, True]
    assert {row["parameters"] for row in rows} == {SIZE}


@pytest.mark.parametrize("alone", [(5,), (50,), ()])
def test_a_stack_gives_each_subspace_what_it_gets_alone(alone, dataset):
    def losses(what):
        return {
            (row["dimension"], row["epoch"]): row["train_loss"]
            for row in SubspaceTraining(what, dataset).run()
        }

    stack = losses(landscape(dimensions=(5, 50)))
    single = losses(landscape(dimensions=alone, direct=not alone))
    assert single == pytest.approx({key: stack[key] for key in single}, rel=1e-5)


@pytest.mark.slow
def test_refinements_try_dimensions_between_those_that_bracket_a_threshold(dataset):
    rows = measure_landscape(landscape(dimensions=(20, 320), refinements=2, epochs=20), dataset)
    tried = [row["dimension"] for row in rows]
    assert tried[0] == 20
    assert tried[-1] == SIZE
    assert len(tried) > 4
    assert tried == sorted(set(tried))


def test_dimensions_beyond_the_network_are_left_out(dataset):
    rows = measure_landscape(landscape(dimensions=(50, 5000), refinements=0), dataset)
    assert [row["dimension"] for row in rows] == [50, SIZE]


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("epochs_before", [2, 5, 7])
def test_goes_on_from_its_checkpoints_to_the_same_rows(epochs_before, dataset, tmp_path):
    what = landscape(dimensions=(5, 50), refinements=2)
    undisturbed = measure_landscape(what, dataset)
    epochs = 0

    def kill(training):
        nonlocal epochs
        epochs += 1
        if epochs == epochs_before:
            raise Killed

    options = {"folder": tmp_path, "checkpoint_seconds": 0}
    with pytest.raises(Killed):
        measure_landscape(what, dataset, report=kill, **options)
    epochs = -(10**6)
    assert measure_landscape(what, dataset, report=kill, **options) == undisturbed
    finished = sum(1 for _ in tmp_path.glob("checkpoint?.pt"))
    assert epochs + 10**6 <= finished * what.epochs - epochs_before + 1


@pytest.mark.slow
def test_a_network_whose_accuracy_no_longer_rises_is_trained_no_further(dataset):
    """As if its rows had been read up to that epoch; the others go on as before."""
    options = {"dimensions": (2, 50), "refinements": 0, "epochs": 40, "evaluate_every": 1}
    whole = SubspaceTraining(landscape(**options), dataset).run()
    stopped = SubspaceTraining(landscape(**options, patience=3), dataset).run()
    for dimension in (2, 50, None):
        curve = [row for row in whole if row["dimension"] == dimension]
        accuracies = [row["validation_accuracy"] for row in curve]
        best = [accuracies.index(max(accuracies[: epoch + 1])) for epoch in range(len(curve))]
        last = next((at for at in range(len(curve)) if at - best[at] == 3), len(curve) - 1)
        assert [row for row in stopped if row["dimension"] == dimension] == [
            pytest.approx(row) for row in curve[: last + 1]
        ]
        assert last < len(curve) - 1  # so the rule had something to stop


def test_seeds_and_projections_differ(dataset):
    def accuracies(**options):
        rows = SubspaceTraining(landscape(direct=False, **options), dataset).run()
        return [row["train_loss"] for row in rows]

    first = accuracies()
    assert first == accuracies()
    assert first != accuracies(seed=1)
    assert first != accuracies(projection="sparse")


def test_a_network_that_diverges_leaves_its_neighbours_alone(dataset):
    training = SubspaceTraining(landscape(epochs=6), dataset)
    with torch.no_grad():
        training.state.network.stages[0].linear.weight[2] = float("nan")
    rows = training.run()
    lost = [row for row in rows if row["diverged"]]
    assert [row["dimension"] for row in lost] == [None]
    assert training.state.optimizer.schemes == (Subspace(5), Subspace(50))
    alone = SubspaceTraining(landscape(epochs=6, direct=False), dataset).run()
    expected = [row["train_loss"] for row in alone]
    found = [row["train_loss"] for row in rows if not row["diverged"]]
    assert found == pytest.approx(expected, rel=1e-5)


def test_everything_that_diverges_has_null_accuracies(dataset):
    rows = measure_landscape(landscape(learning_rate=1e30), dataset)
    direct = rows[-1]
    assert direct["diverged"]
    assert direct["test_accuracy"] is None
    assert direct["best_epoch"] is None


def test_without_validation_data_test_data_choose_the_epoch(dataset):
    (row,) = measure_landscape(
        landscape(dimensions=(), refinements=0, validation_fraction=0, epochs=6), dataset
    )
    assert row["validation_accuracy"] is None
    assert row["test_accuracy"] > 0.5


def test_survives_json():
    what = landscape(architecture=KAN)
    assert Landscape.from_dict(what.to_dict()) == what
    assert what.name == "digits/kan-3-gelu-degree3-grid5/seed0"
    assert replace(what, dimensions=(), direct=False).schemes == ()
