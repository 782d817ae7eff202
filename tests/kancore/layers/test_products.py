"""Kernels of linear layers against their formula in float64, and training against PyTorch."""

from functools import cache

import far
import forms
import plainly
import pytest
import subnormal
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kancore.layers import products
from kancore.layers.activations import FUNCTIONS
from kancore.layers.linear import Linear
from kancore.schemes import OPTIMIZERS, Scheme
from kancore.training.optimizers import StackedOptimizer

# Those inside the kernels, one that is not, and none.
ACTIVATIONS = ("gelu", "silu", "elu", None)


@pytest.fixture(params=["avx512", "avx2", "generic"])
def kernels(request, monkeypatch):
    monkeypatch.setattr(products, "LIBRARY", forms.library(products, request.param))
    return request.param


@pytest.fixture(params=["avx512", "avx2", "generic", "pytorch"])
def path(request, monkeypatch):
    """Each way to compute on a CPU."""
    monkeypatch.setattr(products, "LIBRARY", forms.library(products, request.param))
    return request.param


def draw(stack, batch, inputs, outputs, shared):
    x = torch.randn(*(() if shared else (stack,)), batch, inputs)
    return x, torch.randn(stack, outputs, inputs), torch.randn(stack, outputs)


def compare(stack, batch, inputs, outputs, shared):
    """Outputs and gradients of the kernels against the formula in float64."""
    leaves = [each.requires_grad_() for each in draw(stack, batch, inputs, outputs, shared)]
    exact = [each.detach().double().requires_grad_() for each in leaves]
    y = products.affine(*leaves)
    expected = exact[0] @ exact[1].mT + exact[2].unsqueeze(1)
    gradient = torch.randn_like(y)
    ours = [y, *torch.autograd.grad(y, leaves, gradient)]
    theirs = [expected, *torch.autograd.grad(expected, exact, gradient.double())]
    for one, other in zip(ours, theirs, strict=True):
        scale = float(other.detach().abs().max()) + 1e-3
        torch.testing.assert_close(one.double(), other, rtol=0, atol=3e-6 * scale)


# Depths of one part and of several, blocks of rows that are whole or not, columns in whole vectors,
# panels and groups of them or not, and more examples than are copied at a time.
SHAPES = (
    *((2, 64, 784, 32, True), (3, 67, 13, 9, True), (2, 61, 77, 101, False)),
    *((1, 1, 1, 1, False), (2, 7, 3, 530, True), (2, 600, 260, 7, False), (2, 300, 85, 13, True)),
    *((2, 17, 2568, 6, False), (1, 300, 300, 100, True), (1, 2055, 40, 50, False)),
    # Few outputs of inputs that fill their vectors, and parts of a batch of no whole lines.
    *((2, 300, 64, 2, False), (1, 600, 32, 8, True), (1, 2060, 16, 1, False)),
)


@pytest.mark.parametrize("shape", SHAPES)
def test_products_and_gradients_are_those_of_the_formula(kernels, shape):
    torch.manual_seed(0)
    compare(*shape)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    stack=st.integers(1, 3),
    batch=st.one_of(st.integers(1, 40), st.integers(250, 530)),
    inputs=st.one_of(st.integers(1, 80), st.sampled_from([16, 64, 256]), st.integers(250, 600)),
    outputs=st.one_of(st.integers(1, 80), st.integers(500, 540)),
    shared=st.booleans(),
)
@example(stack=2, batch=257, inputs=257, outputs=513, shared=False)
def test_products_of_all_shapes(stack, batch, inputs, outputs, shared):
    if products.LIBRARY is None:
        pytest.skip("no compiled kernels")
    torch.manual_seed(batch)
    compare(stack, batch, inputs, outputs, shared)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(kernels, threads):
    torch.manual_seed(0)
    leaves = [each.requires_grad_() for each in draw(3, 300, 137, 301, shared=False)]
    results = []
    for number in (1, threads):
        torch.set_num_threads(number)
        try:
            y = products.affine(*leaves)
            results.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
        finally:
            torch.set_num_threads(1)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(2, 64, 40, 32), (2, 600, 260, 7), (1, 300, 20, 530)])
