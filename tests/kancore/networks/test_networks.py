"""Networks: published parameter counts, values, stacks."""

from itertools import cycle

import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import BSpline

import kancore
from kancore import KAN, MLP, WideMLP
from kancore.layers.activations import FUNCTIONS
from kancore.layers.kolmogorov_arnold import SPLINE_SCALES
from kancore.layers.linear import BatchNorm
from kancore.layers.splines import knots
from kancore.networks import build
from kancore.schemes import ACTIVATIONS, MODELS, PLACES, Architecture

MNIST = {2: [784, 32, 10], 3: [784, 64, 32, 10], 4: [784, 128, 64, 32, 10]}
CIFAR = {2: [3072, 256, 10], 3: [3072, 512, 256, 10], 4: [3072, 1024, 512, 256, 10]}
HIGGS = {2: [28, 256, 2], 3: [28, 512, 256, 2], 4: [28, 1024, 512, 256, 2]}

# Paper's published runs: model, widths, options, trainable parameters.
PUBLISHED = [
    (KAN, MNIST[2], {}, 254_080),
    (KAN, MNIST[2], {"batch_norm": "after_activation"}, 254_164),
    (KAN, MNIST[3], {}, 525_440),
    (KAN, MNIST[3], {"batch_norm": "after_activation"}, 525_652),
    (KAN, MNIST[4], {}, 1_109_120),
    (KAN, MNIST[4], {"batch_norm": "after_activation", "degree": 2}, 998_676),
    (KAN, MNIST[4], {"batch_norm": "after_activation", "degree": 3}, 1_109_588),
    (KAN, MNIST[4], {"batch_norm": "after_activation", "degree": 4}, 1_220_500),
    (KAN, MNIST[4], {"batch_norm": "after_activation", "degree": 5}, 1_331_412),
    (MLP, MNIST[2], {"batch_norm": "after_activation"}, 25_514),
    (MLP, MNIST[3], {"batch_norm": "after_activation"}, 52_842),
    (MLP, MNIST[4], {"batch_norm": "after_activation"}, 111_594),
    (WideMLP, MNIST[2], {"batch_norm": "after_activation"}, 255_050),
    (WideMLP, MNIST[3], {"batch_norm": "after_activation"}, 712_650),
    (WideMLP, MNIST[4], {"batch_norm": "after_activation"}, 2_037_450),
    (KAN, CIFAR[2], {"batch_norm": "after_activation"}, 7_890_452),
    (KAN, CIFAR[3], {"batch_norm": "after_activation"}, 17_066_516),
    (KAN, CIFAR[4], {"batch_norm": "after_activation"}, 38_040_084),
    (MLP, CIFAR[2], {"batch_norm": "after_activation"}, 789_770),
    (MLP, CIFAR[3], {"batch_norm": "after_activation"}, 1_708_810),
    (MLP, CIFAR[4], {"batch_norm": "after_activation"}, 3_809_034),
    (WideMLP, CIFAR[2], {"batch_norm": "after_activation"}, 7_897_610),
    (WideMLP, CIFAR[3], {"batch_norm": "after_activation"}, 28_884_490),
    (WideMLP, CIFAR[4], {"batch_norm": "after_activation"}, 97_072_650),
    (KAN, HIGGS[2], {"batch_norm": "after_activation"}, 77_316),
    (KAN, HIGGS[3], {"batch_norm": "after_activation"}, 1_460_740),
    (KAN, HIGGS[4], {"batch_norm": "after_activation"}, 6_849_028),
    (MLP, HIGGS[2], {"batch_norm": "after_activation"}, 8_450),
    (MLP, HIGGS[3], {"batch_norm": "after_activation"}, 148_226),
    (MLP, HIGGS[4], {"batch_norm": "after_activation"}, 689_922),
    (WideMLP, HIGGS[2], {"batch_norm": "after_activation"}, 84_482),
    (WideMLP, HIGGS[3], {"batch_norm": "after_activation"}, 13_278_722),
    (WideMLP, HIGGS[4], {"batch_norm": "after_activation"}, 65_881_602),
    (KAN, [100, 32, 10], {"batch_norm": "after_activation"}, 35_284),
    (KAN, [100, 64, 32, 10], {"batch_norm": "after_activation"}, 87_892),
    (KAN, [100, 128, 64, 32, 10], {"batch_norm": "after_activation"}, 234_068),
    (MLP, [100, 32, 10], {"batch_norm": "after_activation"}, 3_626),
    (MLP, [100, 64, 32, 10], {"batch_norm": "after_activation"}, 9_066),
    (MLP, [100, 128, 64, 32, 10], {"batch_norm": "after_activation"}, 24_042),
    (WideMLP, [100, 32, 10], {"batch_norm": "after_activation"}, 36_170),
]


