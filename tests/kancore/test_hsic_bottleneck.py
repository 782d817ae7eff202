"""Layer-wise training: each layer's gradient is its own loss's, values against naive formulas."""

from itertools import pairwise

import pytest
import torch
from torch.nn.functional import one_hot

from kancore.data.preparation import make_dataset
from kancore.networks import build
from kancore.objectives.hsic_bottleneck import layer_nhsic, losses
from kancore.schemes import MODELS, Architecture, HsicBottleneck, Sweep
from kancore.training import Training

CLASSES = 3


def sweep(model="mlp", **options):
    kan = {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)} if model == "kan" else {}
    training = {
        "optimizers": ("adam",),
        "learning_rates": (0.005,),
        "initializations": ("orthogonal",),
    }
    training |= {key: options.pop(key) for key in tuple(options) if key in Sweep.__annotations__}
    defaults = {"seed": 0, "epochs": 8, "batch_size": 60, "hsic": HsicBottleneck(**options)}
    return Sweep("rings", "hsic", Architecture(model, (12, 9), **kan), **(defaults | training))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 5, dtype=torch.float64, generator=generator)
    return x, torch.randint(CLASSES, (20,), generator=generator)


def network(model, stack=2):
    made = build(sweep(model).architecture, 5, CLASSES, stack).double()
    for index in range(stack):
        made.initialize(index, "orthogonal", torch.Generator().manual_seed(index))
    return made


def squared_distances(z):
    return (z.unsqueeze(1) - z.unsqueeze(0)).square().sum(-1)


def kernel(z, options):
    """Gaussian kernel matrix by the plain formula."""
    scale = z.shape[1] if options.scale_by_dimension else 1
    return torch.exp(-squared_distances(z) / (2 * options.sigma**2 * scale))


def naive_nhsic(k_a, k_b):
    m = len(k_a)
    identity = torch.eye(m, dtype=k_a.dtype)
    centred = [k @ (identity - 1 / m) for k in (k_a, k_b)]
    r_a, r_b = (k @ torch.inverse(k + 1e-5 * m * identity) for k in centred)
    return (r_a * r_b.T).sum()


def naive_losses(outputs, x, y, options):
    """Losses of each layer of one network, from the outputs of its layers."""
    labels = one_hot(y, CLASSES).double()
    if options.label_kernel == "gaussian":
        k_y = kernel(labels, options)
    else:
        k_y = options.sigma / (options.sigma + squared_distances(labels) / CLASSES)
    found = []
    for before, z in pairwise([x, *outputs[:-1]]):
        k_z = kernel(z, options)
        loss = -options.weight * naive_nhsic(k_z, k_y)
        if options.term != "n":
            about = x if options.term == "x" else before
            loss = loss + naive_nhsic(k_z, kernel(about.detach(), options))
        found.append(loss)
    return [*found, torch.nn.functional.cross_entropy(outputs[-1], y)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("term", ["n", "x", "h"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"weight": 7.0},
        {"label_kernel": "student"},
        {"scale_by_dimension": False},
    ],
    ids=["default", "weight", "student", "unscaled"],
)
def test_losses_and_gradients_are_each_layers_own(model, term, more, batch):
    (x, y), stack = batch, network(model)
    chosen = sweep(model, term=term, **more)
    found = losses(stack, x, y, chosen)
    gradients = torch.autograd.grad(found.sum(), list(stack.parameters()))
    position = 0
    naive = torch.zeros(2, dtype=torch.float64)
    for number, stage in enumerate(stack.stages):
        # Only this stage's own loss may reach its parameters.
        own = torch.zeros(2, dtype=torch.float64)
        layers = stack.layerwise(x)
        for index in range(2):
            outputs = [layer[index] for layer in layers]
            own[index] = naive_losses(outputs, x, y, chosen.hsic)[number]
        naive += own.detach()
        expected = torch.autograd.grad(own.sum(), list(stage.parameters()))
        for gradient in expected:
            noise = 1e-8 * gradient.abs().max().item()  # of explicit inverses
            torch.testing.assert_close(gradients[position], gradient, rtol=1e-6, atol=noise)
            position += 1
    torch.testing.assert_close(found, naive, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_layer_nhsic_is_that_of_the_hidden_layers(model, batch):
    (x, y), stack = batch, network(model)
    measured = layer_nhsic(stack, x, y, sweep(model))
    assert measured.shape == (2, 2)
    outputs = [layer[1] for layer in stack.layerwise(x)]
    expected = naive_losses(outputs, x, y, sweep(model, weight=1.0).hsic)[:2]
    torch.testing.assert_close(measured[1], -torch.stack(expected), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_it_learns(model):
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(CLASSES, 6, generator=generator)
    y = torch.arange(CLASSES).repeat(200)
    x = centres[y] + torch.randn(len(y), 6, generator=generator)
    names = ("a", "b", "c")
    data = make_dataset("rings", x[:400], y[:400], x[400:], y[400:], class_names=names, source="")
    chosen = sweep(model, learning_rates=(0.05,), epochs=20, evaluate_every=5)
    rows = Training(chosen, data).run()
    assert rows[-1]["test_accuracy"] > 0.85
    assert len(rows[-1]["layer_nhsic"]) == 2
    # At most classes - 1; more than an untrained layer's.
    assert rows[0]["layer_nhsic"][0] < rows[-1]["layer_nhsic"][0] <= CLASSES - 1