def test_subnormal_numbers_are_zero_within_and_only_within(kernels, shape, threads):
    torch.manual_seed(0)
    stack, batch, inputs, outputs = shape
    x = torch.rand(stack, batch, inputs).add(1).mul(1e-18).requires_grad_()
    weight = torch.rand(stack, outputs, inputs).add(1).mul(1e-18).requires_grad_()
    bias = torch.zeros(stack, outputs, requires_grad=True)
    torch.set_num_threads(threads)
    try:
        y = products.affine(x, weight, bias)
        # Terms of 1e-42 in the gradients by inputs and weights; then factors that are subnormal.
        small, tiny = (
            torch.autograd.grad(y, (x, weight, bias), torch.full_like(y, each), retain_graph=True)
            for each in (subnormal.SMALL, subnormal.TINY)
        )
        of_tiny = products.affine(torch.full_like(x, subnormal.TINY), 1e30 * weight, bias)
        assert subnormal.threads_keep_them()
    finally:
        torch.set_num_threads(1)
    exact = x.detach().double() @ weight.detach().double().mT
    torch.testing.assert_close(y.double(), exact, rtol=1e-5, atol=0)
    sums = torch.full_like(bias, batch * subnormal.SMALL)
    torch.testing.assert_close(small[2], sums, rtol=1e-5, atol=0)
    for each in (*small[:2], *tiny, of_tiny):
        assert not each.any()


@pytest.mark.parametrize("optimizer", ["sgd_momentum", "adam"])
@pytest.mark.parametrize("activation", ["gelu", None])
def test_momentum_of_what_has_no_gradient_any_more_ends_at_zero(kernels, optimizer, activation):
    layer = Linear(20, 9)
    layer.initialize(0, "kaiming_normal", torch.Generator().manual_seed(0))
    parameters = list(layer.parameters())
    stacked = StackedOptimizer(parameters, [Scheme(optimizer, 0.001, "kaiming_normal")])
    stacked.fuse(layer)
    for size in (1.0, *[0.0] * 1000):  # 0.9 to the power of 1000 is 1e-46
        y = layer(torch.full((64, 20), size), activation)
        torch.autograd.grad(size * y.sum(), parameters, allow_unused=True)
        if size:
            assert all(each.all() for each in momentum_of(stacked))
        stacked.step([None, None])
    assert not any(each.any() for each in momentum_of(stacked))