@pytest.mark.parametrize(("model", "widths", "options", "count"), PUBLISHED)
def test_parameters_are_counted_as_published(model, widths, options, count):
    with torch.device("meta"):
        # Without memory: only shapes matter. A stack is not initialized.
        network = model(widths, stack=1, **options)
    assert network.num_parameters == sum(parameter.numel() for parameter in network.parameters())
    # The published code counts a normalization of a KAN's output layer that it never uses.
    unused = 2 * widths[-1] if model is KAN and "batch_norm" in options else 0
    assert network.num_parameters + unused == count


def test_a_folded_scale_is_one_parameter_less_an_edge():
    folded, trained = (KAN([7, 5, 3], spline_scale=how) for how in ("folded", "trained"))
    assert trained.num_parameters - folded.num_parameters == 7 * 5 + 5 * 3
    assert trained.num_parameters == 10 * (7 * 5 + 5 * 3)
    names = {name.rpartition(".")[2] for name in trained.state_dict()}
    assert names == {"coefficients", "base_weight", "spline_scale"}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("grid_size", "degree"), [(5, 3), (3, 1), (7, 5)])
def test_kan_is_the_sum_over_its_edges(activation, grid_size, degree):
    torch.manual_seed(0)
    network = KAN([4, 3], grid_size=grid_size, degree=degree, activation=activation).double()
    x = torch.empty(6, 4, dtype=torch.float64).uniform_(-2, 2)
    coefficients, base, scale = (edge[0].detach() for edge in network.stages[0].edges)
    expected = torch.zeros(6, 3, dtype=torch.float64)
    for i in range(3):
        for j in range(4):
            spline = BSpline(
                knots(grid_size, degree).numpy(), coefficients[j, :, i].numpy(), degree
            )
            padded = BSpline.construct_fast(spline.t, spline.c, degree, extrapolate=False)
            inside = torch.from_numpy(_extended(padded, grid_size, degree, x[:, j].numpy()))
            expected[:, i] += base[j, i] * FUNCTIONS[activation](x[:, j]) + scale[j, i] * inside
    torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-10)


def _extended(spline, grid_size, degree, x):
    """Sum of coefficient times basis element, also where not all elements overlap."""
    total = 0 * x
    for m, coefficient in enumerate(spline.c):
        element = BSpline.basis_element(spline.t[m : m + degree + 2], extrapolate=False)
        values = element(x)
        values[values != values] = 0
        total = total + coefficient * values
    return total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "spline_scale"),
    # Of branches that are added: each value of both, and both scales beside one activation.
    [*zip(ACTIVATIONS, cycle(SPLINE_SCALES), strict=False), (ACTIVATIONS[0], SPLINE_SCALES[1])],
)
def test_kan_gradients_of_first_and_second_order(activation, spline_scale):
    torch.manual_seed(1)
    options = {"output_activation": "silu", "batch_norm": "after_activation"}
    network = KAN([2, 3, 2], activation=activation, spline_scale=spline_scale, **options).double()
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    parameters = tuple(network.parameters())

    def call(x, *values):
        names = [name for name, _ in network.named_parameters()]
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(call, (x, *parameters))
    assert torch.autograd.gradgradcheck(call, (x, *parameters))


@pytest.mark.parametrize("network", [KAN, MLP])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4,), (7, 4), (2, 7, 4), (0, 4)])
def test_leading_axes_are_kept_as_by_torchs_linear(network, dtype, shape):
    torch.manual_seed(0)
    network, x = network([4, 6, 3]).to(dtype), torch.randn(shape, dtype=dtype)
    found = network(x)
    assert found.shape == torch.nn.Linear(4, 3, dtype=dtype)(x).shape
    expected = [network(row.unsqueeze(0))[0] for row in x.reshape(-1, 4)]
    expected = torch.stack(expected).view(found.shape) if expected else found
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("network", [KAN, MLP])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("features", [1, 5, 7, 128])
def test_other_numbers_of_features_are_refused(network, dtype, features):
    for stack, x in ((None, torch.zeros(9, features)), (2, torch.zeros(3, 9, 6))):
        stacked = network([6, 8, 3], stack=stack).to(dtype)
        with pytest.raises(ValueError, match=r"inputs have shape .*expected \[batch, 6\]"):
            stacked(x.to(dtype))


