"""Checks of the Triton kernels: in the interpreter on a CPU (test_triton.py), or on a GPU."""

from itertools import product

import far
import pytest
import torch

from kancore import KAN
from kancore.layers import dense, local_support, on_chip, triton_kernels
from kancore.layers.dense import Edges
from kancore.layers.kolmogorov_arnold import SPLINE_SCALES, KALayer
from kancore.schemes import ACTIVATIONS, INITIALIZATIONS, Scheme
from kancore.training.optimizers import StackedOptimizer

DEVICE = "cpu" if on_chip.INTERPRETED else "cuda"
ENDS = (-1.0, 1.0)
CPU_KERNELS = local_support.LIBRARY


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    """Layers on a CPU use these kernels too, and tests draw the same numbers each time."""
    monkeypatch.setattr(local_support, "LIBRARY", None)
    monkeypatch.setattr(on_chip, "ENABLED", True)  # which a pretended GPU is not
    torch.manual_seed(0)


def to_device(edge):
    return edge.to(DEVICE)


def draw_edges(grid, stack, inputs, outputs, folded=False):
    """Normal parameters."""
    coefficients = torch.randn(stack, inputs, grid[0] + grid[1], outputs)
    base, scale = torch.randn(2, stack, inputs, outputs)
    return Edges(coefficients, base, None if folded else scale)


def results(x, edges, activation, grid, gradient, product, device=DEVICE, dtype=torch.float32):
    """Outputs, and gradients by inputs and parameters, in float64 on the CPU."""
    x = x.to(device, dtype).requires_grad_()
    edges = edges.map(lambda edge: edge.to(device, dtype).requires_grad_())
    y = product(x, edges, activation, grid)
    found = [y, *torch.autograd.grad(y, [x, *edges.given], gradient.to(y))]
    return [each.detach().double().cpu() for each in found]


def definition(x, edges, activation, grid, gradient):
    """Results of dense products in float64."""
    return results(x, edges, activation, grid, gradient, dense.product, "cpu", torch.float64)


def compare(x, edges, activation, grid):
    gradient = torch.randn(len(edges.base), x.shape[-2], edges.base.shape[2])
    ours = results(x, edges, activation, grid, gradient, on_chip.product)
    theirs = definition(x, edges, activation, grid, gradient)
    for one, other in zip(ours, theirs, strict=True):
        # Slopes grow with the grid, and so does what rounding of x makes of them.
        tolerance = 3e-6 * float(other.abs().max()) * max(1, grid[0] / 5)
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


# Sizes of a grid with degrees. The interpreter takes as long as there are functions, which are the
# loops of each kernel: there all degrees, and a fine grid once.
GRIDS = [*product([3, 5, 20], range(1, 6))]
if DEVICE == "cpu":
    GRIDS = [(3, 1), (3, 2), (5, 3), (3, 4), (3, 5), (20, 3)]


@pytest.mark.parametrize(("grid_size", "degree"), GRIDS)
def test_products_and_gradients_are_those_of_the_definition(grid_size, degree):
    grid = grid_size, degree, ENDS
    folded = (grid_size + degree) % 2 == 0
    compare(1.3 * torch.randn(21, 9), draw_edges(grid, 1, 9, 7, folded), "gelu", grid)


@pytest.mark.parametrize(
    ("stack", "batch", "inputs", "outputs", "shared"),
    [
        (1, 1, 1, 1, True),
        (3, 1, 5, 2, False),
        (3, 35, 5, 50, True),  # tiles of columns hold outputs of several networks
        (1, 130, 66, 19, False),  # several tiles of rows and of inputs, none of them full
    ],
)
def test_products_of_shapes_that_divide_no_tile(stack, batch, inputs, outputs, shared):
    grid = (3, 2, (-1.5, 1.0))
    x = torch.randn(*(() if shared else (stack,)), batch, inputs)
    compare(x, draw_edges(grid, stack, inputs, outputs), "silu", grid)


@pytest.fixture
def parts(monkeypatch):
    """Sums over parts of a batch, also of a small one."""
    monkeypatch.setattr(triton_kernels, "_PART", 16)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.usefixtures("parts")
def test_gradients_that_are_sums_over_parts_of_a_batch(shared, folded):
    grid = (3, 1, ENDS)
    x = torch.randn(*(() if shared else (2,)), 41, 5)
    compare(x, draw_edges(grid, 2, 5, 3, folded), "silu", grid)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_their_slopes(activation):
    grid = (3, 1, ENDS)
    x = torch.cat([torch.linspace(-6, 6, 24), torch.zeros(1)]).view(5, 5)
    compare(x, draw_edges(grid, 1, 5, 3), activation, grid)


@pytest.mark.parametrize("degree", range(1, 6))
def test_inputs_at_knots_and_at_the_ends_of_the_grid(degree):
    """Whose knots are whole fractions: there a slope of degree 1 jumps, in both to its right."""
    grid = (4, degree, ENDS)
    knots = torch.arange(-degree - 1, 4 + degree + 2) * 0.5 - 1
    compare(knots.unsqueeze(1).repeat(1, 2), draw_edges(grid, 1, 2, 3), "cosine", grid)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_inputs_far_beyond_the_grid_and_infinite_ones_reach_the_base_alone(activation):
    grid = (3, 2, ENDS)
    values, expected, slopes = far.values(activation)
    # As rows of a batch each has outputs of its own; as inputs, gradients of its own.
    edges = draw_edges(grid, 1, 1, 2)
    y = on_chip.product(values.unsqueeze(1).to(DEVICE), edges.map(to_device), activation, grid)
    wanted = expected.unsqueeze(1) * edges.base[0].double()
    beyond = (values < -2.4) | (values > 2.4)  # where splines are zero
    torch.testing.assert_close(
        y[0].cpu().double()[beyond], wanted[beyond], rtol=1e-5, atol=1e-6, equal_nan=True
    )
    edges, gradient = draw_edges(grid, 1, len(values), 2), torch.randn(1, 1, 2)
    _, to_x, *_ = results(values.unsqueeze(0), edges, activation, grid, gradient, on_chip.product)
    wanted = slopes * (edges.base[0].double() @ gradient.double().flatten())
    torch.testing.assert_close(
        to_x[0][beyond], wanted[beyond], rtol=1e-5, atol=1e-6, equal_nan=True
    )


