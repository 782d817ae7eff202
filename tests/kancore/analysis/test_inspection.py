"""What is told of trained networks, against plain counts and the layers themselves."""

from math import sqrt

import numpy as np
import pandas as pd
import pytest
import torch

import kancore
from kancore.analysis import inspection
from kancore.data import digits
from kancore.layers.kolmogorov_arnold import KALayer
from kancore.predict import predict
from kancore.schemes import Architecture, Sweep
from kancore.training.loop import Training
from kancore.training.splits import Splits
from kancore.training.stored import described, write_networks

KAN = Architecture("kan", (6,), degree=3, grid_size=4, grid_range=(-1.0, 1.0))
MLP = Architecture("mlp", (12,), residual=True, outputs=12)


def sweep_of(architecture, **options):
    schemes = {"optimizers": ("adam",), "learning_rates": (0.02,)}
    schemes |= {"initializations": ("orthogonal",), "epochs": 3, "batch_size": 64, "seed": 1}
    return Sweep("digits", "backprop", architecture, **(schemes | options))


@pytest.fixture(scope="module")
def data():
    return digits.prepare()


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A network of each of two models on some of the digits, and its splits."""
    found = {}
    for architecture in (KAN, MLP):
        sweep = sweep_of(architecture, train_examples=800, test_examples=150)
        training = Training(sweep, data, keep="best")
        training.run()
        path = tmp_path_factory.mktemp("networks") / "n.safetensors"
        origin = {"study": "s", "experiment": "grid", "protocol": "clean", "code": "1"}
        write_networks(path, described(training, data, **origin))
        splits = Splits(sweep, data, torch.device("cpu"))
        found[architecture.model] = kancore.load(path), splits
    return found


@pytest.mark.parametrize("model", ["kan", "mlp"])
def test_confusions_are_those_counted_one_by_one_and_give_the_stored_accuracy(model, trained):
    network, splits = trained[model]
    counts = inspection.confusion(network, splits)
    x, y = next(splits.in_order("test", 150))
    features = (x * network.std + network.mean).numpy()
    told = predict(network, features)["label"]
    naive = np.zeros((10, 11), int)
    for true, name in zip(y.tolist(), told, strict=True):
        naive[true, int(name) if name.isdigit() else 10] += 1
    np.testing.assert_array_equal(counts, naive)
    rows = pd.DataFrame(inspection.confusion_rows(network, counts))
    right = rows.loc[rows["label"] == rows["predicted"], "count"].sum()
    assert right / rows["count"].sum() == network.about["test_accuracy"] == right / 150
    assert set(rows["test_accuracy"]) == {network.about["test_accuracy"]}


def test_outputs_of_no_class_are_none(trained):
    network, splits = trained["mlp"]
    with torch.no_grad():
        network.network.stages[-1].bias[:, 11] += 1e6
        counts = inspection.confusion(network, splits)
        network.network.stages[-1].bias[:, 11] -= 1e6
    assert counts[:, -1].sum() == 150
    assert {row["predicted_name"] for row in inspection.confusion_rows(network, counts)} == {"none"}


def test_accuracies_of_classes_have_wilson_s_interval(trained):
    network, _ = trained["kan"]
    counts = np.zeros((10, 11), int)
    counts[2, [2, 3]], counts[7, 7] = (18, 2), 20
    first, second = inspection.class_rows(network, counts)
    assert (first["label_name"], first["correct"], first["examples"]) == ("2", 18, 20)
    for row in (first, second):
        n, p, z = row["examples"], row["accuracy"], 1.959963984540054
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        assert (row["low"], row["high"]) == pytest.approx((middle - half, middle + half))
    assert second["high"] == 1


@pytest.mark.parametrize("options", [{}, {"moving_grid": True}, {"spline_scale": "folded"}])
def test_an_edge_is_what_its_input_changes_in_a_unit(options):
    layer = KALayer(3, 5, 4, 2, activation="silu", **options)
    generator = torch.Generator().manual_seed(0)
    layer.initialize(0, "orthogonal", generator)
    with torch.no_grad():
        layer.coefficients.normal_(generator=generator)
        x = torch.randn(200, 3, generator=generator)
        if layer.moving_grid:
            layer.move_grid(x)
        base, spline = inspection.edge_functions(layer, 1, x[:, 1])
        function = base + spline
        held = x.clone()
        held[:, [0, 2]] = 0.3
        units = layer(held)[0]
    torch.testing.assert_close(function - function[0], units - units[0], atol=1e-5, rtol=1e-4)


def test_the_strongest_edges_are_sampled_over_the_data_with_their_density(trained, data):
    network, splits = trained["kan"]
    table = pd.DataFrame(inspection.edge_rows(network, data, splits))
    x, _ = splits.first(4096)
    layer = network.network.layers[0]
    strengths = torch.zeros(64, 6)
    for place in range(64):
        strengths[place] = sum(inspection.edge_functions(layer, place, x[:, place])).std(
            0, correction=0
        )
    strongest = strengths.flatten().sort(descending=True).values[:8]
    by_edge = table.groupby("edge")
    assert by_edge["strength"].first().to_numpy() == pytest.approx(strongest.numpy(), rel=1e-4)
    for _, edge in by_edge:
        row, column = map(int, edge["input"].iloc[0].removeprefix("pixel ").split(", "))
        values = x[:, 8 * (row - 1) + column - 1].numpy()
        width = np.diff(edge["x"]).mean()
        assert len(edge) == 100
        assert edge["x"].iloc[0] - width / 2 == pytest.approx(values.min(), abs=1e-5)
        assert edge["x"].iloc[-1] + width / 2 == pytest.approx(values.max(), abs=1e-5)
        assert (edge["density"] * width).sum() == pytest.approx(1)
        held = x[:1].repeat(100, 1)
        held[:, 8 * (row - 1) + column - 1] = torch.tensor(edge["x"].to_numpy())
        with torch.no_grad():
            unit = layer(held)[0, :, edge["unit"].iloc[0] - 1].numpy()
        function = (edge["base"] + edge["spline"]).to_numpy()
        np.testing.assert_allclose(function - function[0], unit - unit[0], atol=1e-4)


def test_first_layers_are_weights_of_the_units_that_vary_most(trained, data):
    network, splits = trained["mlp"]
    rows = list(inspection.first_layer_rows(network, data, splits))
    weight = network.network.stages[0].linear.weight[0].detach()
    x, _ = splits.first(4096)
    varies = (weight.square() * x.var(0, correction=0)).sum(1)
    expected = varies.argsort(descending=True)[:6] + 1
    assert [row["unit"] for row in rows] == expected.tolist()
    assert rows[0]["values"] == weight[rows[0]["unit"] - 1].tolist()
    assert (rows[0]["channels"], rows[0]["height"], rows[0]["width"]) == (1, 8, 8)
    network, splits = trained["kan"]
    layer = network.network.layers[0]
    for row in inspection.first_layer_rows(network, data, splits):
        unit = row["unit"] - 1
        edge = layer.coefficients[0, 20, :, unit] * layer.spline_scale[0, 20, unit]
        expected = {"base": layer.base_weight[0, 20, unit], "spline": edge.norm()}
        assert row["values"][20] == pytest.approx(expected[row["branch"]].item())


def test_tables_and_other_networks_have_no_images_and_mlps_no_edges(trained, data, dataset):
    network, splits = trained["mlp"]
    assert not list(inspection.edge_rows(network, data, splits))
    assert not list(inspection.first_layer_rows(network, dataset, splits))


def test_the_best_network_of_a_model_is_that_of_the_highest_rank(trained):
    (kan, _), (mlp, _) = trained["kan"], trained["mlp"]
    better = kancore.trained.Trained(kan.network, kan.mean, kan.std, {**kan.about, "rank": [2, 0]})
    assert inspection.best_of_models([kan, mlp, better]) == [better, mlp]
    assert inspection.best_of_models([kan, mlp, kan]) == [kan, mlp]
