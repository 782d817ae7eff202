"""Kernels against dense products in float64, and training against plain PyTorch."""

from functools import cache

import far
import forms
import plainly
import pytest
import subnormal
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kancore import KAN
from kancore.bench.peers import RecursiveLayer
from kancore.layers import local_support
from kancore.layers.activations import FUNCTIONS, slope
from kancore.layers.dense import Edges
from kancore.layers.kolmogorov_arnold import SPLINE_SCALES, KALayer
from kancore.layers.splines import basis
from kancore.schemes import ACTIVATIONS, OPTIMIZERS, Scheme
from kancore.training.optimizers import StackedOptimizer


@pytest.fixture(params=["avx512", "avx2", "generic", "pytorch"])
def path(request, monkeypatch):
    """Each way to compute on a CPU."""
    monkeypatch.setattr(local_support, "LIBRARY", forms.library(local_support, request.param))
    return request.param


@pytest.fixture(params=["avx512", "avx2", "generic"])
def compiled(request, monkeypatch):
    monkeypatch.setattr(local_support, "LIBRARY", forms.library(local_support, request.param))
    return request.param


def definition(x, edges, grid, activation="gelu"):
    """The layer's formula, with nothing left out."""
    splines = basis(x, *grid)
    weight = edges.coefficients if edges.scale is None else edges.scale.unsqueeze(2) * edges[0]
    shared = "b" if x.dim() == 2 else "sb"
    y = torch.einsum(f"{shared}mi,simo->sbo", splines, weight)
    return y + torch.einsum(f"{shared}i,sio->sbo", FUNCTIONS[activation](x), edges.base)


def draw_edges(grid, stack, inputs, outputs, folded=False):
    """Normal parameters that require gradients."""
    coefficients = torch.randn(stack, inputs, grid[0] + grid[1], outputs)
    base, scale = torch.randn(2, stack, inputs, outputs)
    edges = [coefficients, base] if folded else [coefficients, base, scale]
    return Edges(*(edge.requires_grad_() for edge in edges), *[None] * folded)


