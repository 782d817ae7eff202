"""Initializations of the user's own: in every layer, and what wrong ones are told."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kancore import KAN, networks
from kancore.layers.kolmogorov_arnold import SPLINE_SCALES, KALayer
from kancore.layers.linear import Linear
from kancore.networks.own import check_initialization
from kancore.schemes import Architecture

PAGE = Path(__file__).resolve().parents[3] / "docs" / "own_schemes.md"
_, LECUN = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
MINE = """
def fill(weight, generator):
    torch.nn.init.orthogonal_(weight, generator=generator)

def of_kans(layer, generator):
    layer.coefficients.zero_()

def nothing(weight, generator):
    weight[0].zero_()

def grown(weight, generator):
    weight.resize_(9, 9).zero_()

def elsewhere(weight, generator):
    weight.normal_()

def model(widths):
    return torch.nn.Linear(widths[0], widths[-1])
"""
KAN_ = Architecture("kan", (5, 4), degree=3, grid_size=5, grid_range=(-1.0, 1.0), residual=True)
MLP = Architecture("mlp", (5, 4))
OWN = Architecture("mine:model", (5,), activation=None)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(LECUN + MINE)
    return tmp_path


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("spline_scale", SPLINE_SCALES)
@pytest.mark.parametrize("moving_grid", [False, True])
def test_the_example_gives_units_of_normal_inputs_variance_1(spline_scale, moving_grid):
    layer = KALayer(40, 300, spline_scale=spline_scale, moving_grid=moving_grid, stack=2)
    before = layer.base_weight[0].clone()
    layer.initialize(1, "mine:lecun", generator())
    assert torch.equal(layer.base_weight[0].nan_to_num(), before.nan_to_num())
    x = torch.randn(3000, 40, generator=generator())
    with torch.no_grad():
        whole = layer(x)[1].square().mean()
        layer.coefficients.zero_()
        base = layer(x)[1].square().mean()
    # Of one term of nine, and all; within the spread of 12,000 weights.
    torch.testing.assert_close(whole, torch.tensor(1.0), rtol=0.05, atol=0)
    torch.testing.assert_close(base, torch.tensor(1 / 9), rtol=0.05, atol=0)
    linear = Linear(40, 300)
    linear.initialize(0, "mine:lecun", generator())
    variance = linear(x).square().mean()
    torch.testing.assert_close(variance, torch.tensor(1.0), rtol=0.05, atol=0)


@pytest.mark.parametrize("architecture", [KAN_, MLP, OWN], ids=["kan", "mlp", "own"])
def test_a_function_of_matrices_fills_what_the_named_ones_fill(architecture):
    stacks = [networks.build(architecture, 7, 3, 2) for _ in range(2)]
    for stack, name in zip(stacks, ("mine:fill", "orthogonal"), strict=True):
        for index in range(2):
            stack.initialize(index, name, torch.Generator().manual_seed(index))
    for ours, named in zip(*(stack.parameters() for stack in stacks), strict=True):
        assert torch.equal(ours, named)


def test_a_layer_draws_the_same_in_every_place_of_a_stack():
    whole, alone = (networks.build(KAN_, 7, 3, stack) for stack in (3, 1))
    whole.initialize(2, "mine:lecun", generator())
    alone.initialize(0, "mine:lecun", generator())
    for many, one in zip(whole.parameters(), alone.parameters(), strict=True):
        assert torch.equal(many[2], one[0])


def test_networks_of_the_library_take_them():
    torch.manual_seed(0)
    network = KAN([4, 3, 2], initialization="mine:lecun")
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    with pytest.raises(ValueError, match=r"mine:none: .* has no function none"):
        KAN([4, 3, 2], initialization="mine:none")


WRONG = {
    "mine:none": (MLP, r"mine:none: .*mine\.py has no function none"),
    "mine:of_kans": (MLP, r"mine:of_kans fails: AttributeError: 'Linear'.* \(mine\.py, line \d+\)"),
    "mine:lecun": (OWN, "mine:lecun: fills layers of kancore, and here are matrices"),
    "mine:nothing": (KAN_, "mine:nothing: a matrix is not filled with finite numbers"),
    "mine:grown": (MLP, r"mine:grown: a matrix has shape \[9, 9\], expected \[5, 7\]"),
    "mine:elsewhere": (KAN_, r"mine:elsewhere: .*weight differs with the same generator; expected"),
    "mine:model": (MLP, "mine:model fails: TypeError: model.* takes 1 positional argument"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fill_is_one_error_that_names_it(name):
    architecture, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        check_initialization(name, architecture, 7, 3)


def test_parameters_that_a_layer_is_left_without_are_named():
    with pytest.raises(ValueError, match="mine:of_kans: base_weight is not filled"):
        check_initialization("mine:of_kans", replace(KAN_, residual=False), 7, 3)


@pytest.mark.parametrize("architecture", [KAN_, MLP])
def test_the_example_fills_networks(architecture):
    check_initialization("mine:lecun", architecture, 7, 3)


def test_an_initialization_of_matrices_fills_networks_of_one_s_own():
    check_initialization("mine:fill", OWN, 7, 3)
