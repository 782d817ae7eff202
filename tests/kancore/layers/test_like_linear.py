"""Layers do what torch.nn.Linear does, wherever PyTorch takes it: with kernels and without."""

import copy
import ctypes
import gc

import psutil
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import (
    functional_call,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    replace_all_batch_norm_modules_,
    stack_module_state,
    vjp,
    vmap,
)
from torch.optim.swa_utils import update_bn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from kancore import KAN, MLP, WideMLP
from kancore.layers import local_support, products

MODELS = {"kan": KAN, "mlp": MLP, "wide_mlp": WideMLP}
WIDTHS = [4, 8, 3]


@pytest.fixture(params=["kernels", "pytorch"])
def path(request, monkeypatch):
    """With the kernels that this processor has, or without."""
    if request.param == "pytorch":
        monkeypatch.setattr(local_support, "LIBRARY", None)
        monkeypatch.setattr(products, "LIBRARY", None)
    elif local_support.LIBRARY is None or products.LIBRARY is None:
        pytest.skip("no compiled kernels")
    return request.param


@pytest.fixture(params=MODELS)
def model(request, path):
    return MODELS[request.param]


# A wide MLP is an MLP of other widths, so tests that take seconds leave it out.
OF_A_KIND = pytest.mark.parametrize("model", ["kan", "mlp"], indirect=True)


@pytest.fixture
def network(model):
    torch.manual_seed(0)
    return model(WIDTHS)


@pytest.fixture
def exact(network):
    """The network in float64, which no kernels compute; test_networks.py has its formula."""
    return copy.deepcopy(network).double()


@pytest.fixture
def x():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


def near(found, expected, tolerance=2e-6):
    assert found.isfinite().all()
    rounding = tolerance * max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(
        found.detach().double(), expected.detach().double(), rtol=0, atol=rounding
    )


def results(network, x):
    """Outputs, and gradients of a loss by inputs and parameters."""
    x = x.detach().requires_grad_()
    y = network(x)
    return [y, *torch.autograd.grad(y.square().sum(), [x, *network.parameters()])]


def gradients(network, x):
    return results(network, x)[1:]


# ---- types and devices that the user has made the default


@pytest.fixture
def default(request):
    """Set and reset PyTorch's defaults."""
    before = torch.get_default_dtype()

    def set_(dtype=None, device=None):
        if dtype is not None:
            torch.set_default_dtype(dtype)
        if device is not None:
            torch.set_default_device(device)

    yield set_
    torch.set_default_dtype(before)
    torch.set_default_device(None)


TYPES = [torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("options", [{"dtype": each} for each in TYPES] + [{"device": "meta"}])
def test_defaults_that_are_set_after_construction_change_nothing(
    network, exact, x, default, options
):
    before = [network(x), *gradients(network, x)]
    default(**options)
    after = [network(x), *gradients(network, x)]
    assert all(map(torch.equal, before, after))
    near(after[0], exact(x.double()))


@pytest.mark.parametrize("dtype", TYPES)
def test_networks_are_made_of_the_default_type(model, x, default, dtype):
    default(dtype=dtype)
    torch.manual_seed(0)
    network = model(WIDTHS)
    assert {parameter.dtype for parameter in network.parameters()} == {dtype}
    x = x.to(dtype)
    assert network(x).dtype == dtype == nn.Linear(4, 3)(x).dtype
    exact = copy.deepcopy(network).double()
    tolerance = 8 * torch.finfo(dtype).eps
    near(network(x), exact(x.double()), tolerance)
    pairs = zip(gradients(network, x), gradients(exact, x.double()), strict=True)
    for found, expected in pairs:
        assert found.dtype == dtype
        near(found, expected, 4 * tolerance)


@pytest.mark.parametrize("how", ["context", "default"])
def test_networks_are_made_on_the_device_meta(model, default, how):
    if how == "context":
        with torch.device("meta"):
            network = model(WIDTHS)
    else:
        default(device="meta")
        network = model(WIDTHS)
    assert all(parameter.is_meta for parameter in network.parameters())
    assert network(torch.empty(5, 4, device="meta")).shape == (5, 3)
    state = model(WIDTHS, stack=1).state_dict()
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in state.items()
    }