def compare(grid, stack, batch, inputs, outputs, shared, background=False, folded=False):
    """Outputs and gradients of the kernels against the definition in float64."""
    x = 1.3 * torch.randn(*(() if shared else (stack,)), batch, inputs)
    values = 0.7 * torch.randn(inputs) if background else None
    if background:
        x = torch.where(torch.rand(x.shape) < 0.7, values, x)
    x.requires_grad_(not background)
    edges = draw_edges(grid, stack, inputs, outputs, folded)
    y = local_support.product(x, edges, "gelu", grid, values)
    exact = edges.map(lambda e: e.detach().double().requires_grad_())
    exact_x = x.detach().double().requires_grad_(not background)
    expected = definition(exact_x, exact, grid)
    gradient = torch.randn_like(y)
    leaves, exact_leaves = edges.given, exact.given
    if not background:
        leaves, exact_leaves = [*leaves, x], [*exact_leaves, exact_x]
    ours = [y, *torch.autograd.grad(y, leaves, gradient)]
    theirs = [expected, *torch.autograd.grad(expected, exact_leaves, gradient.double())]
    for one, other in zip(ours, theirs, strict=True):
        scale = float(other.detach().abs().max()) * grid[0] / 5  # slopes grow with the grid
        torch.testing.assert_close(one.double(), other, rtol=0, atol=3e-6 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("degree", range(1, 6))
@pytest.mark.parametrize("grid_size", [3, 5, 20])
def test_products_and_gradients_are_those_of_the_definition(compiled, degree, grid_size):
    torch.manual_seed(0)
    grid = (grid_size, degree, (-1.0, 1.0))
    compare(grid, 3, 64, 17, 5, shared=False)
    compare(grid, 2, 300, 20, 70, shared=True)
    compare(grid, 2, 300, 20, 70, shared=True, background=True)
    compare(grid, 2, 300, 20, 70, shared=True, background=True, folded=True)


@settings(max_examples=25, deadline=None)
@given(
    stack=st.integers(1, 3),
    batch=st.integers(1, 530),
    inputs=st.integers(1, 40),
    outputs=st.one_of(st.integers(1, 70), st.integers(250, 600)),
    shared=st.booleans(),
    background=st.booleans(),
    folded=st.booleans(),
)
@example(stack=2, batch=300, inputs=35, outputs=547, shared=True, background=True, folded=False)
@example(stack=2, batch=70, inputs=35, outputs=600, shared=False, background=False, folded=False)
def test_products_of_all_shapes(stack, batch, inputs, outputs, shared, background, folded):
    if local_support.LIBRARY is None:
        pytest.skip("no compiled kernels")
    torch.manual_seed(batch)
    background &= shared
    compare((5, 3, (-1.0, 1.0)), stack, batch, inputs, outputs, shared, background, folded)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("moving_grid", [False, True])
@pytest.mark.parametrize("copies", [1, 40])  # PyTorch has another formula for what fills a vector
def test_inputs_far_beyond_the_grid_and_infinite_ones_reach_the_base_alone(
    path, activation, moving_grid, copies
):
    layer = KALayer(1, 2, activation=activation, moving_grid=moving_grid)
    for parameter in layer.parameters():
        parameter.data.fill_(1)
    if moving_grid:
        layer.grid_stretch.fill_(0.5)
    values, expected, slopes = (each.repeat(copies) for each in far.values(activation))
    x = values.unsqueeze(1).requires_grad_()
    y = layer(x)[0]
    places = values.clamp(-1e6, 1e6) * (0.5 if moving_grid else 1)
    splines = basis(places.double().unsqueeze(1), 5, 3).sum(-2)
    wanted = (splines + expected.unsqueeze(1)).expand(-1, 2)
    torch.testing.assert_close(y.double(), wanted, rtol=2e-6, atol=2e-6, equal_nan=True)
    (to_x,) = torch.autograd.grad(y.sum(), x)
    beyond = splines[:, 0] == 0
    torch.testing.assert_close(
        to_x[beyond, 0].double(), 2 * slopes[beyond], rtol=2e-6, atol=2e-6, equal_nan=True
    )


def test_a_nan_is_a_nan_in_the_outputs(compiled):
    inputs = torch.tensor([[float("nan"), 0.5], [0.1, 0.2]])
    edges = Edges(torch.ones(1, 2, 8, 1), torch.ones(1, 2, 1), torch.ones(1, 2, 1))
    y = local_support.product(inputs, edges, "gelu", (5, 3, (-1, 1)))
    assert y[0, 0].isnan().all()
    assert y[0, 1].isfinite().all()


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(compiled, threads):
    torch.manual_seed(0)
    x = torch.randn(3, 300, 37).requires_grad_()
    edges = draw_edges((5, 3), 3, 37, 301)
    results = []
    for number in (1, threads):
        torch.set_num_threads(number)
        try:
            y = local_support.product(x, edges, "gelu", (5, 3, (-1, 1)))
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, *edges])])
        finally:
            torch.set_num_threads(1)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("outputs", [5, 70])
@pytest.mark.parametrize("background", [False, True])
def test_subnormal_numbers_are_zero_within_and_only_within(compiled, background, outputs, threads):
    torch.manual_seed(0)
    grid = (5, 3, (-1.0, 1.0))
    x = torch.rand(300, 20)
    values = torch.full((20,), 0.25) if background else None
    if background:
        x = torch.where(x < 0.7, values, x)
    x.requires_grad_(not background)
    edges = draw_edges(grid, 2, 20, outputs).map(lambda e: e.detach().abs().add(1))
    edges = edges.map(lambda e: e.mul(1e-18).requires_grad_())
    torch.set_num_threads(threads)
    try:
        y = local_support.product(x, edges, "gelu", grid, values)
        leaves = edges.given if background else [*edges.given, x]
        small, tiny = (
            torch.autograd.grad(y, leaves, torch.full_like(y, each), retain_graph=True)
            for each in (subnormal.SMALL, subnormal.TINY)
        )
        tiny_edges = Edges(*(e.detach() * 1e-23 for e in edges[:2]), edges.scale.detach() * 1e30)
        of_tiny = local_support.product(x, tiny_edges, "gelu", grid, values)
        assert subnormal.threads_keep_them()
    finally:
        torch.set_num_threads(1)
    exact = definition(x.detach().double(), edges.map(lambda e: e.detach().double()), grid)
    torch.testing.assert_close(y.double(), exact, rtol=1e-5, atol=0)
    # Terms of 1e-42 in the gradients by coefficients, scales and inputs, of 1e-24 in that by bases.
    coefficients, base, scale, *to_x = small
    assert base.any()
    for each in (coefficients, scale, *to_x, *tiny, of_tiny):
        assert not each.any()


