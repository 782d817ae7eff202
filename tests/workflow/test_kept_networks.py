"""The networks that a study keeps, as its users find them."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd

from kancore.analysis.tables import RUNS
from kancore.data.dataset import load
from kancore.tables import read_table


def test_the_best_network_of_each_architecture_predicts_as_the_table_of_runs_says(project):
    results = project.path / "results" / "tiny"
    runs = read_table(results / "tables/grid/runs.parquet", RUNS)
    data = load(project.path / "results/data/digits.safetensors")
    names = [f"pixel{number}" for number in range(data.features)]
    table = pd.DataFrame(data.x_test.numpy(), columns=names)
    table["label"] = np.array(data.class_names)[data.y_test.numpy()]
    table.to_csv(project.path / "test.csv", index=False)
    files = sorted((results / "networks").rglob("*.safetensors"))
    assert [str(file.relative_to(results / "networks")) for file in files] == [
        "digits/backprop/kan-32-gelu-degree3-grid5.safetensors",
        "digits/backprop/mlp-32-gelu.safetensors",
    ]
    for model, file in zip(("kan", "mlp"), files, strict=True):
        command = [sys.executable, "-m", "kancore.predict", file, "test.csv"]
        done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=True)
        found = pd.read_csv(io.StringIO(done.stdout), dtype={"label": str})
        of_model = runs[runs["model"] == model]
        order = ["validation_accuracy", "best_epoch", "train_accuracy"]
        best = of_model.sort_values(order, ascending=[False, True, False]).iloc[0]
        assert (found["label"] == table["label"]).mean() == best["test_accuracy"]


def test_confusions_add_up_to_the_accuracy_in_the_table_of_runs_and_come_back_the_same(project):
    tables = project.path / "results" / "tiny" / "tables"
    runs = read_table(tables / "grid/runs.parquet", RUNS)
    counts = pd.read_csv(tables / "confusion.csv")
    for _, rows in counts.groupby("model"):
        right = rows.loc[rows["label"] == rows["predicted"], "count"].sum() / rows["count"].sum()
        names = "model", "initialization", "optimizer", "learning_rate", "seed", "test_accuracy"
        network = rows.iloc[0]
        assert right == network["test_accuracy"]
        assert (runs[[*names]] == network[[*names]]).all(axis=1).sum() == 1
    names = "confusion", "class_accuracy", "edges", "first_layers"
    before = {name: (tables / f"{name}.parquet").read_bytes() for name in names}
    project.snakemake("--cores", "1", "inspection", "--forcerun", "inspection")
    assert before == {name: (tables / f"{name}.parquet").read_bytes() for name in names}
    report = (tables.parent / "report.html").read_text()
    assert 'id="figure-edge_functions"' in report


def test_all_networks_are_kept_if_asked_and_none_if_not(project):
    assert project.plan("--config", "keep=none") == {"report": 1}
    project.snakemake("--cores", "1", "results/tiny/report.html", "--config", "keep=none")
    assert "figure-confusion" not in (project.path / "results/tiny/report.html").read_text()
    grid = "name=every", "keep=all", *project.GRID_ALONE
    file = "results/every/networks/digits/backprop/mlp-32-gelu.safetensors"
    project.snakemake(file, "--cores", "2", "--config", *grid)
    load = f"kancore.load({file!r}, initialization='orthogonal', optimizer='sgd')"
    code = f"import kancore; print({load}.about['optimizer'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "sgd\n"