def test_a_nan_is_a_nan_in_the_outputs_of_its_example_and_network_alone():
    grid = (3, 2, ENDS)
    x = torch.randn(2, 3, 4)
    x[1, 2, 0] = torch.nan
    for activation in ACTIVATIONS:
        edges = draw_edges(grid, 2, 4, 3).map(lambda edge: edge.to(DEVICE))
        y = on_chip.product(x.to(DEVICE), edges, activation, grid)
        assert y[1, 2].isnan().all()
        assert y.isnan().sum() == 3


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.usefixtures("parts")
def test_the_same_bits_each_time(shared):
    grid = (3, 2, ENDS)
    x = torch.randn(*(() if shared else (2,)), 41, 6)
    edges, gradient = draw_edges(grid, 2, 6, 5), torch.randn(2, 41, 5)
    first, second = (results(x, edges, "gelu", grid, gradient, on_chip.product) for _ in range(2))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("spline_scale", SPLINE_SCALES)
def test_steps_are_those_of_a_cpu(spline_scale, monkeypatch):
    schemes = [
        Scheme(optimizer, rate, initialization)
        for optimizer, rate in (("adam", 0.002), ("sgd", 0.05), ("sgd_momentum", 0.05))
        for initialization in INITIALIZATIONS[: 1 if DEVICE == "cpu" else 3]
    ]
    # The interpreter takes a second a step with two layers: three show what an optimizer remembers.
    steps = 3 if DEVICE == "cpu" else 20
    widths = [3, 2] if DEVICE == "cpu" and spline_scale == "folded" else [3, 4, 2]
    x, target = torch.randn(20, 3), torch.randn(20, 2)
    trained = []
    for device, library in ((DEVICE, None), ("cpu", CPU_KERNELS)):
        monkeypatch.setattr(local_support, "LIBRARY", library)
        monkeypatch.setattr(on_chip, "ENABLED", not trained)
        options = {"grid_size": 3, "degree": 1, "spline_scale": spline_scale}
        network = KAN(widths, stack=len(schemes), **options)
        for index, scheme in enumerate(schemes):
            generator = torch.Generator().manual_seed(index)
            network.initialize(index, scheme.initialization, generator)
        network.to(device)
        parameters = list(network.parameters())
        optimizer = StackedOptimizer(parameters, schemes)
        for _ in range(steps):
            loss = (network(x.to(device)) - target.to(device)).square().mean((1, 2)).sum()
            gradients = torch.autograd.grad(loss, parameters)
            assert all(gradient.is_contiguous() for gradient in gradients)
            optimizer.step(gradients)
        trained.append([parameter.detach().cpu() for parameter in parameters])
    for one, other in zip(*trained, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spline_scale", SPLINE_SCALES)
def test_second_derivatives_are_those_of_the_definition(spline_scale):
    layer = KALayer(3, 4, grid_size=3, spline_scale=spline_scale)
    layer.initialize(0, "kaiming_normal", torch.Generator())
    x = torch.randn(20, 3)

    def penalty(product, device, dtype):
        edges = layer.edges.map(lambda e: e.detach().to(device, dtype).requires_grad_())
        inputs = x.to(device, dtype).requires_grad_()
        y = product(inputs, edges, "gelu", layer.grid)
        (slope,) = torch.autograd.grad(y.sum(), inputs, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [inputs, *edges.given])

    ours = penalty(on_chip.product, DEVICE, torch.float32)
    theirs = penalty(dense.product, "cpu", torch.float64)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.double().cpu(), other, rtol=1e-4, atol=1e-4)


def test_parameters_and_inputs_in_another_order_in_memory_give_the_same():
    grid = (5, 3, ENDS)
    x, edges = torch.randn(4, 6).to(DEVICE).T, draw_edges(grid, 2, 4, 3)
    edges = edges.map(lambda edge: edge.to(DEVICE))
    strided = edges.map(lambda edge: edge.mT.contiguous().mT)
    assert not strided.base.is_contiguous()
    ours = on_chip.product(x, strided, "gelu", grid)
    assert torch.equal(ours, on_chip.product(x.contiguous(), edges, "gelu", grid))


def test_the_operators_are_what_pytorch_expects_of_operators():
    """Among it what `torch.compile` relies on: shapes, no aliases, gradients when traced."""
    layer = KALayer(3, 4, grid_size=3, degree=1, stack=2).to(DEVICE)
    for index in range(2):
        layer.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
    x = torch.randn(5, 3, device=DEVICE, requires_grad=True)
    arguments = x, *layer.edges, "gelu", 3, 1, *ENDS, False
    torch.library.opcheck(torch.ops.kancore.ka_product, arguments)


def test_layers_take_the_kernels(monkeypatch):
    layer = KALayer(3, 4, stack=2).to(DEVICE)
    for index in range(2):
        layer.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
    x = torch.randn(5, 3, device=DEVICE)
    found = layer(x)
    assert torch.equal(found, on_chip.product(x, layer.edges, "gelu", layer.grid))
    monkeypatch.setattr(on_chip, "ENABLED", False)
    torch.testing.assert_close(found, layer(x), rtol=1e-5, atol=1e-5)