def test_networks_without_numbers(model):
    with FakeTensorMode():
        network, x = model(WIDTHS), torch.randn(6, 4, requires_grad=True)
        network(x).sum().backward()
        assert x.grad.shape == (6, 4)
        assert [p.grad.shape for p in network.parameters()] == [
            parameter.shape for parameter in network.parameters()
        ]


# ---- autocast


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("low", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_autocast(network, exact, x, dtype, low, inside):
    x = x.to(dtype) if low else x
    x = x.requires_grad_()
    leaves = [x, *network.parameters()]
    with torch.autocast("cpu", dtype):
        y = network(x)
        loss = F.mse_loss(y.float(), torch.ones(6, 3))
        found = torch.autograd.grad(loss, leaves) if inside else None
    found = found or torch.autograd.grad(loss, leaves)
    # Splines are evaluated in full, linear layers as PyTorch's own.
    assert y.dtype == (torch.float32 if isinstance(network, KAN) else dtype)
    exact_x = x.detach().double().requires_grad_()
    expected = exact(exact_x)
    tolerance = 1e-5 if isinstance(network, KAN) else 16 * torch.finfo(dtype).eps
    near(y, expected, tolerance)
    loss = F.mse_loss(expected, torch.ones(6, 3, dtype=torch.float64))
    theirs = torch.autograd.grad(loss, [exact_x, *exact.parameters()])
    for leaf, ours, other in zip(leaves, found, theirs, strict=True):
        assert ours.dtype == leaf.dtype
        near(ours, other, max(tolerance, 2 * torch.finfo(leaf.dtype).eps))


def test_a_gradient_scaler_takes_the_steps_that_are_taken_without(network, x):
    other, trained = copy.deepcopy(network), []
    for each, enabled in ((network, True), (other, False)):
        optimizer = torch.optim.SGD(each.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", enabled=enabled, init_scale=1024.0)
        for _ in range(5):
            optimizer.zero_grad()
            scaler.scale(each(x).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
        trained.append([*each.parameters()])
    for one, expected in zip(*trained, strict=True):
        near(one, expected)


# ---- torch.func


def by_parameters(network):
    """Values of parameters, and the network as a function of them and of inputs."""
    values = {name: each.detach() for name, each in network.named_parameters()}
    return values, lambda values, x: functional_call(network, values, (x,))


TRANSFORMS = {
    "grad": lambda f, x: grad(lambda x: f(x).square().sum())(x),
    "vjp": lambda f, x: vjp(f, x)[1](torch.ones_like(f(x)))[0],
    "jvp": lambda f, x: jvp(f, (x,), (torch.ones_like(x),))[1],
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "hessian": lambda f, x: hessian(lambda x: f(x).square().sum())(x),
    "grad of grad": lambda f, x: grad(lambda x: grad(lambda x: f(x).sum())(x).square().sum())(x),
    "vmap": lambda f, x: vmap(f)(x),
    "vmap of jacrev": lambda f, x: vmap(jacrev(f))(x),
    "dual numbers": lambda f, x: torch.autograd.functional.jvp(f, x, torch.ones_like(x))[1],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_functions_of_the_inputs(network, exact, x, name):
    transform = TRANSFORMS[name]
    near(transform(network, x), transform(exact, x.double()), 1e-5)


@pytest.mark.parametrize("create_graph", [False, True])
def test_jacobians_and_batches_of_gradients(network, exact, x, create_graph):
    jacobian = torch.autograd.functional.jacobian
    expected = jacobian(exact, x.double())
    options = {"vectorize": True, "create_graph": create_graph}
    near(jacobian(network, x, **options), expected)
    leaf = x.clone().requires_grad_()
    y = network(leaf)
    rows = torch.eye(18).view(18, 6, 3)
    found = torch.autograd.grad(y, leaf, rows, is_grads_batched=True, create_graph=create_graph)
    near(found[0].view(6, 3, 6, 4), expected)
    values, f = by_parameters(network)
    exact_values, exact_f = by_parameters(exact)
    for name, value in exact_values.items():
        expected = jacobian(lambda v, n=name: exact_f({**exact_values, n: v}, x.double()), value)
        found = jacobian(lambda v, n=name: f({**values, n: v}, x), values[name], **options)
        near(found, expected)


def test_second_derivatives_of_autograd(network, exact, x):
    results = []
    for each, dtype in ((network, torch.float32), (exact, torch.float64)):
        leaf = x.detach().to(dtype).requires_grad_()
        (slope,) = torch.autograd.grad(each(leaf).square().sum(), leaf, create_graph=True)
        results.append(torch.autograd.grad(slope.square().sum(), [leaf, *each.parameters()]))
    for found, expected in zip(*results, strict=True):
        near(found, expected, 1e-5)
    hessian_of = torch.autograd.functional.hessian
    expected = hessian_of(lambda x: exact(x).square().sum(), x.double())
    for vectorize in (False, True):
        found = hessian_of(lambda x: network(x).square().sum(), x, vectorize=vectorize)
        near(found, expected, 1e-5)


def test_gradients_of_each_example(network, exact, x):
    results = []
    for each, inputs in ((network, x), (exact, x.double())):
        values, f = by_parameters(each)
        loss = grad(lambda values, row, f=f: f(values, row).square().sum())
        results.append(vmap(loss, (None, 0))(values, inputs))
    for name, expected in results[1].items():
        near(results[0][name], expected, 1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_ensembles(model, x, shared):
    """As PyTorch's tutorial makes them: by vmap over the parameters of several networks."""
    networks = [model(WIDTHS) for _ in range(3)]
    values, _ = stack_module_state(networks)
    inputs = x if shared else torch.stack([x, 2 * x, -x])
    leaf = inputs.clone().requires_grad_()

    def call(values, x):
        return functional_call(networks[0], values, (x,))

    y = vmap(call, (0, None if shared else 0))(values, leaf)
    found = torch.autograd.grad(y.square().sum(), [leaf, *values.values()])
    other = inputs.clone().requires_grad_()
    expected = torch.stack(
        [each(other if shared else other[place]) for place, each in enumerate(networks)]
    )
    near(y, expected)
    leaves = [other, *(each for network in networks for each in network.parameters())]
    to_x, *to_all = torch.autograd.grad(expected.square().sum(), leaves)
    near(found[0], to_x)
    each = len(to_all) // 3
    for place, one in enumerate(found[1:]):
        near(one, torch.stack(to_all[place::each]))


# ---- compilers and other formats


@pytest.mark.slow
@OF_A_KIND
def test_compiled_as_one_graph_of_any_batch(model, path, x):
    torch.compiler.reset()
    torch.manual_seed(0)
    # Of KANs without kernels much code is made, which takes a compiler long: one layer is enough.
    network = model([4, 3] if path == "pytorch" and model is KAN else WIDTHS)
    compiled = torch.compile(network, fullgraph=True, dynamic=True)
    for batch in (x, torch.cat([x, x]), x[:5]):
        for one, other in zip(results(compiled, batch), results(network, batch), strict=True):
            near(one, other)
        if path == "kernels":  # which without a gradient by inputs are others: a second graph
            near(compiled(batch), network(batch))


@pytest.mark.slow
@OF_A_KIND
@pytest.mark.parametrize(
    ("path", "name"),
    # Compiled transforms leave kernels out, so that graphs without them are the same.
    [*(("kernels", name) for name in ("grad", "jacrev", "jvp", "vmap")), ("pytorch", "jacrev")],
    indirect=["path"],
)
def test_transforms_are_compiled_as_one_graph(network, exact, x, name):
    torch.compiler.reset()
    transform = TRANSFORMS[name]
    compiled = torch.compile(lambda x: transform(network, x), fullgraph=True, backend="aot_eager")
    near(compiled(x), transform(exact, x.double()), 1e-5)


@pytest.mark.slow
@OF_A_KIND
def test_autocast_is_compiled_as_one_graph(network, x):
    torch.compiler.reset()

    def loss(x):
        with torch.autocast("cpu", torch.bfloat16):
            return network(x).float().square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    results = [torch.autograd.grad(each(x), [*network.parameters()]) for each in (compiled, loss)]
    for found, expected in zip(*results, strict=True):
        near(found, expected, 1e-2)


@pytest.mark.slow
@OF_A_KIND
def test_exported_and_loaded(network, x, tmp_path):
    batch = {0: torch.export.Dim("batch", min=2, max=1000)}
    program = torch.export.export(network.eval(), (x,), dynamic_shapes=(batch,))
    torch.export.save(program, tmp_path / "network.pt2")
    loaded = torch.export.load(tmp_path / "network.pt2").module()
    for each in (x, torch.cat([x, x, x])):
        near(loaded(each), network(each))


@pytest.mark.slow
@OF_A_KIND
def test_onnx(network, x, tmp_path):
    pytest.importorskip("onnxscript")
    reference = pytest.importorskip("onnx.reference")
    file = tmp_path / "network.onnx"
    torch.onnx.export(network.eval(), (x,), file, dynamo=True)
    (found,) = reference.ReferenceEvaluator(str(file)).run(None, {"x": x.numpy()})
    near(torch.from_numpy(found), network(x), 1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_traced(network, exact, x, tmp_path):
    traced = torch.jit.trace(network.eval(), x, check_trace=False)
    for each in (x, -x, torch.cat([x, x]), x[:1]):
        near(traced(each), exact(each.double()))
    with torch.no_grad():
        near(torch.jit.trace(network, x)(2 * x), exact(2 * x.double()))
    if local_support.LIBRARY is None:  # functions of autograd are no part of a traced program
        return
    torch.jit.save(torch.jit.trace(network, x), tmp_path / "traced.pt")
    traced = torch.jit.load(tmp_path / "traced.pt")
    for found, expected in zip(gradients(traced, -x), gradients(network, -x), strict=True):
        near(found, expected)


# ---- memory


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpoints_give_the_gradients_and_keep_less(network, x, reentrant):
    kept = []

    def keep(tensor):
        kept.append(tensor.untyped_storage().nbytes())
        return tensor

    expected = gradients(network, x)

    def call(x):
        return checkpoint(network, x, use_reentrant=reentrant)

    leaf = x.clone().requires_grad_()
    y = call(leaf)
    y.square().sum().backward()
    for found, other in zip([leaf, *network.parameters()], expected, strict=True):
        assert torch.equal(found.grad, other)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(leaf)
    assert sum(kept) > x.numel() * 4


def test_tensors_for_the_backward_pass_may_be_moved(network, x):
    expected = gradients(network, x)
    with torch.autograd.graph.save_on_cpu():
        found = gradients(network, x)
    assert all(map(torch.equal, found, expected))
    with torch.autograd.graph.saved_tensors_hooks(torch.Tensor.numpy, torch.from_numpy):
        assert all(map(torch.equal, gradients(copy.deepcopy(network), x), expected))


def _resident():
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)  # what is free would count
    return psutil.Process().memory_info().rss / 2**20


def _kept(model, width, call=lambda network, x: network(x)):
    """MiB that ten more losses keep after their backward pass."""
    x, network = torch.randn(1024, width), model([width, 8, width])
    losses = []

    def keep(count):
        for _ in range(count):
            losses.append(call(network, x).square().mean())
            losses[-1].backward()
        return _resident()

    before = keep(2)
    return keep(10) - before


@pytest.mark.slow
@OF_A_KIND
def test_losses_that_are_kept_keep_no_memory(model):
    """A plan of these inputs takes 17 MiB, and would be kept ten times."""
    assert _kept(model, 512) < 40


@pytest.mark.slow
def test_a_checkpoint_keeps_inputs_alone(path):
    """Of three networks in a row, whose plans would take 25 MiB."""
    network = nn.Sequential(*(KAN([512, 16, 512]) for _ in range(3)))
    x = torch.randn(1024, 512).requires_grad_()

    def kept(call):
        before = _resident()
        y = call(x)
        found = _resident() - before
        del y
        return found

    kept(lambda x: checkpoint_sequential(network, x))
    without = kept(network)
    with_ = kept(lambda x: checkpoint_sequential(network, x))
    assert with_ < 0.75 * without


def checkpoint_sequential(network, x):
    for each in network:
        x = checkpoint(each, x, use_reentrant=False)
    return x


# ---- what tools find


def test_operations_are_counted(network, x):
    def count(module):
        with FlopCounterMode(display=False) as counter:
            module(x).sum().backward()
        return counter.get_total_flops()

    found = count(network)
    hidden = 80 if isinstance(network, WideMLP) else 8
    edges = 2 * 6 * (4 * hidden + hidden * 3)
    functions = 1
    if isinstance(network, KAN):  # k + 2 that matter, or all G + k + 1
        functions = 5 if local_support.LIBRARY else 9
    plain = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 3))
    # Of the first layer there is no gradient by inputs.
    assert found == functions * count(plain) == functions * (3 * edges - 2 * 6 * 4 * hidden)


@pytest.mark.parametrize("place", ["before_activation", "after_activation"])
def test_averaged_weights_get_statistics_of_their_own(model, x, place):
    torch.manual_seed(0)
    network = model(WIDTHS, batch_norm=place)
    batches = [3 * torch.randn(50, 4) + 1 for _ in range(4)]
    seen = []
    (norm,) = (
        each for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)
    )
    handle = norm.register_forward_pre_hook(lambda _, given: seen.append(given[0][0].detach()))
    update_bn(batches, network)
    handle.remove()
    theirs = nn.BatchNorm1d(seen[0].shape[1], momentum=None)
    for each in seen:
        theirs(each)
    near(norm.running_mean[0], theirs.running_mean)
    near(norm.running_var[0], theirs.running_var)
    assert norm.momentum == 0.1
    assert not any("num_batches" in name for name in network.state_dict())


@pytest.mark.parametrize("place", ["before_activation", "after_activation"])
def test_statistics_of_batches_alone(model, x, place):
    """As `torch.func` takes them, which cannot change a buffer for each example."""
    network = model(WIDTHS, batch_norm=place)
    expected = network(x)
    replace_all_batch_norm_modules_(network)
    for training in (True, False):
        assert torch.equal(network.train(training)(x), expected)
    values, f = by_parameters(network)
    batches = torch.stack([x, 2 * x, -x])
    loss = grad(lambda values, batch: f(values, batch).square().sum())
    found = vmap(loss, (None, 0))(values, batches)
    for place, batch in enumerate(batches):
        for name, one in loss(values, batch).items():
            near(found[name][place], one, 1e-4)


def test_batch_normalization_goes_through_states(model, x):
    options = {"batch_norm": "before_activation", "batch_norm_momentum": None}
    network, other = model(WIDTHS, **options), model(WIDTHS, **options)
    network(x)
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(2 * x), other(2 * x))
    for one, expected in zip(other.buffers(), network.buffers(), strict=True):
        assert torch.equal(one, expected)
    with torch.device("meta"):
        network = model(WIDTHS, batch_norm="before_activation")
    other = model(WIDTHS, batch_norm="before_activation")
    network.load_state_dict(other.state_dict(), assign=True)
    near(network.double()(x.double()), other(x))


def test_frozen_parameters_are_not_counted(network):
    before = network.num_parameters
    first = next(network.parameters())
    first.requires_grad_(False)
    assert network.num_parameters == before - first.numel()
    assert network.num_parameters == sum(p.numel() for p in network.parameters() if p.requires_grad)