class PlainLayer(RecursiveLayer):
    """An nn.Module of one network's three parameters, or of two where the scale is folded."""

    def __init__(self, layer, index):
        grid_size, degree, _ = layer.grid
        super().__init__(
            layer.inputs, layer.outputs, grid_size, degree, FUNCTIONS[layer.activation]
        )
        values = [e if e is None else e.detach()[index] for e in layer.edges]
        self.coefficients.data = values[0].permute(2, 0, 1).clone()
        self.base.data = values[1].T.clone()
        if values[2] is None:
            self.scale = torch.nn.Parameter(torch.ones_like(self.base), requires_grad=False)
        else:
            self.scale.data = values[2].T.clone()

    def edges(self):
        found = self.coefficients.permute(1, 2, 0), self.base.T, self.scale.T
        return [edge for edge in found if edge.requires_grad]


def drawn(spline_scale, grid_size, degree, batch, outputs):
    """A stack of two layers, inputs and targets, the same each time."""
    torch.manual_seed(0)
    layer = KALayer(
        *(11, outputs, grid_size, degree), activation="silu", spline_scale=spline_scale, stack=2
    )
    x, target = torch.randn(batch, 11), torch.randn(batch, outputs)
    for index in range(2):
        layer.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
    return layer, x, target


@cache
def plainly_trained(optimizer, *how):
    """Parameters of plain layers after fifty steps: what those of each path are compared with."""
    layer, x, target = drawn(*how)
    plain = [PlainLayer(layer, index) for index in range(2)]
    plainly.trained(plain, lambda network: network(x), target, optimizer)
    return [[edge.detach() for edge in network.edges()] for network in plain]


@pytest.mark.slow
@pytest.mark.parametrize("spline_scale", SPLINE_SCALES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("grid_size", "degree", "batch", "outputs"),
    [(5, 3, 40, 19), (5, 3, 600, 19), (5, 3, 40, 531)]
    + [(g, k, 40, 19) for g, k in ((3, 1), (8, 2), (20, 4), (3, 5))],
)
def test_fifty_steps_are_those_of_torch_optim_on_plain_layers(
    path, spline_scale, optimizer, grid_size, degree, batch, outputs
):
    how = spline_scale, grid_size, degree, batch, outputs
    layer, x, target = drawn(*how)
    rate = plainly.RATES[optimizer]
    schemes = [Scheme(optimizer, rate, name) for name in ("kaiming_normal", "orthogonal")]
    parameters = list(layer.parameters())
    stacked = StackedOptimizer(parameters, schemes)
    stacked.fuse(layer)
    for _ in range(50):
        loss = (layer(x) - target).square().mean((1, 2)).sum()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        assert all(g is None for g in gradients) == (local_support.LIBRARY is not None)
        stacked.step(gradients)
    for index, expected in enumerate(plainly_trained(optimizer, *how)):
        ours = [edge[index] for edge in layer.edges.given]
        for one, other in zip(ours, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("spline_scale", SPLINE_SCALES)
def test_second_derivatives_are_those_of_the_definition(path, spline_scale):
    torch.manual_seed(0)
    layer = KALayer(3, 4, spline_scale=spline_scale)
    layer.initialize(0, "kaiming_normal", torch.Generator())
    x = torch.randn(20, 3, requires_grad=True)

    def penalty(x, edges, function):
        (slope,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [x, *edges.given])

    exact = layer.edges.map(lambda e: e.detach().double().requires_grad_())
    exact_x = x.detach().double().requires_grad_()
    ours = penalty(x, layer.edges, layer)
    theirs = penalty(exact_x, exact, lambda x: definition_of_slopes(x, exact, layer.grid))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


def definition_of_slopes(x, edges, grid):
    """The layer by the recursion of Cox and de Boor, which autograd differentiates itself."""
    layer = RecursiveLayer(x.shape[1], edges.base.shape[2], *grid[:2]).double()
    weight = edges.coefficients if edges.scale is None else edges.scale.unsqueeze(2) * edges[0]
    y = torch.einsum("bim,simo->sbo", layer.basis(x), weight)
    return y + torch.einsum("bi,sio->sbo", FUNCTIONS["gelu"](x), edges.base)


def test_shapes_that_do_not_fit_never_reach_the_kernels(compiled):
    grid = (5, 3, (-1.0, 1.0))
    edges = draw_edges(grid, 2, 4, 3)
    for x in (torch.randn(6, 5), torch.randn(3, 6, 4)):
        with pytest.raises(ValueError, match=r"inputs have shape .*, expected \[batch, 4\]"):
            local_support.product(x, edges, "gelu", grid)
    x = torch.randn(6, 4)
    for name, wrong in (("coefficients", (2, 4, 7, 3)), ("base", (2, 4, 2)), ("scale", (1, 4, 3))):
        with pytest.raises(ValueError, match="has shape"):
            local_support.product(x, edges._replace(**{name: torch.randn(wrong)}), "gelu", grid)
    with pytest.raises(ValueError, match=r"background has shape \(3,\), expected \(4,\)"):
        local_support.product(x, edges, "gelu", grid, torch.zeros(3))
    with pytest.raises(ValueError, match="degree must be"):
        KALayer(4, 3, degree=6)
    with pytest.raises(ValueError, match="spline_scale is 'fixed', expected trained or folded"):
        KALayer(4, 3, spline_scale="fixed")


def outcome(layer, x):
    """Outputs and gradients for inputs of any shape, or the kind of error."""
    x = x.clone().requires_grad_()
    try:
        y = layer(x)
        return [y, *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])]
    except (ValueError, RuntimeError, IndexError) as error:
        return type(error)


