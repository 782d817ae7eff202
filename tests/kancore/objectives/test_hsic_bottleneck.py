"""Layer-wise training: each layer's gradient is its own loss's, values against naive formulas."""

from dataclasses import fields
from itertools import pairwise, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from kancore.data.known import dataset_module
from kancore.data.preparation import make_dataset
from kancore.networks import build
from kancore.objectives.hsic_bottleneck import layer_nhsic, losses, readout
from kancore.schemes import MODELS, Architecture, HsicBottleneck, Sweep
from kancore.training.loop import Training

CLASSES = 3


def sweep(model="mlp", **options):
    kan = {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)} if model == "kan" else {}
    training = {
        "optimizers": ("adam",),
        "learning_rates": (0.005,),
        "initializations": ("orthogonal",),
    }
    of_sweeps = {field.name for field in fields(Sweep)}
    training |= {key: options.pop(key) for key in tuple(options) if key in of_sweeps}
    hsic = HsicBottleneck(**({"normalization": None, "term": "n", "sigma": 5.0} | options))
    defaults = {"seed": 0, "epochs": 8, "batch_size": 60, "hsic": hsic}
    return Sweep("rings", "hsic", Architecture(model, (12, 9), **kan), **(defaults | training))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 5, dtype=torch.float64, generator=generator)
    return x, torch.randint(CLASSES, (20,), generator=generator)


def network(model, chosen=None, stack=2):
    architecture = (chosen or sweep(model)).architecture
    made = build(architecture, 5, CLASSES, stack).double()
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
    *layers, logits = outputs
    if options.output == "hsic":
        norm = torch.nn.BatchNorm1d(CLASSES, affine=False).double()
        layers = [*layers, norm(logits).softmax(1)]
    found = []
    for before, z in pairwise([x, *layers]):
        k_z = kernel(z, options)
        loss = -options.weight * naive_nhsic(k_z, k_y)
        if options.term != "n":
            about = x if options.term == "x" else before
            loss = loss + naive_nhsic(k_z, kernel(about.detach(), options))
        found.append(loss)
    if options.output == "cross_entropy":
        found.append(torch.nn.functional.cross_entropy(logits, y))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("term", ["n", "x", "h"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"weight": 7.0},
        {"label_kernel": "student"},
        {"scale_by_dimension": False},
        {"output": "hsic"},
        {"normalization": "batch_norm"},
        {"normalization": "layer_norm"},
    ],
    ids=["default", "weight", "student", "unscaled", "unformatted", "batch_norm", "layer_norm"],
)
def test_losses_and_gradients_are_each_layers_own(model, term, more, batch):
    chosen = sweep(model, term=term, **more)
    (x, y), stack = batch, network(model, chosen)
    found = losses(stack, x, y, chosen)
    gradients = torch.autograd.grad(found.sum(), list(stack.parameters()))
    position = 0
    layers = stack.layerwise(x)
    naive = [
        torch.stack(naive_losses([layer[index] for layer in layers], x, y, chosen.hsic))
        for index in range(2)
    ]
    # Only a stage's own loss may reach its parameters.
    for own, stage in zip(sum(naive), stack.stages, strict=True):
        expected = torch.autograd.grad(own, list(stage.parameters()), retain_graph=True)
        noise = 1e-8 * max(gradient.abs().max().item() for gradient in expected)  # of inverses
        for gradient in expected:
            torch.testing.assert_close(gradients[position], gradient, rtol=1e-6, atol=noise)
            position += 1
    torch.testing.assert_close(found, torch.stack(naive).sum(1), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("output", "trained"), [("cross_entropy", 2), ("hsic", 3)])
def test_layer_nhsic_is_that_of_the_layers_that_it_trains(output, trained, model, batch):
    (x, y), stack = batch, network(model)
    measured = layer_nhsic(stack, x, y, sweep(model, output=output))
    assert measured.shape == (2, trained)
    outputs = [layer[1] for layer in stack.layerwise(x)]
    options = sweep(model, weight=1.0, output=output).hsic
    expected = naive_losses(outputs, x, y, options)[:trained]
    torch.testing.assert_close(measured[1], -torch.stack(expected), rtol=1e-8, atol=1e-8)


def noisy_units(order, labels, seed, noise=0.3):
    """Outputs that stand for classes in some order, each at a level and scale of its own."""
    generator = torch.Generator().manual_seed(seed)
    classes = len(order)
    one_hot_units = one_hot(order[labels], classes)
    outputs = one_hot_units + noise * torch.randn(len(labels), classes, generator=generator)
    scale, level = torch.rand(2, classes, generator=generator) * 9 + 1
    return outputs * scale + 10 * level