@pytest.mark.parametrize("batch_norm", [None, *PLACES])
def test_mlp_is_torchs(batch_norm):
    torch.manual_seed(0)
    network = MLP([6, 5, 4, 3], activation="silu", batch_norm=batch_norm)
    x = torch.randn(10, 6)
    h = x
    for stage in network.stages[:-1]:
        h = F.linear(h, stage.linear.weight[0], stage.linear.bias[0])
        if batch_norm == "before_activation":
            h = F.batch_norm(h, None, None, training=True)
        h = F.silu(h)
        if batch_norm == "after_activation":
            h = F.batch_norm(h, None, None, training=True)
    last = network.stages[-1]
    expected = F.linear(h, last.weight[0], last.bias[0])
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-6)


def architecture(model, **options):
    if model == "kan":
        options |= {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)}
    return Architecture(model, (6, 4), **options)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("training", [True, False])
def test_a_stack_is_its_networks_side_by_side(model, training):
    shape = architecture(model, batch_norm="before_activation")
    stack = build(shape, 5, 3, 4).train(training)
    for index in range(4):
        stack.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
    x = torch.randn(9, 5)
    together = stack(x)
    assert together.shape == (4, 9, 3)
    for index in range(4):
        alone = build(shape, 5, 3, 1).train(training)
        alone.initialize(0, "kaiming_normal", torch.Generator().manual_seed(index))
        torch.testing.assert_close(together[index], alone(x)[0], rtol=1e-5, atol=1e-6)


def test_select_keeps_the_networks_asked_for():
    stack = build(architecture("kan"), 5, 3, 4)
    for index in range(4):
        stack.initialize(index, "orthogonal", torch.Generator().manual_seed(index))
    x = torch.randn(9, 5)
    before = stack(x)
    stack.select([1, 3])
    torch.testing.assert_close(stack(x), before[[1, 3]])


def test_parts_of_a_stack_share_its_memory_and_its_dropout():
    whole = MLP([6, 5, 3], batch_norm="before_activation", dropout=0.5, stack=5)
    for index in range(5):
        whole.initialize(index, "orthogonal", torch.Generator().manual_seed(index))
    parts = whole.divided(2)
    assert [next(part.parameters()).shape[0] for part in parts] == [2, 2, 1]
    assert all(part.dropout is whole.dropout for part in parts)
    x = torch.randn(40, 6)
    for network in (whole, *parts):
        network.eval()
    torch.testing.assert_close(torch.cat([part(x) for part in parts]), whole(x))
    with torch.no_grad():
        for number, part in enumerate(parts):
            for parameter in part.parameters():
                parameter.fill_(number)
            for buffer in part.buffers():
                buffer.fill_(number)
    for tensor in (*whole.parameters(), *whole.buffers()):
        assert tensor.flatten(1)[:, 0].tolist() == [0, 0, 1, 1, 2]


def test_running_statistics_move_twice_at_a_step_by_the_published_momentum():
    torch.manual_seed(0)
    ours, theirs = BatchNorm(5, momentum=0.19), torch.nn.BatchNorm1d(5)
    for _ in range(3):
        x = torch.randn(20, 5)
        ours(x.unsqueeze(0))
        theirs(x), theirs(x)
    torch.testing.assert_close(ours.running_mean[0], theirs.running_mean)
    torch.testing.assert_close(ours.running_var[0], theirs.running_var)


def test_an_unknown_place_of_batch_norm_is_told():
    with pytest.raises(ValueError, match="batch_norm is True, expected None, 'before_activation'"):
        MLP([3, 4, 2], batch_norm=True)


def test_dropout_has_one_mask_for_all_networks_and_keeps_the_mean():
    network = MLP([3, 1000, 1], dropout=0.25)
    hidden = torch.ones(5, 20, 1000)
    dropped = network.dropout(hidden)
    assert torch.equal(dropped[0], dropped[4])
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(network.eval().dropout(hidden), hidden)


def test_state_dict_carries_a_network_over():
    first, second = KAN([4, 3, 2]), KAN([4, 3, 2])
    x = torch.randn(5, 4)
    assert not torch.equal(first(x), second(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))


@pytest.mark.parametrize("widths", [[3], [3, 0, 2]])
def test_wrong_widths_are_refused(widths):
    with pytest.raises(ValueError, match="widths"):
        MLP(widths)


def test_the_package_is_lazy_and_says_what_it_has():
    assert {"KAN", "MLP", "WideMLP"} <= set(dir(kancore))
    with pytest.raises(AttributeError, match="KANN"):
        _ = kancore.KANN
