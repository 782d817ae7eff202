"""Networks of the user's own in a study: trained, compared, shown, and again when edited."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from kancore.analysis.tables import RUNS
from kancore.schemes import INITIALIZATIONS
from kancore.tables import TIMINGS, read_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_models.md"
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
SCHEMES = PAGE.with_name("own_schemes.md")
OWN = "rbf_kan:build"


@pytest.fixture
def with_example(project):
    """The project with the example of the documentation in the working folder, and options."""
    for name in ("rbf_kan", "other"):
        (project.path / f"{name}.py").write_text(EXAMPLE)
    return project, ["--config", f"models=[mlp,kan,{OWN}]", *project.GRID_ALONE]


@pytest.fixture
def with_own_data(with_example):
    """The same with a data set of one's own beside."""
    project, options = with_example
    x = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    arrays = {"x_train": x[:80], "y_train": y[:80], "x_test": x[80:], "y_test": y[80:]}
    np.savez(project.path / "mine.npz", **arrays)
    own = 'data={"own": {"mine": "mine.npz"}}', "train_examples={mine: null, default: 200}"
    return project, [*options, "datasets=[digits,mine]", *own]


@pytest.mark.slow
def test_a_network_and_a_data_set_of_ones_own_run_through_the_study(with_example, with_own_data):
    assert with_example[0].plan(*with_example[1])["train"] == 1
    project, options = with_own_data
    assert project.plan(*options)["train"] == 1 + 3
    project.snakemake("--cores", "2", *options)
    results = project.path / "results" / "tiny"
    runs = read_table(results / "tables" / "grid" / "runs.parquet", RUNS)
    mlps = runs[(runs["model"] == "mlp") & (runs["dataset"] == "mine")]
    assert mlps["parameters"].unique().tolist() == [4 * 32 + 32 + 32 * 2 + 2]
    assert runs.groupby("dataset").size().to_dict() == {"digits": 27, "mine": 27}
    runs = runs[runs["dataset"] == "digits"]
    own = runs[runs["model"] == OWN]
    assert len(own) == len(runs) / 3 == 9
    assert set(own["parameters"]) == {(64 * 32 + 32 * 10) * 9}
    assert own["activation"].isna().all()
    assert own["test_accuracy"].max() > 0.5
    assert set(own["code"]).isdisjoint(runs.loc[runs["model"] != OWN, "code"])
    timings = read_table(results / "tables" / "grid" / "timings.parquet", TIMINGS)
    assert "digits/backprop/rbf_kan.build-32/0.005/seed0" in set(timings["sweep"])
    compared = json.loads((results / "claims.json").read_text())["own_models"]
    assert [(each["model"], each["rival"]) for each in compared] == [(OWN, "mlp"), (OWN, "kan")]
    report = (results / "report.html").read_text(encoding="utf-8")
    assert "Models of your own" in report
    assert f"Training code, {OWN} (backprop)" in report

    assert project.plan(*options) == {}
    project.append("rbf_kan.py", "# a comment")
    assert project.plan(*options) == {}
    project.append("rbf_kan.py")
    output = project.snakemake("--cores", "1", "--dry-run", *options)
    assert {*re.findall(r"train (grid\S*)", output)} == {
        f"grid/{dataset}/backprop/rbf_kan.build-32/0.005/seed0" for dataset in ("digits", "mine")
    }
    project.append("kancore/layers/splines.py")
    assert project.plan(*options)["train"] == 2 * 2


def test_a_network_that_cannot_train_is_one_error_before_anything_is_planned(with_example):
    project, _ = with_example
    for model, message in {
        "nothing:build": "config: models: nothing:build: there is no nothing.py in",
        "other:make": "has no function make",
    }.items():
        output = project.snakemake("-n", "--config", f"models=[{model}]", check=False)
        assert message in output
        assert "Traceback" not in output
    wrong = EXAMPLE.replace("widths, widths[1:]", "widths, (*widths[1:-1], 7)")
    (project.path / "wrong.py").write_text(wrong)
    output = project.snakemake("-n", "--config", "models=[wrong:build]", check=False)
    assert "wrong:build: its network makes [4, 7] of inputs [4, 64]; expected [4, 10]" in output


def test_hsic_leaves_it_out_and_a_landscape_takes_it(with_example):
    project, _ = with_example
    networks = 'intrinsic_dimension={"networks": ["architectures"]}'
    models = f"models=[mlp,{OWN},other:build]"
    output = project.snakemake(
        "-n", "--config", models, "objectives=[backprop,hsic]", networks, *project.GRID_ALONE[:2]
    )
    assert "train grid/digits/hsic/mlp" in output
    assert "train grid/digits/hsic/rbf_kan" not in output
    assert "train grid/digits/backprop/other.build-32" in output
    assert "train digits/rbf_kan.build-32/seed0 in random subspaces" in output


@pytest.mark.slow
def test_schemes_of_ones_own_are_trained_beside_those_that_have_ended(project):
    """In jobs of their own, which an edit trains again, and no others."""
    blocks = re.findall(r"```python\n(.*?)```", SCHEMES.read_text(encoding="utf-8"), re.DOTALL)
    for name, text in zip(("mine", "splines"), blocks, strict=True):
        (project.path / f"{name}.py").write_text(text)
    path = "results/tiny/tables/grid/runs.parquet"
    before = read_table(project.path / path, RUNS)
    initializations = ",".join([*INITIALIZATIONS, "splines:lecun"])
    options = [path, "--config", "optimizers=[sgd,sgd_momentum,adam,mine:Lion]"]
    options += [f"initializations=[{initializations}]", *project.GRID_ALONE]

    def planned():
        output = project.snakemake("--cores", "1", "--dry-run", *options)
        return set(re.findall(r"train (grid\S*)", output))

    parts = "mine.Lion-0.005", "0.005-splines.lecun", "mine.Lion-0.005-splines.lecun"
    models = "kan-32-gelu-degree3-grid5", "mlp-32-gelu"
    own = {f"grid/digits/backprop/{model}/{part}/seed0" for model in models for part in parts}
    assert planned() == own
    project.snakemake("--cores", "2", *options)
    runs = read_table(project.path / path, RUNS)
    theirs = (runs["optimizer"] == "mine:Lion") | (runs["initialization"] == "splines:lecun")
    assert runs[~theirs].reset_index(drop=True).equals(before)
    assert theirs.sum() == 2 * (3 + 3 + 1)
    lion = runs["optimizer"] == "mine:Lion"
    assert runs.loc[lion, "test_accuracy"].max() > 0.4
    assert set(runs.loc[theirs, "code"]).isdisjoint(before["code"])
    assert planned() == set()
    project.append("mine.py", "# a comment")
    assert planned() == set()
    project.append("mine.py")
    assert planned() == {name for name in own if "mine.Lion" in name}
