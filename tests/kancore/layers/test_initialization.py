"""Initializations: the distributions that they are named after, in every layer."""

import math

import pytest
import torch

from kancore.layers.initialization import fill
from kancore.layers.kolmogorov_arnold import NOISE, SPLINE_SCALES, KALayer
from kancore.layers.linear import Linear
from kancore.layers.splines import basis, knots
from kancore.networks import build
from kancore.schemes import INITIALIZATIONS, Architecture


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_kaiming_normal_has_the_variance_of_he_et_al():
    weight = fill(torch.empty(400, 500), "kaiming_normal", generator())
    assert weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.01)


def test_kaiming_uniform_has_its_bound():
    weight = fill(torch.empty(400, 500), "kaiming_uniform", generator())
    assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / 500), rel=1e-3)
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.01)


def test_orthogonal_rows_are_orthonormal():
    weight = fill(torch.empty(40, 50), "orthogonal", generator())
    torch.testing.assert_close(weight @ weight.T, torch.eye(40), rtol=0, atol=1e-5)


def test_the_leaky_gain_and_pytorchs_initialization_are_those_of_its_linear_layers():
    torch.manual_seed(1)
    theirs = torch.nn.Linear(500, 400).weight.detach()
    bound = math.sqrt(1 / 500)
    assert theirs.abs().max().item() == pytest.approx(bound, rel=1e-3)
    for arguments in (("pytorch", generator()), ("kaiming_uniform", generator(), "leaky")):
        weight = fill(torch.empty(400, 500), *arguments)
        assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert weight.std().item() == pytest.approx(theirs.std().item(), rel=0.01)
    normal = fill(torch.empty(400, 500), "kaiming_normal", generator(), "leaky")
    assert normal.std().item() == pytest.approx(math.sqrt(1 / 3 / 500), rel=0.01)


@pytest.mark.parametrize("uniform", [False, True])
def test_biases_begin_as_zeros_or_as_pytorchs(uniform):
    layer = Linear(100, 4000, uniform_bias=uniform)
    layer.initialize(0, "orthogonal", generator())
    largest = layer.bias.detach().abs().max().item()
    assert largest == (pytest.approx(0.1, rel=1e-2) if uniform else 0)


@pytest.mark.parametrize("spline_scale", SPLINE_SCALES)
@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_ka_layer_draws_base_weights_scales_and_small_splines(initialization, spline_scale):
    layer = KALayer(300, 200, spline_scale=spline_scale, gain="leaky")
    layer.initialize(0, initialization, generator(3))
    again = generator(3)
    base, scale = (fill(torch.empty(200, 300), initialization, again, "leaky").T for _ in range(2))
    assert torch.equal(layer.base_weight[0], base)
    coefficients = layer.coefficients[0].detach()
    if spline_scale == "trained":
        assert torch.equal(layer.spline_scale[0], scale)
    else:
        coefficients = coefficients / scale.unsqueeze(1)
    # At the grid points an edge's spline over its scale is noise within 0.1 / grid size / 2.
    at_points = basis(knots(5, 3)[3:-3].float(), 5, 3)
    noise = torch.einsum("imo,mp->iop", coefficients, at_points)[scale.abs() > 1e-3]
    bound = NOISE / 5 / 2
    assert noise.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert noise.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("model", ["mlp", "kan"])
@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_every_layer_is_drawn_anew_from_the_generator(model, initialization):
    kan = {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)} if model == "kan" else {}
    network = build(Architecture(model, (6, 4), **kan), 5, 3, 2)
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, math.nan)
    network.initialize(0, initialization, generator(1))
    network.initialize(1, initialization, generator(1))
    for name, parameter in network.named_parameters():
        assert parameter.isfinite().all(), name
        assert torch.equal(parameter[0], parameter[1]), name
