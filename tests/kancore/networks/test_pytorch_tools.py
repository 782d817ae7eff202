"""Networks with PyTorch's usual tools, which know nothing of them."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch.nn.utils import parameters_to_vector, prune, vector_to_parameters

from kancore import KAN, MLP
from kancore.layers import local_support

WEIGHTS = {KAN: ("coefficients", "base_weight", "spline_scale"), MLP: ("weight", "bias")}


@pytest.fixture(params=[KAN, MLP])
def network(request):
    torch.manual_seed(0)
    return request.param([6, 8, 3]).eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(40, 6, generator=generator), torch.arange(40) % 3


def loss_of(network, batch):
    x, y = batch
    return F.cross_entropy(network(x), y)


def minimize(network, batch, iterations):
    """Loss after some iterations of LBFGS, which puts parameters together as one vector."""
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=iterations, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = loss_of(network, batch)
        loss.backward()
        return loss

    optimizer.step(closure)
    return loss_of(network, batch).item()


def test_lbfgs_takes_the_steps_that_it_takes_in_double_precision(network, batch):
    exact, (x, y) = copy.deepcopy(network).double(), batch
    start = loss_of(network, batch).item()
    found = minimize(network, batch, 5)
    assert found == pytest.approx(minimize(exact, (x.double(), y), 5), rel=1e-3)
    assert minimize(network, batch, 100) < 0.1 * start


def test_parameters_are_one_vector_and_back(network, batch):
    expected = network(batch[0])
    vector = parameters_to_vector(network.parameters()).detach()
    assert vector.shape == (network.num_parameters,)
    vector_to_parameters(torch.zeros_like(vector), network.parameters())
    assert not network(batch[0]).any()
    vector_to_parameters(vector, network.parameters())
    assert torch.equal(network(batch[0]), expected)
    loss_of(network, batch).backward()
    gradients = parameters_to_vector(p.grad for p in network.parameters())
    assert gradients.shape == vector.shape


def test_pruned_weights_are_zero_and_get_no_gradient(network, batch):
    layer, name = next(
        (module, name)
        for module in network.modules()
        for name, _ in module.named_parameters(recurse=False)
        if name in ("base_weight", "weight")
    )
    prune.l1_unstructured(layer, name, amount=0.5)
    pruned = getattr(layer, f"{name}_mask") == 0
    assert pruned.sum() == pruned.numel() / 2
    loss_of(network, batch).backward()
    gradient = getattr(layer, f"{name}_orig").grad
    assert not gradient[pruned].any()
    assert gradient[~pruned].any()
    expected = network(batch[0])
    prune.remove(layer, name)
    assert torch.equal(network(batch[0]), expected)
    assert not getattr(layer, name)[pruned].any()


def test_weights_go_through_files_and_copies(network, batch, tmp_path):
    expected = network(batch[0])
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    other = type(network)([6, 8, 3]).eval()
    other.load_state_dict(load_file(tmp_path / "network.safetensors"))
    torch.save(network, tmp_path / "network.pt")
    copies = (
        other,
        copy.deepcopy(network),
        pickle.loads(pickle.dumps(network)),
        torch.load(tmp_path / "network.pt", weights_only=False),
    )
    for each in copies:
        assert torch.equal(each(batch[0]), expected)


def test_assigned_weights_give_right_values_or_an_error(network, batch):
    x, _ = batch
    expected, state = network(x), network.state_dict()
    with pytest.raises(RuntimeError, match="size mismatch"):
        network.load_state_dict({k: v[..., :2] for k, v in state.items()}, assign=True)
    network.load_state_dict({k: v.double() for k, v in state.items()}, assign=True)
    torch.testing.assert_close(network(x.double()).float(), expected)
    with pytest.raises(RuntimeError, match="dtype"):
        network(x)


def test_every_weight_is_contiguous(network):
    names = {name.rpartition(".")[2] for name, _ in network.named_parameters()}
    assert names == set(WEIGHTS[type(network)])
    assert all(parameter.is_contiguous() for parameter in network.parameters())


@pytest.mark.parametrize(
    "change",
    [torch.Tensor.double, lambda w: w[..., :1].clone()],
    ids=["type", "shape"],
)
def test_weights_that_change_between_forward_and_backward_are_refused(change, batch):
    if local_support.LIBRARY is None:
        pytest.skip("no compiled kernels")
    network = KAN([6, 8, 3])
    loss = loss_of(network, batch)
    for parameter in network.parameters():
        parameter.data = change(parameter.data)
    with pytest.raises(ValueError, match="the parameters have changed their"):
        loss.backward()
