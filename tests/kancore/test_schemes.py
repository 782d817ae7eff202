"""Schemes, architectures, sweeps: names, order, seeds."""

import json
from dataclasses import replace

import pytest

from kancore.schemes import Architecture, HsicBottleneck, Scheme, Sweep, derive_seed

KAN = Architecture("kan", (128, 64), "silu", 3, 5, (-1.0, 1.0))
SCHEMES = [
    Scheme(optimizer, rate, initialization)
    for optimizer in ("adam", "sgd")
    for rate in (0.005, 0.05)
    for initialization in ("kaiming_normal", "orthogonal")
]


def sweep(learning_rates=(0.05, 0.005)):
    return Sweep(
        *("mnist", "backprop", KAN, 2),
        optimizers=("sgd", "adam"),
        learning_rates=learning_rates,
        initializations=("orthogonal", "kaiming_normal"),
        epochs=3,
        batch_size=10,
    )


def test_seeds_come_from_the_identity_alone():
    assert derive_seed("weights", "mnist", 0) == derive_seed("weights", "mnist", 0)
    assert derive_seed("weights", "mnist", 0) != derive_seed("weights", "mnist", 1)
    assert derive_seed("ab", "c") != derive_seed("a", "bc")
    # Published with the results: a change here changes every run.
    assert derive_seed("weights", "mnist", 0) == 8006194811323953409


def test_names():
    assert KAN.depth == "3layers"
    assert KAN.name == "kan-128x64-silu-degree3-grid5"
    assert KAN.widths(784, 10) == (784, 128, 64, 10)
    assert sweep().name == "mnist/backprop/kan-128x64-silu-degree3-grid5/all/seed2"


def test_schemes_are_all_combinations_those_of_one_optimizer_and_rate_side_by_side():
    assert list(sweep().schemes) == SCHEMES


@pytest.mark.parametrize(
    ("axes", "parts"),
    [
        ([], ["all"]),
        (["optimizer"], ["adam", "sgd"]),
        (["optimizer", "learning_rate"], ["adam-0.005", "adam-0.05", "sgd-0.005", "sgd-0.05"]),
    ],
)
def test_split_by_axes(axes, parts):
    found = sweep().split_by(axes)
    assert [part.part for part in found] == parts
    assert sorted(s for part in found for s in part.schemes) == sorted(SCHEMES)


def test_stages_of_a_warm_start_are_in_the_published_order():
    assert sweep().stages() == [sweep()]
    stages = replace(sweep(), warm_start=True).stages()
    order = [(stage.learning_rates, stage.optimizers) for stage in stages]
    assert order == [((rate,), (name,)) for rate in (0.05, 0.005) for name in ("adam", "sgd")]
    assert sum(len(stage.schemes) for stage in stages) == len(SCHEMES)


def test_one_job_a_scheme():
    found = sweep().split_by(["optimizer", "learning_rate", "initialization"])
    assert len({part.name for part in found}) == len(SCHEMES)
    assert found[0].part == "adam-0.005-kaiming_normal"


@pytest.mark.parametrize("hsic", [None, HsicBottleneck(term="x", sigma=7.0)])
def test_json_and_back(hsic):
    original = replace(sweep(), hsic=hsic)
    assert Sweep.from_dict(json.loads(json.dumps(original.to_dict()))) == original


@pytest.mark.parametrize("learning_rates", [(), (0.05, 0.05)])
def test_no_value_and_a_value_twice_are_refused(learning_rates):
    with pytest.raises(ValueError, match="learning_rates"):
        sweep(learning_rates)


def test_rates_do_not_rise_beyond_the_last_epoch():
    made = sweep((0.1,))
    assert replace(made, warmup_epochs=made.epochs)
    with pytest.raises(ValueError, match=r"warmup_epochs of a sweep are \d+, expected at most"):
        replace(made, warmup_epochs=made.epochs + 1)
