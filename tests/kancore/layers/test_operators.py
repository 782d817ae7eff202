"""Operators are what PyTorch expects of operators, and never hand over what kernels cannot read."""

import forms
import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.library import opcheck

from kancore import KAN, MLP
from kancore.layers import compiled, dense, local_support, products
from kancore.layers.dense import Edges
from kancore.layers.kolmogorov_arnold import KALayer
from kancore.layers.linear import Linear
from kancore.schemes import Scheme
from kancore.training.optimizers import StackedOptimizer

OPERATORS = torch.ops.kancore


@pytest.fixture(params=["avx512", "avx2", "generic"], autouse=True)
def kernels(request, monkeypatch):
    for module in (local_support, products):
        monkeypatch.setattr(module, "LIBRARY", forms.library(module, request.param))


def draw(shared=True, folded=False, placed=False, batch=16):
    """Tensors and other arguments of `ka_local`, all of which require gradients."""
    torch.manual_seed(0)
    x = torch.randn(*(() if shared else (2,)), batch, 3, requires_grad=True)
    edges = [torch.randn(2, 3, 8, 4), *torch.randn(2, 2, 3, 4)]
    edges = [edge.requires_grad_() for edge in edges]
    if folded:
        edges[2] = None
    place = [None, None]
    if placed:
        shape = (3,) if shared else (2, 1, 3)
        place = [torch.randn(shape), torch.rand(shape) + 0.5]
    return x, *edges, None, *place, "gelu", 5, 3, -1.0, 1.0, True


# `opcheck` takes seconds, and asks about operators, which are the same for all forms of kernels.
ONE_FORM = pytest.mark.parametrize("kernels", ["generic"], indirect=True)


@pytest.mark.slow
@ONE_FORM
@pytest.mark.parametrize(("shared", "placed", "folded"), [(1, 0, 0), (0, 1, 1)])
def test_products_of_kans(shared, placed, folded):
    arguments = draw(shared, folded, placed)
    opcheck(OPERATORS.ka_local, arguments)
    y, plan = OPERATORS.ka_local(*arguments)
    gradient = torch.randn_like(y).requires_grad_()
    for wanted in ((True, True), (False, True), (True, False)):
        opcheck(OPERATORS.ka_local_gradients, (gradient, plan.detach(), *arguments, *wanted))


@pytest.mark.slow
@ONE_FORM
@pytest.mark.parametrize("shared", [True, False])
def test_products_of_linear_layers(shared):
    torch.manual_seed(0)
    tensors = torch.randn(*(() if shared else (2,)), 7, 3), torch.randn(2, 4, 3), torch.randn(2, 4)
    tensors = [each.requires_grad_() for each in tensors]
    opcheck(OPERATORS.affine, tensors)
    gradient = torch.randn(2, 7, 4, requires_grad=True)
    for wanted in ((True, True), (False, True), (True, False)):
        opcheck(OPERATORS.affine_gradients, (gradient, *tensors, *wanted))


@pytest.mark.parametrize("slopes", [0, 1])
@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize("batch", [1, 15, 256, 257, 700])
def test_the_size_of_a_plan_is_counted_as_the_kernels_count_it(batch, background, slopes):
    for grid in ((1, 1), (5, 3), (20, 5)):
        shape = 3, batch, 7, *grid, slopes, background
        library = local_support.LIBRARY
        expected = library.kancore_plan_size(local_support._Planned(*shape))
        assert local_support.plan_size(shape, library.lanes) == expected


