"""Estimates: at least what was measured, growing with the work, at most a day."""

from pathlib import Path

import pytest
import yaml

from kancore import networks
from kancore.config import resolve
from kancore.datasets import BUNDLED, dataset_module
from kancore.resources import (
    MAX_MINUTES,
    Shape,
    _coefficients,
    _edges,
    memory_mb,
    runtime_minutes,
    shape,
)

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def study(name, **overrides):
    return resolve({**CONFIG, "study": name, **overrides}, SCHEMA)


DATA = study("paper").settings["data"]


@pytest.mark.parametrize("name", BUNDLED)
def test_shapes_are_those_of_the_data(name):
    dataset = dataset_module(name).prepare(None)
    expected = Shape(dataset.features, dataset.classes, len(dataset.y_train), len(dataset.y_test))
    assert shape(name, DATA) == expected


def test_shapes_follow_the_settings():
    assert shape("imdb", DATA).features == 5000
    assert shape("imdb", {"imdb": {"weighting": "svd", "words": 9, "components": 7}}).features == 7
    higgs = shape("higgs", {"higgs": {"train_rows": 5, "test_rows": 6}})
    assert (higgs.train, higgs.test) == (5, 6)
    assert shape("my_own", DATA) == shape("cifar10", DATA)


def test_numbers_of_a_network_are_its_parameters():
    """All but the biases, which are few."""
    for sweep in study("quick").sweeps():
        size = shape(sweep.dataset, DATA)
        network = networks.build(sweep.architecture, size.features, size.classes, 1)
        stored = sum(value.numel() for value in network.parameters())
        estimated = _edges(sweep, size) * _coefficients(sweep)
        biases = sum(sweep.architecture.hidden_widths) + size.classes
        assert stored in (estimated, estimated + biases)


def test_every_job_of_the_paper_fits_a_day_and_small_ones_ask_for_little():
    for sweep in study("paper").sweeps():
        size = shape(sweep.dataset, DATA)
        assert 10 <= runtime_minutes(sweep, size, 1, True) <= MAX_MINUTES
        assert runtime_minutes(sweep, size, 1, True) <= runtime_minutes(sweep, size, 1, False)
        assert memory_mb(sweep, size) > 2500
    for sweep in study("quick").sweeps():
        size = shape(sweep.dataset, DATA)
        assert memory_mb(sweep, size) < 4000
        assert runtime_minutes(sweep, size, 1, False) < 30


def test_more_work_is_more_time_and_memory():
    def largest(**overrides):
        sweeps = study("paper", datasets=["cifar10"], seeds=[0], **overrides).sweeps()
        sizes = [shape(sweep.dataset, DATA) for sweep in sweeps]
        return (
            max(memory_mb(*pair) for pair in zip(sweeps, sizes, strict=True)),
            max(runtime_minutes(*pair, 1, True) for pair in zip(sweeps, sizes, strict=True)),
        )

    backprop = {"objectives": ["backprop"], "epochs": 10}
    small, large = largest(**backprop, stack=[]), largest(**backprop)
    assert all(a < b for a, b in zip(small, large, strict=True))
    assert largest(**backprop)[1] < largest(**{**backprop, "epochs": 20})[1]