def momentum_of(stacked):
    (buffers,) = stacked.state_dict()["buffers"]
    return buffers["mean" if "mean" in buffers else "momentum"]


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["gelu", None])
@pytest.mark.parametrize(
    ("batch", "inputs", "outputs"),
    # Of the last two, results of the stack are so many that they are written past the caches.
    [(64, 300, 70), (300, 20, 530), (2050, 8, 1040), (2050, 1040, 8)],
)
def test_a_network_alone_has_the_bits_that_it_has_in_a_stack(
    kernels, activation, batch, inputs, outputs
):
    torch.manual_seed(0)
    x = torch.randn(4, batch, inputs)
    whole, alone = Linear(inputs, outputs, stack=4), Linear(inputs, outputs)
    for index in range(4):
        whole.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
    alone.load_state_dict({name: value[2:3] for name, value in whole.state_dict().items()})
    found = []
    for layer, given_x in ((whole, x), (alone, x[2:3])):
        schemes = [Scheme("sgd", 0.05, "kaiming_normal")] * len(given_x)
        StackedOptimizer(list(layer.parameters()), schemes).fuse(layer)
        leaf = given_x.clone().requires_grad_()
        y = layer(leaf, activation)
        (to_x,) = torch.autograd.grad(y.square().mean((1, 2)).sum(), leaf)
        found.append([each[-2:][:1] for each in (y, to_x, layer.weight, layer.bias)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    shared = products.affine(x[0], whole.weight, whole.bias)
    assert torch.equal(shared, products.affine(x[:1].expand(4, -1, -1), whole.weight, whole.bias))


def layers(inputs, outputs):
    """A stack of two, and the same as modules of PyTorch."""
    layer = Linear(inputs, outputs, stack=2, uniform_bias=True)
    plain = [torch.nn.Linear(inputs, outputs) for _ in range(2)]
    for index, module in enumerate(plain):
        layer.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
        module.weight.data = layer.weight.detach()[index].clone()
        module.bias.data = layer.bias.detach()[index].clone()
    return layer, plain


def drawn(batch, inputs, outputs):
    """A stack of two layers, the same as modules, inputs and targets, the same each time."""
    torch.manual_seed(0)
    layer, plain = layers(inputs, outputs)
    return layer, plain, torch.randn(batch, inputs) / inputs**0.5, torch.randn(batch, outputs)


@cache
def plainly_trained(activation, optimizer, *shape):
    """Modules after fifty steps: what those of each path are compared with."""
    _, plain, x, target = drawn(*shape)
    function = FUNCTIONS[activation] if activation else lambda y: y
    return plainly.trained(plain, lambda module: function(module(x)), target, optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("batch", "inputs", "outputs"), [(40, 11, 19), (600, 11, 3), (33, 520, 67)]
)
def test_fifty_steps_are_those_of_torch_optim_on_plain_layers(
    path, activation, optimizer, batch, inputs, outputs
):
    layer, _, x, target = drawn(batch, inputs, outputs)
    rate = plainly.RATES[optimizer]
    schemes = [Scheme(optimizer, rate, name) for name in ("kaiming_normal", "orthogonal")]
    parameters = list(layer.parameters())
    stacked = StackedOptimizer(parameters, schemes)
    stacked.fuse(layer)
    for _ in range(50):
        loss = (layer(x, activation) - target).square().mean((1, 2)).sum()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        assert all(g is None for g in gradients) == (products.LIBRARY is not None)
        stacked.step(gradients)
    for index, module in enumerate(plainly_trained(activation, optimizer, batch, inputs, outputs)):
        torch.testing.assert_close(layer.weight[index], module.weight, rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(layer.bias[index], module.bias, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_activations_and_slopes_are_as_exact_as_pytorchs(kernels, activation):
    """Of a layer that passes its input on, against PyTorch's functions in float64."""
    ends = torch.tensor([0.0, -0.0, 1e-30, 90.0, -90.0, 1e4, -1e4, 1e30, -1e30])
    x = torch.cat((torch.linspace(-30, 30, 60_001), ends)).unsqueeze(1)
    layer = Linear(1, 1)
    layer.weight.data.fill_(1)
    layer.bias.data.zero_()
    StackedOptimizer(list(layer.parameters()), [Scheme("sgd", 0.0, "orthogonal")]).fuse(layer)
    leaf = x.clone().requires_grad_()
    y = layer(leaf, activation)
    (slope,) = torch.autograd.grad(y.sum(), leaf)
    exact = x.double().requires_grad_()
    expected = FUNCTIONS[activation](exact)
    (expected_slope,) = torch.autograd.grad(expected.sum(), exact)
    for ours, theirs in ((y[0], expected), (slope, expected_slope)):
        torch.testing.assert_close(ours.double(), theirs, rtol=3e-7, atol=3e-7)
    # What is left of large negative inputs has its digits, where PyTorch's GELU has none.
    left = (x < -2) & (x > -5)
    torch.testing.assert_close(y[0][left].double(), expected[left], rtol=2e-5, atol=0)
    assert layer(torch.tensor([[torch.nan], [1.0]]), activation)[0, 0].isnan().all()


@pytest.mark.parametrize("activation", ["gelu", "silu", "elu"])
@pytest.mark.parametrize("copies", [1, 40])  # PyTorch has another formula for what fills a vector
def test_activations_far_from_zero_and_at_infinity_are_those_of_the_definition(
    path, activation, copies
):
    layer = Linear(1, 1)
    layer.weight.data.fill_(1)
    layer.bias.data.zero_()
    if products.LIBRARY is not None:
        StackedOptimizer(list(layer.parameters()), [Scheme("sgd", 0.0, "orthogonal")]).fuse(layer)
    values, expected, slopes = (each.repeat(copies) for each in far.values(activation))
    x = values.unsqueeze(1).requires_grad_()
    y = layer(x, activation)
    (to_x,) = torch.autograd.grad(y.sum(), x)
    for ours, theirs in ((y[0, :, 0], expected), (to_x[:, 0], slopes)):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-6)


def test_second_derivatives_are_pytorchs(path):
    torch.manual_seed(0)
    leaves = [each.requires_grad_() for each in draw(2, 20, 3, 4, shared=True)]
    exact = [each.detach().double().requires_grad_() for each in leaves]

    def penalty(function, leaves):
        y = function(*leaves).tanh()
        (slope,) = torch.autograd.grad(y.sum(), leaves[0], create_graph=True)
        return torch.autograd.grad(slope.square().sum(), leaves)

    ours = penalty(lambda *given: products.affine(*given, None, "gelu"), leaves)
    theirs = penalty(lambda x, w, b: F.gelu(x @ w.mT + b.unsqueeze(1)), exact)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


def test_shapes_that_do_not_fit_never_reach_the_kernels(kernels):
    x, weight, bias = draw(2, 6, 4, 3, shared=True)
    for wrong in ((x, weight, bias[:, :2]), (x[:, :3], weight, bias), (x[0], weight, bias)):
        with pytest.raises((RuntimeError, ValueError)):
            products.affine(*wrong)
    layer, _ = layers(4, 3)
    for wrong_x in (torch.randn(6, 5), torch.randn(3, 6, 4)):
        with pytest.raises(ValueError, match=r"inputs have shape .*, expected \[batch, 4\]"):
            layer(wrong_x)


@pytest.mark.parametrize("type_", [torch.float64, torch.bfloat16])
def test_other_types_go_by_pytorch(type_):
    x, weight, bias = (each.to(type_) for each in draw(2, 6, 4, 3, shared=True))
    expected = torch.einsum("bi,soi->sbo", x, weight) + bias.unsqueeze(1)
    torch.testing.assert_close(products.affine(x, weight, bias), expected, rtol=0.02, atol=0.02)


def test_parameters_in_another_order_in_memory_give_the_same(kernels):
    x, weight, bias = draw(2, 30, 40, 20, shared=False)
    expected = products.affine(x, weight, bias)
    turned = weight.mT.contiguous().mT
    assert torch.equal(products.affine(x.mT.contiguous().mT, turned, bias), expected)


def test_parts_of_an_update_follow_the_rates_of_the_whole(kernels):
    layer, _ = layers(3, 4)
    schemes = [Scheme("sgd", 0.1, name) for name in ("kaiming_normal", "orthogonal")]
    StackedOptimizer(list(layer.parameters()), schemes).fuse(layer)
    part = layer.update.part(1, 1)
    layer.update.scale_rates(0.5)
    assert [update.rate for update in part.updates] == pytest.approx([0.05])


@pytest.mark.parametrize("shared", [True, False])
def test_factors_in_bfloat16_are_rounded_and_their_sums_are_not(shared):
    torch.manual_seed(0)
    leaves = [each.requires_grad_() for each in draw(3, 20, 50, 7, shared)]
    y = products.affine(*leaves, bfloat16=True)
    gradient = torch.randn_like(y)
    found = [y, *torch.autograd.grad(y, leaves, gradient)]
    x, weight, below = (each.detach().bfloat16().double() for each in (*leaves[:2], gradient))
    to_x = below @ weight
    expected = [
        x @ weight.mT + leaves[2].detach().double().unsqueeze(1),
        to_x.sum(0) if shared else to_x,
        below.mT @ x,
        gradient.double().sum(1),
    ]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(y, products.affine(*leaves), rtol=0, atol=1e-3)