@settings(max_examples=100)
@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    stack=st.integers(1, 3),
    widths=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    single=st.booleans(),
)
def test_any_shape_gives_what_it_gives_without_kernels(shape, stack, widths, single):
    if local_support.LIBRARY is None:
        pytest.skip("no compiled kernels")
    torch.manual_seed(0)
    if single:
        layer = KAN([*widths, 2])
    else:
        layer = KALayer(*widths, stack=stack)
        for index in range(stack):
            layer.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
    x = torch.randn(shape)
    found = outcome(layer, x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_support, "LIBRARY", None)
        expected = outcome(layer, x)
    if isinstance(expected, type):
        assert found == expected
    else:
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_parameters_in_another_order_in_memory_give_the_same(compiled):
    torch.manual_seed(0)
    x, edges = torch.randn(6, 4), draw_edges((5, 3), 2, 4, 3)
    how = "gelu", (5, 3, (-1.0, 1.0))
    strided = Edges(*(edge.detach().mT.contiguous().mT for edge in edges))
    assert not strided.base.is_contiguous()
    found = (local_support.product(x, each, *how) for each in (edges, strided))
    assert torch.equal(*found)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_autograds(name):
    x = torch.linspace(-4, 4, 101, dtype=torch.float64).requires_grad_()
    (expected,) = torch.autograd.grad(FUNCTIONS[name](x).sum(), x)
    torch.testing.assert_close(slope(name, x.detach()), expected)


def test_an_unknown_activation_is_told():
    with pytest.raises(ValueError, match="activation is 'tanh'"):
        slope("tanh", torch.zeros(1))


def test_layers_move_between_types():
    layer = KALayer(4, 3, stack=2)
    for network in range(2):
        layer.initialize(network, "orthogonal", torch.Generator().manual_seed(network))
    x = torch.randn(5, 4)
    before = layer(x)
    torch.testing.assert_close(layer.double()(x.double()).float(), before)
    assert torch.equal(layer.float()(x), before)


def test_grids_that_have_changed_are_compared_again():
    """Shared inputs go through grids of each network's own, once they are not alike."""
    layer = KALayer(3, 2, stack=2, moving_grid=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    x = torch.randn(5, 3)
    for change in (lambda: None, lambda: layer.grid_stretch[1].mul_(2), lambda: layer.double()):
        change()
        y = layer(x.to(layer.base_weight))
        for index in range(2):
            alone = KALayer(3, 2, moving_grid=True).to(y)
            state = {name: value[index : index + 1] for name, value in layer.state_dict().items()}
            alone.load_state_dict(state)
            torch.testing.assert_close(y[index], alone(x.to(y))[0])
