"""Optimizers that update weights in the backward pass: steps of the loop, and of torch.optim."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

from kancore import KAN, MLP, optim
from kancore.layers import local_support, products
from kancore.schemes import Scheme
from kancore.training.optimizers import StackedOptimizer

OPTIONS = {
    "adam": (optim.AdamW, torch.optim.AdamW, {"lr": 0.005}),
    "sgd": (optim.SGD, torch.optim.SGD, {"lr": 0.05}),
    "sgd_momentum": (optim.SGD, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
}


@pytest.fixture(params=["kernels", "pytorch"], autouse=True)
def path(request, monkeypatch):
    if request.param == "pytorch":
        monkeypatch.setattr(local_support, "LIBRARY", None)
        monkeypatch.setattr(products, "LIBRARY", None)
    return request.param


@pytest.fixture(params=[KAN, MLP])
def network(request):
    torch.manual_seed(0)
    return request.param([6, 8, 3], batch_norm="after_activation")


def make(name, network):
    ours, _, options = OPTIONS[name]
    return ours(network, **{key: value for key, value in options.items() if key != "nesterov"})


def batches(count):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield torch.randn(40, 6, generator=generator), torch.arange(40) % 3


def train(network, optimizer, count=6, scheduler=None):
    for x, y in batches(count):
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return [parameter.detach().clone() for parameter in network.parameters()]


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_are_to_the_bit_those_of_the_loop(network, name):
    stack = type(network)([6, 8, 3], batch_norm="after_activation", stack=1)
    stack.load_state_dict(network.state_dict())
    parameters = list(stack.parameters())
    loop = StackedOptimizer(parameters, [Scheme(name, OPTIONS[name][2]["lr"], "orthogonal")])
    loop.fuse(stack)
    for x, y in batches(6):
        loss = F.cross_entropy(stack(x)[0], y)
        loop.step(torch.autograd.grad(loss, parameters, allow_unused=True))
    found = train(network, make(name, network))
    assert all(map(torch.equal, found, parameters))


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_and_states_are_those_of_torch_optim(network, name, path):
    other = copy.deepcopy(network)
    _, plain, options = OPTIONS[name]
    ours, theirs = make(name, network), plain(other.parameters(), **options)
    schedulers = [torch.optim.lr_scheduler.StepLR(each, 2, 0.5) for each in (ours, theirs)]
    for one, expected in zip(
        train(network, ours, scheduler=schedulers[0]),
        train(other, theirs, scheduler=schedulers[1]),
        strict=True,
    ):
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)
    # Either goes on with the state of the other.
    states = ours.state_dict(), theirs.state_dict()
    for key, state in states[1]["state"].items():
        for field, value in state.items():
            torch.testing.assert_close(states[0]["state"][key][field], value, rtol=1e-4, atol=1e-6)
    ours.load_state_dict(copy.deepcopy(states[1]))
    theirs.load_state_dict(copy.deepcopy(states[0]))
    for one, expected in zip(train(network, ours), train(other, theirs), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)
    if path == "kernels" and local_support.LIBRARY and products.LIBRARY:
        fused = [p.grad is None for module in network.stages for p in module.parameters()]
        assert sum(fused) == len(list(network.parameters())) - 2  # all but the normalization


def test_what_cannot_be_done_in_the_backward_pass_is_refused(network, path):
    optimizer = make("adam", network)
    with pytest.raises(RuntimeError, match="closures compute gradients several times"):
        optimizer.step(lambda: 0.0)
    if path == "pytorch" or local_support.LIBRARY is None:
        return
    (x, y), *_ = batches(1)
    F.cross_entropy(network(x), y).backward()
    with pytest.raises(RuntimeError, match=r"expected step\(\) after each backward pass"):
        F.cross_entropy(network(x), y).backward()
    optimizer.step()
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(F.cross_entropy(network(x), y)).backward()
    with pytest.raises(RuntimeError, match="GradScaler had scaled"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"torch\.func cannot transform"):
        torch.func.vmap(network.eval())(x)
    state = optimizer.state_dict()
    state["param_groups"][0]["amsgrad"] = True
    with pytest.raises(ValueError, match="amsgrad"):
        optimizer.load_state_dict(state)


def test_released_layers_get_gradients(network):
    optimizer = make("adam", network)
    train(network, optimizer, 2)
    optimizer.release()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    (x, y), *_ = batches(1)
    F.cross_entropy(network(x), y).backward()
    assert all(map(torch.equal, before, network.parameters()))
    assert all(parameter.grad is not None for parameter in network.parameters())
    optimizer.step()
    assert not any(map(torch.equal, before, network.parameters()))
    assert {float(state["step"]) for state in optimizer.state.values()} == {3.0}


def test_weights_that_are_made_of_others_are_updated_by_step():
    torch.manual_seed(0)
    network = MLP([6, 8, 3])
    layer = network.stages[0].linear
    prune.l1_unstructured(layer, "weight", amount=0.5)
    optimizer = make("adam", network)
    train(network, optimizer, 2)
    assert layer.update is None
    assert (layer.weight[layer.weight_mask == 0] == 0).all()
    assert layer.weight_orig.grad is not None


@pytest.mark.parametrize("name", OPTIONS)
def test_copies_have_gradients_and_leave_the_weights_and_their_updates_alone(network, name):
    """As averaged weights, files of whole networks, and copies of a loop are made."""
    optimizer = make(name, network)
    train(network, optimizer, 2)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    other, following = copy.deepcopy((network, optimizer))
    averaged = torch.optim.swa_utils.AveragedModel(network).module
    for each in (other, averaged, pickle.loads(pickle.dumps(network))):
        (x, y), *_ = batches(1)
        F.cross_entropy(each(x), y).backward()
        assert all(parameter.grad is not None for parameter in each.parameters())
    assert all(map(torch.equal, before, network.parameters()))
    pairs = zip(train(network, optimizer), train(other, following), strict=True)
    for one, expected in pairs:
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)
    following.load_state_dict(optimizer.state_dict())


def test_parameters_that_are_frozen_later_are_not_updated(network, path):
    other = copy.deepcopy(network)
    optimizers = make("adam", network), torch.optim.AdamW(other.parameters(), lr=0.005)
    for each, optimizer in zip((network, other), optimizers, strict=True):
        train(each, optimizer, 2)
        next(each.parameters()).requires_grad_(False)
    if path == "kernels" and local_support.LIBRARY and products.LIBRARY:
        with pytest.raises(ValueError, match="some of the layer's parameters are frozen"):
            train(network, optimizers[0], 1)
    optimizers[0].release()
    pairs = zip(train(network, optimizers[0]), train(other, optimizers[1]), strict=True)
    for one, expected in pairs:
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)


def test_further_parameters_have_options_of_their_own(network):
    head, others = nn.Linear(3, 3), copy.deepcopy(network)
    theirs = nn.Sequential(others, copy.deepcopy(head))
    optimizer = make("adam", network)
    optimizer.add_param_group({"params": head.parameters(), "lr": 0.1})
    groups = [{"params": others.parameters()}, {"params": theirs[1].parameters(), "lr": 0.1}]
    found = train(nn.Sequential(network, head), optimizer)
    for one, expected in zip(
        found, train(theirs, torch.optim.AdamW(groups, lr=0.005)), strict=True
    ):
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)


def test_wrong_options_are_refused_as_by_torch_optim(network):
    for wrong in ({"lr": -1.0}, {"betas": (1.2, 0.9)}, {"eps": -1.0}, {"weight_decay": -1.0}):
        with pytest.raises(ValueError, match="Invalid"):
            optim.AdamW(network, **wrong)
    with pytest.raises(ValueError, match="Invalid momentum"):
        optim.SGD(network, momentum=-1.0)
    with pytest.raises(TypeError, match="expected the network as a module"):
        optim.AdamW(network.parameters())


def test_states_are_on_the_parameters_device_whatever_is_the_default(network):
    torch.set_default_device("meta")
    try:
        optimizer = make("adam", network)
    finally:
        torch.set_default_device(None)
    train(network, optimizer, 2)
    assert {float(state["step"]) for state in optimizer.state.values()} == {2.0}