def batch_of(tensor, dim, size):
    """A batch of tensors like one, along a dimension; the same for all where that is None."""
    if tensor is None or dim is None:
        return tensor
    factors = torch.linspace(0.5, 1.5, size).view(-1, *[1] * tensor.dim())
    return (tensor.detach() * factors).movedim(0, dim)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize(
    "dims", [(0, None, None), (1, None, None), (None, 0, None), (None, 1, 0), (1, 2, 0)]
)
def test_batches_of_products_and_of_their_gradients(shared, folded, dims):
    """Of inputs, of parameters, of places; along any dimension."""
    x, *edges, _, centre, stretch, activation, size, degree, low, high, _ = draw(
        shared, folded, True
    )
    of_x, of_edges, of_places = dims
    in_dims = (
        of_x,
        *[of_edges if edge is not None else None for edge in edges],
        of_places,
        of_places,
    )
    given = [
        batch_of(each, dim, 5)
        for each, dim in zip((x, *edges, centre, stretch), in_dims, strict=True)
    ]
    grid = size, degree, (low, high)

    def ours(x, coefficients, base, scale, centre, stretch):
        how = activation, size, degree, low, high, False
        return OPERATORS.ka_local(x, coefficients, base, scale, None, centre, stretch, *how)[0]

    def formula(x, coefficients, base, scale, centre, stretch):
        place = dense.Placement(centre, stretch)
        return dense.product(x, Edges(coefficients, base, scale), activation, grid, place)

    results = []
    for function, dtype in ((ours, torch.float32), (formula, torch.float64)):
        leaves = [None if e is None else e.detach().to(dtype).requires_grad_() for e in given]
        y = torch.vmap(function, in_dims)(*leaves)
        wanted = [leaf for leaf in leaves[:4] if leaf is not None]
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(dtype)
        results.append([y, *torch.autograd.grad((y * weights).sum(), wanted)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (4, torch.zeros(1), "background has shape"),
        (5, torch.zeros(7, 1, 3), "centre has shape"),
        (6, torch.ones(7, 1, 3), "stretch has shape"),
        (8, 0, "grid_size must be"),
        (9, 0, "degree must be"),
        (9, 9, "degree must be"),
        (11, float("nan"), "grid_range must be"),
    ],
)
def test_operators_check_what_they_are_given(place, value, told):
    arguments = list(draw(placed=True))
    arguments[12] = False  # with slopes there is no background
    if place in (8, 9):
        columns = value + (5 if place == 9 else 3)
        arguments[1] = torch.randn(2, 3, columns, 4)
    arguments[place] = value
    for given in (arguments, [e.to("meta") if torch.is_tensor(e) else e for e in arguments]):
        with pytest.raises(ValueError, match=told):
            OPERATORS.ka_local(*given)


def layers():
    torch.manual_seed(0)
    made = [KALayer(4, 3, stack=2), Linear(4, 3, stack=2)]
    for layer in made:
        for index in range(2):
            layer.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
    return made


