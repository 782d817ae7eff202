"""Networks that are kept: those of the best evaluations, as they were, from whatever stack."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import kancore
from kancore.analysis.inspection import confusion
from kancore.data import digits, own
from kancore.data.dataset import load, save
from kancore.data.preparation import make_dataset
from kancore.predict import _features, predict
from kancore.schemes import Architecture, HsicBottleneck, Sweep
from kancore.training.loop import Training
from kancore.training.splits import Splits
from kancore.training.stored import described, read_networks, write_networks

KAN = Architecture("kan", (6,), degree=3, grid_size=4, grid_range=(-1.0, 1.0), dropout=0.2)
MOVED = Architecture("kan", (6,), degree=2, grid_size=3, grid_range=(-1.0, 1.0), moving_grid=True)
MLP = Architecture("mlp", (12,), batch_norm="after_activation", residual=True)
WIDE = Architecture("wide_mlp", (40, 20), layer_norm="before_activation", outputs=12)


def sweep(architecture, objective="backprop", **options):
    defaults = {
        **{"optimizers": ("adam", "sgd"), "learning_rates": (0.05, 0.005), "seed": 1},
        **{"initializations": ("orthogonal",), "epochs": 6, "batch_size": 64},
    }
    return Sweep("digits", objective, architecture, **(defaults | options))


def trained(given, keep, **options):
    data = digits.prepare()
    training = Training(given, data, keep=keep, **options)
    rows = training.run()
    origin = {"study": "s", "experiment": "grid", "protocol": "clean", "code": "1"}
    return pd.DataFrame(rows), described(training, data, **origin), data


def accuracy(network, x, y):
    with torch.no_grad():
        return (network(x).argmax(-1) == y).double().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [KAN, MOVED, MLP, WIDE], ids=lambda each: each.name)
@pytest.mark.parametrize("scaling", ["standardize", "unit"])
def test_each_run_s_network_predicts_as_accurately_as_its_best_evaluation(
    tmp_path, architecture, scaling
):
    rows, networks, data = trained(sweep(architecture, scaling=scaling), "all")
    write_networks(tmp_path / "all.safetensors", networks)
    assert len(networks) == 4
    for scheme, of_run in rows.groupby(["optimizer", "learning_rate"]):
        best = of_run.loc[of_run["validation_accuracy"].idxmax()]
        chosen = dict(zip(("optimizer", "learning_rate"), scheme, strict=True))
        found = kancore.load(tmp_path / "all.safetensors", **chosen)
        assert found.about["epoch"] == best["epoch"]
        assert found.about["test_accuracy"] == best["test_accuracy"]
        assert accuracy(found, data.x_test, data.y_test) == best["test_accuracy"]
    # The first of the file is the best of all.
    _, (best,), _ = trained(sweep(architecture, scaling=scaling), "best")
    about = kancore.load(tmp_path / "all.safetensors").about
    assert about["validation_accuracy"] == rows["validation_accuracy"].max()
    names = "optimizer", "learning_rate", "epoch"
    assert [about[name] for name in names] == [best[name] for name in names]


@pytest.mark.parametrize("architecture", [KAN, MLP, WIDE], ids=lambda each: each.name)
def test_networks_whose_output_units_hsic_trains_are_kept_with_what_reads_them(
    tmp_path, architecture
):
    """Loss and accuracy are those of the table, whatever unit stands for a class."""
    given = sweep(architecture, "hsic", hsic=HsicBottleneck(output="hsic"), epochs=3)
    rows, networks, data = trained(given, "all")
    path = tmp_path / "all.safetensors"
    write_networks(path, networks)
    assert len(networks) == 4
    for scheme, of_run in rows.groupby(["optimizer", "learning_rate"]):
        best = of_run.loc[of_run["validation_accuracy"].idxmax()]
        found = kancore.load(path, **dict(zip(("optimizer", "learning_rate"), scheme, strict=True)))
        assert accuracy(found, data.x_test, data.y_test) == best["test_accuracy"]
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(found(data.x_test), data.y_test)
        assert loss.item() == pytest.approx(best["test_loss"], rel=1e-5)
        names = np.array(found.class_names)[data.y_test.numpy()]
        table = predict(found, data.x_test.numpy())
        assert (table["label"] == names).mean() == best["test_accuracy"]
        splits = Splits(given, data, torch.device("cpu"))
        counts = confusion(found, splits)
        assert counts.trace() / counts.sum() == best["test_accuracy"]
    assert best["test_accuracy"] > 0.5
    networks[0]["readout"]["units"][0, 0] = 99
    write_networks(path, networks[:1])
    with pytest.raises(ValueError, match=r"all\.safetensors: readout is .*units below"):
        kancore.load(path)


def test_predictions_name_the_classes_and_add_up(tmp_path):
    _, networks, data = trained(sweep(KAN), "best")
    write_networks(tmp_path / "n.safetensors", networks)
    network = kancore.load(tmp_path / "n.safetensors")
    table = predict(network, data.x_test.numpy())
    assert list(table) == ["label", *data.class_names]
    np.testing.assert_allclose(table.drop(columns="label").sum(axis=1), 1, atol=1e-5)
    share = (table["label"] == np.array(data.class_names)[data.y_test.numpy()]).mean()
    assert share == network.about["test_accuracy"]
    with pytest.raises(ValueError, match=r"features have shape .2, 3., expected .batch, 64."):
        network(torch.zeros(2, 3))


def test_features_counted_from_their_mean_are_predicted_as_they_are_in_the_file(tmp_path):
    """Such as dates, of which float32 has no digits left."""
    x = np.random.default_rng(0).normal(size=(300, 3))
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    x[:, 0] = 1.7e9 + np.round(1000 * x[:, 0])
    table = pd.DataFrame(x, columns=["date", "b", "c"]).assign(label=y)
    table["split"] = np.where(np.arange(300) < 200, "train", "test")
    table.to_csv(tmp_path / "own.csv", index=False)
    data = own.prepare(tmp_path / "own.csv")
    save(tmp_path / "own.safetensors", data)
    data = load(tmp_path / "own.safetensors")
    assert data.offset.tolist()[1:] == [0, 0]
    training = Training(replace(sweep(MLP), dataset="own", epochs=20), data, keep="best")
    training.run()
    write_networks(tmp_path / "n.safetensors", described(training, data, study="s"))
    network = kancore.load(tmp_path / "n.safetensors")
    assert network.about["test_accuracy"] > 0.9
    for name in ("own.csv", "own.parquet"):
        table.to_parquet(tmp_path / "own.parquet")
        features = _features(tmp_path / name, network.about["feature_names"])[200:]
        found = predict(network, features)["label"].astype(int)
        assert (found == y[200:]).mean() == network.about["test_accuracy"]
    assert accuracy(network.prepared, data.x_test, data.y_test) == network.about["test_accuracy"]
    # Columns go by their names, in whatever order and beside whatever others.
    table[["c", "label", "b", "date"]].to_csv(tmp_path / "other.csv")
    other = _features(tmp_path / "other.csv", network.about["feature_names"])
    np.testing.assert_array_equal(other[200:], features)
    table.drop(columns="b").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(ValueError, match=r"less\.csv: .*lacks the columns b; it has date, c"):
        _features(tmp_path / "less.csv", network.about["feature_names"])
    network.offset[1] = torch.nan
    with pytest.raises(ValueError, match=r"features 1 had numbers beyond 2\*\*53 in training"):
        predict(network, features)


def test_networks_are_loaded_as_they_were_whatever_is_the_default(tmp_path):
    _, networks, data = trained(sweep(KAN, epochs=1), "best")
    write_networks(tmp_path / "n.safetensors", networks)
    expected = kancore.load(tmp_path / "n.safetensors")(data.x_test)
    for dtype, device in ((torch.float64, "cpu"), (torch.float16, "meta")):
        torch.set_default_dtype(dtype)
        torch.set_default_device(device)
        try:
            network = kancore.load(tmp_path / "n.safetensors")
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_default_device(None)
        assert torch.equal(network(data.x_test), expected)


def test_files_that_are_none_and_networks_that_are_not_there_are_told(tmp_path):
    path = tmp_path / "n.safetensors"
    _, networks, _ = trained(sweep(KAN, epochs=1), "best")
    write_networks(path, networks)
    with pytest.raises(ValueError, match="holds 1 networks, none with seed = 7"):
        kancore.load(path, seed=7)
    write_networks(path, [])
    with pytest.raises(ValueError, match="holds no network, as all runs have diverged"):
        kancore.load(path)
    networks[0]["architecture"]["model"] = "os:system"
    write_networks(path, networks)
    with pytest.raises(ValueError, match=r"a network of os:system.*expected trust=True"):
        kancore.load(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not a file of networks"):
        read_networks(path)


def test_a_run_that_diverges_keeps_what_it_was_before(tmp_path):
    y = torch.arange(2).repeat(40)
    x = torch.randn(80, 5, generator=torch.Generator().manual_seed(0)) + y.unsqueeze(1)
    data = make_dataset("noise", x, y, x, y, class_names=("a", "b"), source="made here")
    given = Sweep(
        *("noise", "backprop", MLP),
        **{"optimizers": ("sgd",), "learning_rates": (0.05, 1e30), "seed": 0},
        **{"initializations": ("orthogonal",), "epochs": 2, "batch_size": 16},
    )
    training = Training(given, data, keep="all")
    diverged = {row["learning_rate"] for row in training.run() if row["diverged"]}
    assert diverged == {1e30}
    assert [each["scheme"]["learning_rate"] for each in training.state.kept] == [0.05]
