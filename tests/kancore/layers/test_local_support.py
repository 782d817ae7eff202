"""Kernels against dense products in float64, and training against plain PyTorch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kancore.activations import FUNCTIONS, slope
from kancore.bench.peers import RecursiveLayer, optimizer_of
from kancore.layers import local_support
from kancore.layers.kolmogorov_arnold import KALayer
from kancore.optimizers import StackedOptimizer
from kancore.schemes import ACTIVATIONS, OPTIMIZERS, Scheme
from kancore.splines import basis


def library(form):
    """A compiled form that this processor runs, or ``None`` for PyTorch alone."""
    if form == "pytorch":
        return None
    if form not in local_support.FORMS.get(torch.backends.cpu.get_cpu_capability(), ("generic",)):
        pytest.skip(f"this processor has no {form}")
    try:
        return local_support.load(form)
    except OSError as error:
        if "not compiled" not in str(error):
            raise
        pytest.skip("no compiled kernels")


@pytest.fixture(params=["avx512", "avx2", "generic", "pytorch"])
def path(request, monkeypatch):
    """Each way to compute on a CPU."""
    monkeypatch.setattr(local_support, "LIBRARY", library(request.param))
    return request.param


@pytest.fixture(params=["avx512", "avx2", "generic"])
def compiled(request, monkeypatch):
    monkeypatch.setattr(local_support, "LIBRARY", library(request.param))
    return request.param


def dense(x, weight, grid, activation="gelu"):
    """The layer's definition: all functions of all inputs, times their weights."""
    functions = torch.cat((basis(x, *grid), FUNCTIONS[activation](x).unsqueeze(-2)), dim=-2)
    if x.dim() == 2:
        return torch.einsum("bmi,somi->sbo", functions, weight)
    return torch.einsum("sbmi,somi->sbo", functions, weight)


def compare(grid, stack, batch, inputs, outputs, shared, background=False):
    """Outputs and gradients of the kernels against the definition in float64."""
    x = 1.3 * torch.randn(*(() if shared else (stack,)), batch, inputs)
    values = 0.7 * torch.randn(inputs) if background else None
    if background:
        x = torch.where(torch.rand(x.shape) < 0.7, values, x)
    x.requires_grad_(not background)
    weight = local_support.empty_weight(stack, outputs, grid[0] + grid[1] + 1, inputs)
    weight.normal_().requires_grad_()
    plan = local_support.Plan.of(x, "gelu", grid, values)
    y = local_support.product(plan, weight)
    leaves = [weight] if background else [weight, x]
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    expected = dense(exact[1] if len(exact) > 1 else x.detach().double(), exact[0], grid)
    gradient = torch.randn_like(y)
    ours = [y, *torch.autograd.grad(y, leaves, gradient)]
    theirs = [expected, *torch.autograd.grad(expected, exact, gradient.double())]
    for one, other in zip(ours, theirs, strict=True):
        scale = float(other.detach().abs().max()) * grid[0] / 5  # slopes grow with the grid
        torch.testing.assert_close(one.double(), other, rtol=0, atol=3e-6 * scale)


@pytest.mark.parametrize("degree", range(1, 6))
@pytest.mark.parametrize("grid_size", [3, 5, 20])
def test_products_and_gradients_are_those_of_the_definition(compiled, degree, grid_size):
    torch.manual_seed(0)
    grid = (grid_size, degree, (-1.0, 1.0))
    compare(grid, 3, 64, 17, 5, shared=False)
    compare(grid, 2, 300, 20, 70, shared=True)
    compare(grid, 2, 300, 20, 70, shared=True, background=True)


@settings(max_examples=25, deadline=None)
@given(
    stack=st.integers(1, 3),
    batch=st.integers(1, 530),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 70),
    shared=st.booleans(),
    background=st.booleans(),
)
def test_products_of_all_shapes(stack, batch, inputs, outputs, shared, background):
    if local_support.LIBRARY is None:
        pytest.skip("no compiled kernels")
    torch.manual_seed(batch)
    background &= shared
    compare((5, 3, (-1.0, 1.0)), stack, batch, inputs, outputs, shared, background)


@pytest.mark.parametrize("x", [-1e30, -3.5, -1.0, 0.2, 1.0, 2.6, 1e30, float("inf")])
def test_inputs_far_beyond_the_grid_reach_the_base_alone(compiled, x):
    weight = local_support.empty_weight(1, 2, 9, 1).fill_(1.0)
    inputs = torch.full((3, 1), x)
    plan = local_support.Plan.of(inputs, "relu", (5, 3, (-1.0, 1.0)))
    y = local_support.product(plan, weight)
    splines = basis(inputs.clamp(-1e6, 1e6), 5, 3).sum(-2)
    torch.testing.assert_close(y, (splines + inputs.relu()).expand(1, 3, 2))