class Wrapper(torch.Tensor):
    """A tensor that has no numbers of its own."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise NotImplementedError(str(function))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("layer", [0, 1])
def test_tensors_without_numbers_never_reach_the_kernels(layer, fused):
    layer, x = layers()[layer], torch.randn(5, 4)
    if fused:
        schemes = [Scheme("adam", 0.01, name) for name in ("kaiming_normal", "orthogonal")]
        StackedOptimizer(list(layer.parameters()), schemes).fuse(layer)
    with pytest.raises((NotImplementedError, TypeError, ValueError)):
        layer(Wrapper(x))
    with (
        FakeTensorMode() as mode,
        pytest.raises((AssertionError, RuntimeError, ValueError, TypeError)),
    ):
        layer(mode.from_tensor(x))
    loss = layer(x.requires_grad_()).sum()
    for parameter in layer.parameters():
        parameter.data.untyped_storage().resize_(0)
    with pytest.raises((RuntimeError, ValueError)):
        loss.backward()
    with pytest.raises((RuntimeError, ValueError)):
        layer(x)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("layer", [0, 1])
def test_negated_views_have_their_values(layer, fused):
    layer, x = layers()[layer], torch.randn(5, 4)
    expected = layer(-x)
    if fused:
        schemes = [Scheme("sgd", 0.01, name) for name in ("kaiming_normal", "orthogonal")]
        StackedOptimizer(list(layer.parameters()), schemes).fuse(layer)
    assert torch.equal(layer(torch._neg_view(x)), expected)
    y = layer(x)
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    y.backward(torch._neg_view(torch.ones_like(y)))
    after = [parameter.detach().clone() for parameter in layer.parameters()]
    if fused:
        for parameter, value in zip(layer.parameters(), before, strict=True):
            parameter.data.copy_(value)
        layer.update = None
    (layer(x) * -1).sum().backward()
    for parameter, one, other in zip(layer.parameters(), before, after, strict=True):
        if fused:
            torch.testing.assert_close(other, one - 0.01 * parameter.grad)
        else:  # twice the same
            assert parameter.grad.isfinite().all()


def test_layers_without_outputs_or_networks_are_as_those_of_pytorch():
    for made in (KALayer(4, 0), KALayer(4, 3, stack=0), Linear(4, 0), Linear(4, 3, stack=0)):
        x = torch.randn(5, 4, requires_grad=True)
        y = made(x)
        y.sum().backward()
        assert y.numel() == 0
        assert torch.equal(x.grad, torch.zeros(5, 4))
    assert KALayer(4, 0)(torch.randn(5, 4)).shape == (1, *nn.Linear(4, 0)(torch.randn(5, 4)).shape)


def test_small_buffers_of_optimizers_are_refused():
    layer = Linear(4, 3)
    update = {"optimizer": "sgd_momentum", "rate": 0.1, "momentum": 0.9, "second_momentum": 0.0}
    update |= {"epsilon": 0.0, "decay": 0.0, "second": None}
    for first in ([torch.zeros(1), torch.zeros(3)], None):
        with pytest.raises(ValueError, match=r"first buffers of sgd_momentum have shapes"):
            layer.fuse([update | {"first": first}], torch.ones(()))
    first = [torch.zeros(3, 4), torch.zeros(3)]
    layer.fuse([update | {"first": first}], torch.ones(()))
    loss = layer(torch.randn(5, 4)).sum()
    first[0].untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="buffers of an optimizer have left their memory"):
        loss.backward()
    with pytest.raises(ValueError, match="cannot be read by kernels"):
        compiled.address(torch.zeros(3, dtype=torch.float64))


def test_a_fused_layer_of_another_type_is_refused():
    for layer in layers():
        schemes = [Scheme("sgd", 0.01, name) for name in ("kaiming_normal", "orthogonal")]
        StackedOptimizer(list(layer.parameters()), schemes).fuse(layer)
        with pytest.raises(ValueError, match="fuse the layer again"):
            layer.double()(torch.randn(5, 4, dtype=torch.float64))


def test_arguments_are_checked_where_they_are_given():
    network = KAN(np.array([4, 8, 3]), grid_size=np.int64(5), degree=np.int32(3), stack=np.int8(2))
    assert network.num_parameters == 10 * (4 * 8 + 8 * 3)
    for make in (KAN, MLP):
        with pytest.raises(ValueError, match="activation is 'tanh'"):
            make([4, 3, 2], activation="tanh")
        with pytest.raises(ValueError, match="initialization is 'xavier'"):
            make([4, 3, 2], initialization="xavier")
        with pytest.raises(ValueError, match="initialization is 'xavier'"):
            make([4, 3, 2], stack=2).initialize(0, "xavier", torch.Generator())
    with pytest.raises(ValueError, match="widths must be"):
        MLP([4, 2.5, 2])
    for make in (KAN, MLP):
        for stack in (-1, 2.0):
            with pytest.raises(ValueError, match="stack is"):
                make([4, 2], stack=stack)
        for name in ("activation", "initialization"):
            with pytest.raises(ValueError, match=rf"{name} is \["):
                make([4, 3, 2], **{name: ["gelu"]})
    for ends in ((-1.0, float("inf")), (-1, 0, 1), 1.0, "ab"):
        with pytest.raises(ValueError, match="grid_range must be"):
            KAN([4, 2], grid_range=ends)
    with pytest.raises(ValueError, match="degree must be"):
        KAN([4, 2], degree=3.0)
    with pytest.raises(TypeError, match=r"inputs are of torch.int64, expected torch.float32"):
        KAN([4, 2])(torch.ones(3, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="inputs have shape"):
        KAN([4, 2]).outside_grid(torch.ones(4))
