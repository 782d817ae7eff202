"""What planning knows of networks of the user's own."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from kancore.data.known import prepared_name
from kancore.studies import trials
from kancore.studies.config import ConfigError, resolve
from kancore.studies.experiments import jobs
from kancore.training.resources import Shape, needs_of_unknown

ROOT = Path(__file__).resolve().parents[3]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
LINEAR = """from torch import nn
def build(widths):
    return nn.Linear(widths[0], widths[-1])
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Make a study in a folder that has a module of the user's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(LINEAR)

    def make(**overrides):
        grid = {"datasets": ["digits"], "depths": ["2layers"], "seeds": [0]}
        return resolve({**copy.deepcopy(CONFIG), "study": "paper", **grid, **overrides})

    return make


def plan(study):
    return trials.own_networks(
        study, jobs(study).values(), Path("results", "data"), Path("kept.json")
    )


def test_a_study_without_such_models_tries_nothing(study, monkeypatch):
    monkeypatch.setattr(trials, "_run", None)
    assert plan(study()) == {}
    assert not Path("kept.json").exists()


@pytest.mark.slow
def test_networks_are_tried_once_for_a_code(study, monkeypatch):
    models = ["mine:build", "kan"]
    # Of the study and of its audit, which has other data.
    found = plan(study(models=models))
    sizes = {dataset: size.own.parameters for (dataset, _), size in found.items()}
    assert sizes == {"digits": 64 * 10 + 10, "mnist": 784 * 10 + 10}
    kept = Path("kept.json").read_text()
    Path("kept.json").write_text(kept.replace("parameters", "weights"))  # damaged: tried again
    assert plan(study(models=models)) == found
    monkeypatch.setattr(trials, "_run", None)
    assert plan(study(models=models)) == found


@pytest.mark.slow
def test_on_unknown_data_of_ones_own_needs_are_guessed(study):
    own = {"datasets": ["a"], "models": ["mlp", "mine:build"], "data": {"own": {"a": "a.npz"}}}
    mine = study(**own, audit={"departures": []})
    (size,) = plan(mine).values()
    assert size.own == needs_of_unknown((3072, 32, 2))
    Path("results", "data").mkdir(parents=True)
    name = prepared_name("a", mine.settings["data"])
    damaged = {"features": 5, "class_names": ["x"], "image_shape": None, "test_counts": [1]}
    for damage in ("[]", "{}", json.dumps({**damaged, "train_counts": ["x"]})):
        Path("results", "data", f"{name}.json").write_text(damage)
        assert [*plan(mine).values()] == [size]
    # As large as the file says, of classes that are not known.
    np.savez("a.npz", x_train=np.zeros((9, 7)), x_test=np.zeros((3, 7)))
    (guessed,) = plan(mine).values()
    assert replace(guessed, own=None) == Shape(7, 2, 9, 3, 4)
    assert guessed.own == needs_of_unknown((7, 32, 2))
    prepared = Path("results", "data", f"{name}.json")
    summary = {"features": 7, "class_names": ["x", "y"], "image_shape": None}
    counts = {"train_counts": [4, 5], "test_counts": [1, 2]}
    prepared.write_text(json.dumps({**summary, **counts}))
    (size,) = plan(mine).values()
    assert replace(size, own=None) == Shape(7, 2, 9, 3, 4)
    assert size.own.parameters == 7 * 2 + 2
    # Prepared from another file of that name, which has been replaced since.
    for other in ({"features": 5}, {"train_counts": [40, 50]}):
        prepared.write_text(json.dumps({**summary, **counts, **other}))
        assert trials.size_of(mine, "a", prepared.parent) == (Shape(7, 2, 9, 3, 4), False)
    Path("a.npz").unlink()  # what is prepared is all that is known
    assert trials.size_of(mine, "a", prepared.parent) == (Shape(7, 2, 90, 3, 4), True)


SCHEMES = """import torch
class Slow(torch.optim.SGD):
    pass
def fill(weight, generator):
    weight.fill_(0.1)
def half(weight, generator):
    weight[::2] = 0.1
"""


@pytest.mark.slow
def test_optimizers_and_initializations_are_tried_with_their_networks(study, monkeypatch):
    Path("ours.py").write_text(SCHEMES)
    tried = []
    run = trials._run
    monkeypatch.setattr(trials, "_run", lambda parts: tried.extend(parts) or run(parts))
    grid = {"models": ["mlp", "mine:build"], "learning_rates": [0.1], "wide_depths": ["2layers"]}
    grid |= {"audit": {"departures": []}, "stability": {"train": []}}
    grid |= {"objectives": ["backprop"], "optimizers": ["ours:Slow", "sgd"]}
    given = study(**grid, initializations=["ours:fill"])
    plan(given)
    names = [(key, name) for key, name, *_ in tried]
    assert sorted(names) == [
        ("initializations", "ours:fill"),
        ("initializations", "ours:fill"),
        ("models", "mine:build"),
        ("optimizers", "ours:Slow"),
    ]
    tried.clear()
    plan(given)
    assert tried == []
    message = r"^config: initializations: ours:half: a matrix is not filled with finite numbers$"
    with pytest.raises(ConfigError, match=message):
        plan(study(**grid, initializations=["ours:half"]))
    assert [name for _, name, *_ in tried] == ["ours:half"] * 2
    with pytest.raises(ConfigError, match=r"^config: optimizers: ours:fill: fill\(parameters"):
        plan(study(**{**grid, "optimizers": ["ours:fill"]}))


@pytest.mark.slow
def test_what_cannot_train_is_an_error_of_the_configuration(study):
    message = r"^config: models: mine:other: \S+mine\.py has no function other$"
    with pytest.raises(ConfigError, match=message):
        plan(study(models=["mlp", "mine:other"]))