def test_units_are_read_as_the_classes_that_they_stand_for():
    labels = torch.arange(600) % 4
    orders = [torch.tensor(order) for order in ((0, 1, 2, 3), (2, 3, 1, 0), (3, 2, 0, 1))]
    outputs = torch.stack([noisy_units(order, labels, seed=5) for order in orders])
    read = readout(zip(outputs.split(70, 1), labels.split(70), strict=True), sweep(output="hsic"))
    logits = read(outputs)
    assert logits.dtype == outputs.dtype
    assert ((logits.argmax(-1) == labels).double().mean(1) > 0.95).all()
    torch.testing.assert_close(logits.mean(1), torch.zeros(3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(logits.std(1), torch.ones(3, 4), atol=1e-2, rtol=0)
    torch.testing.assert_close(read(outputs[:, 3:9]), logits[:, 3:9])


@settings(max_examples=40)
@given(classes=st.integers(2, 5), seed=st.integers(0, 10**6), missing=st.booleans())
def test_no_other_permutation_has_higher_means(classes, seed, missing):
    """Also where units stand for nothing, or a class has no example."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes - missing, (60,), generator=generator)
    outputs = torch.randn(60, classes, generator=generator)

    def score(logits):
        present = labels.unique().tolist()
        return sum(logits[labels == each, each].mean().item() for each in present)

    read = readout([(outputs.unsqueeze(0), labels)], sweep(output="hsic"))
    (logits,) = read(outputs.unsqueeze(0))
    units = (outputs - outputs.mean(0)) / outputs.std(0, unbiased=False)
    best = max(score(units[:, list(order)]) for order in permutations(range(classes)))
    assert score(logits) == pytest.approx(best, abs=1e-3)


def test_a_network_without_finite_outputs_disturbs_no_other():
    labels = torch.arange(60) % 3
    outputs = noisy_units(torch.tensor([1, 2, 0]), labels, seed=1).repeat(3, 1, 1)
    outputs[1] = torch.nan
    logits = readout([(outputs, labels)], sweep(output="hsic"))(outputs)
    assert logits[1].isnan().all()
    torch.testing.assert_close(logits[0], logits[2])
    assert (logits[0].argmax(-1) == labels).double().mean() > 0.9


def test_logits_that_cross_entropy_trains_are_read_as_they_are():
    assert readout([], sweep()) is None


@pytest.mark.slow
@pytest.mark.parametrize("normalization", [None, "batch_norm"])
@pytest.mark.parametrize("output", ["cross_entropy", "hsic"])
@pytest.mark.parametrize("model", MODELS)
def test_it_learns(model, output, normalization):
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(CLASSES, 6, generator=generator)
    y = torch.arange(CLASSES).repeat(200)
    x = centres[y] + torch.randn(len(y), 6, generator=generator)
    names = ("a", "b", "c")
    by_class = y[:400].argsort()  # as some data sets come; batches must not
    train = x[:400][by_class], y[:400][by_class]
    data = make_dataset("rings", *train, x[400:], y[400:], class_names=names, source="")
    how = {"output": output, "normalization": normalization}
    chosen = sweep(model, learning_rates=(0.05,), epochs=20, evaluate_every=5, **how)
    training = Training(chosen, data)
    examples = training.splits.batch("train", torch.randperm(300, generator=generator)[:60])
    fresh = build(chosen.architecture, 6, CLASSES, 1)
    fresh.initialize(0, "orthogonal", generator)
    untrained = layer_nhsic(fresh, *examples, chosen)
    rows = training.run()
    assert rows[-1]["test_accuracy"] > 0.85
    assert len(rows[-1]["layer_nhsic"]) == 2 + (output == "hsic")
    trained = layer_nhsic(training.state.network.train(), *examples, chosen)
    assert (untrained < trained).all()
    assert (trained <= CLASSES - 1).all()


def authors(objective, rate, normalization=None):
    """Train the network of Ma et al. 2020, narrower, by their settings on 4,000 images of MNIST.

    Five hidden layers, and an output layer that learns by HSIC alone; SGD, whose momentum their
    code resets at each step. Their rates: 0.001 for HSIC, 0.05 for backpropagation.
    """
    own = {"batch_norm": "before_activation", "normalization_affine": False}
    pytorch = {"hidden_initialization": "pytorch", "output_initialization": "pytorch"}
    architecture = Architecture(
        *("mlp", (64,) * 5, "relu"),
        **({} if objective == "hsic" else own),
        **pytorch,
        uniform_biases=True,
    )
    how = {"term": "x", "weight": 200.0, "sigma": 6.0, "output": "hsic"}
    chosen = Sweep(
        *("mnist_sample", objective, architecture, 0),
        optimizers=("sgd",),
        learning_rates=(rate,),
        initializations=("kaiming_uniform",),
        epochs=5,
        batch_size=256,
        evaluate_every=5,
        validation_fraction=0,
        scaling="unit",
        weight_decay=0.001 if objective == "hsic" else 1e-5,
        hsic=HsicBottleneck(**how, normalization=normalization) if objective == "hsic" else None,
    )
    (row,) = Training(chosen, dataset_module("mnist_sample").prepare()).run()
    return row


@pytest.mark.slow
def test_the_authors_networks_learn_without_an_output_layer():
    """As they report: about as well as by backpropagation, and from the first epochs on."""
    trained = authors("hsic", 0.001, "batch_norm")
    assert trained["test_accuracy"] == pytest.approx(0.947, abs=0.015)
    assert trained["test_accuracy"] > authors("backprop", 0.05)["test_accuracy"] - 0.01
    *hidden, output = trained["layer_nhsic"]
    assert all(before < after for before, after in pairwise(hidden))  # deeper layers know more
    assert 7 < output < min(hidden[1:]) < 9


@pytest.mark.slow
def test_without_normalization_layers_reach_the_bound_and_learn_nothing_more():
    normalized, free = (authors("hsic", 0.005, each) for each in ("batch_norm", None))
    assert normalized["test_accuracy"] > 0.93
    assert free["test_accuracy"] < 0.6
    assert min(free["layer_nhsic"][2:5]) > 8.5 > max(normalized["layer_nhsic"])