def test_a_nan_is_a_nan_in_the_outputs(compiled):
    inputs = torch.tensor([[float("nan"), 0.5], [0.1, 0.2]])
    weight = local_support.empty_weight(1, 1, 9, 2).fill_(1.0)
    y = local_support.product(local_support.Plan.of(inputs, "gelu", (5, 3, (-1, 1))), weight)
    assert y[0, 0].isnan().all()
    assert y[0, 1].isfinite().all()


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(compiled, threads):
    torch.manual_seed(0)
    x = torch.randn(3, 300, 37).requires_grad_()
    weight = local_support.empty_weight(3, 70, 9, 37).normal_().requires_grad_()
    results = []
    for number in (1, threads):
        torch.set_num_threads(number)
        try:
            y = local_support.product(local_support.Plan.of(x, "gelu", (5, 3, (-1, 1))), weight)
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, weight])])
        finally:
            torch.set_num_threads(1)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch", [40, 600])
def test_fused_updates_are_those_of_torch_optim(compiled, optimizer, batch):
    torch.manual_seed(0)
    layer, x, target = KALayer(11, 19, stack=2), torch.randn(batch, 11), torch.randn(batch, 19)
    for index in range(2):
        generator = torch.Generator().manual_seed(index)
        layer.initialize(index, "kaiming_normal", generator)
    weights = [layer.weight.detach()[index].clone().requires_grad_() for index in range(2)]
    rate = 0.05 if optimizer != "adam" else 0.005
    schemes = [Scheme(optimizer, rate, name) for name in ("kaiming_normal", "orthogonal")]
    stacked = StackedOptimizer([layer.weight], schemes)
    stacked.fuse(layer)
    updates = [optimizer_of([weight], optimizer) for weight in weights]
    for update in updates:
        update.param_groups[0]["lr"] = rate
    for _ in range(20):
        loss = (layer(x) - target).square().mean((1, 2)).sum()
        (gradient,) = torch.autograd.grad(loss, [layer.weight], allow_unused=True)
        assert gradient is None
        stacked.step([gradient])
        for weight, update in zip(weights, updates, strict=True):
            update.zero_grad()
            (dense(x, weight.unsqueeze(0), layer.grid) - target).square().mean().backward()
            update.step()
    for index, weight in enumerate(weights):
        torch.testing.assert_close(layer.weight[index], weight, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("degree", range(1, 6))
@pytest.mark.parametrize("grid_size", [3, 8, 20])
def test_twenty_steps_are_those_of_the_recursive_layer(path, degree, grid_size):
    torch.manual_seed(0)
    reference = RecursiveLayer(9, 6, grid_size, degree, FUNCTIONS["silu"])
    layer = KALayer(9, 6, grid_size, degree, activation="silu")
    edges = torch.cat((reference.coefficients, reference.base.unsqueeze(-1)), dim=-1)
    with torch.no_grad():
        layer.weight[0] = edges.transpose(1, 2)
    stacked = StackedOptimizer([layer.weight], [Scheme("sgd_momentum", 0.05, "orthogonal")])
    stacked.fuse(layer)
    theirs = torch.optim.SGD(reference.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    x, target = torch.randn(50, 9), torch.randn(50, 6)
    for _ in range(20):
        loss = (layer(x) - target).square().mean()
        stacked.step(torch.autograd.grad(loss, [layer.weight], allow_unused=True))
        theirs.zero_grad()
        (reference(x) - target).square().mean().backward()
        theirs.step()
    edges = torch.cat((reference.coefficients, reference.base.unsqueeze(-1)), dim=-1)
    torch.testing.assert_close(layer.weight[0], edges.transpose(1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_autograds(name):
    x = torch.linspace(-4, 4, 101, dtype=torch.float64).requires_grad_()
    (expected,) = torch.autograd.grad(FUNCTIONS[name](x).sum(), x)
    torch.testing.assert_close(slope(name, x.detach()), expected)


def test_an_unknown_activation_is_told():
    with pytest.raises(ValueError, match="activation is 'tanh'"):
        slope("tanh", torch.zeros(1))


def test_a_library_of_another_source_is_refused(monkeypatch, tmp_path):
    if local_support.LIBRARY is None:
        pytest.skip("no compiled kernels")
    module = tmp_path / "local_support.py"
    built = local_support.LIBRARY._name
    (tmp_path / built.rpartition("/")[2]).symlink_to(built)
    module.with_suffix(".cpp").write_text("// another version")
    monkeypatch.setattr(local_support, "__file__", str(module))
    with pytest.raises(OSError, match="another version"):
        local_support.load(local_support.FORM)


def test_weights_move_between_orders_in_memory():
    layer = KALayer(4, 3, stack=2)
    for network in range(2):
        layer.initialize(network, "orthogonal", torch.Generator().manual_seed(network))
    before = layer.weight.detach().clone()
    assert torch.equal(layer.double().weight.float(), before)
    assert layer.weight.is_contiguous()
    layer.float()
    assert torch.equal(layer.weight, before)
    if local_support.LIBRARY is not None:
        assert layer.weight.permute(0, 3, 2, 1).is_contiguous()
