"""Settings that may make training stable, against torch and plain PyTorch twins."""

from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import BSpline
from torch import nn

from kancore import KAN, MLP
from kancore.data.dataset import split
from kancore.data.preparation import make_dataset, scaled
from kancore.layers.activations import FUNCTIONS
from kancore.layers.kolmogorov_arnold import KALayer
from kancore.layers.linear import LayerNorm
from kancore.layers.splines import knots
from kancore.layers.variance import activation_gain, spline_size
from kancore.machine.interruption import Stopped
from kancore.schemes import OPTIMIZERS, Architecture, Scheme, Sweep, derive_seed
from kancore.training.loop import Training
from kancore.training.optimizers import StackedOptimizer, rate_factor

REFERENCE = {
    "sgd": lambda p, lr, decay: torch.optim.SGD(p, lr=lr, weight_decay=decay),
    "sgd_momentum": lambda p, lr, decay: torch.optim.SGD(
        p, lr=lr, momentum=0.9, nesterov=True, weight_decay=decay
    ),
    "adam": lambda p, lr, decay: torch.optim.AdamW(p, lr=lr, weight_decay=decay),
}


def splines(places, grid_size=5, degree=3):
    """All splines at some places, ``[places, G + k]``, by SciPy, on the whole extended grid."""
    inner = knots(grid_size, degree).numpy()
    step = inner[1] - inner[0]
    beyond = step * np.arange(1, degree + 1)
    outer = np.concatenate([inner[0] - beyond[::-1], inner, inner[-1] + beyond])
    basis = BSpline(outer, np.eye(len(outer) - degree - 1), degree, extrapolate=False)
    return np.nan_to_num(basis(places))[:, degree : degree + grid_size + degree]


# ---- optimizers


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("decay", "most"), [(0.1, None), (0.0, 0.5), (0.1, 0.5)])
def test_decay_and_clipping_are_torchs(optimizer, decay, most):
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(2, *shape, generator=generator) for shape in ((4, 3), (5,))]
    schemes = [Scheme(optimizer, 0.05, name) for name in ("kaiming_normal", "orthogonal")]
    ours = [value.clone() for value in start]
    stacked = StackedOptimizer(ours, schemes, decay, most)
    for index in range(2):
        values = [value[index].clone().requires_grad_() for value in start]
        alone = REFERENCE[optimizer](values, 0.05, decay)
        for step in range(20):
            for value in values:
                value.grad = torch.sin(value * (1 + 0.1 * step)).detach()
            if most is not None:
                torch.nn.utils.clip_grad_norm_(values, most)
            alone.step()
        start[0][index], start[1][index] = (value.detach() for value in values)
    for step in range(20):
        stacked.step([torch.sin(value * (1 + 0.1 * step)) for value in ours])
    for value, expected in zip(ours, start, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("decay", [None, "cosine"])
def test_rates_follow_torchs_schedulers(warmup, decay):
    steps = 30
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedulers = []
    if warmup > 1:
        rise = {"start_factor": 1 / warmup, "total_iters": warmup - 1}
        schedulers.append(torch.optim.lr_scheduler.LinearLR(optimizer, **rise))
    elif warmup:
        schedulers.append(torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0))
    if decay:
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup)
        schedulers.append(fall)
    else:
        schedulers.append(torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0))
    ends = [warmup] if warmup else []
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, schedulers, ends)
    for step in range(steps):
        rate = optimizer.param_groups[0]["lr"]
        assert rate_factor(step, steps, warmup, decay) == pytest.approx(rate, abs=1e-9)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("factor", [1.0, 0.3])
def test_fused_layers_decay_and_scale_rates_as_others(optimizer, factor):
    """The kernels' updates against those of the optimizer on gradients of the same layer."""
    torch.manual_seed(0)
    x, y = torch.randn(30, 6), torch.randn(2, 30, 3)
    results = []
    for fused in (True, False):
        layer = KALayer(6, 3, stack=2)
        for index in range(2):
            layer.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
        schemes = [Scheme(optimizer, 0.05, name) for name in ("kaiming_normal", "orthogonal")]
        stacked = StackedOptimizer(list(layer.parameters()), schemes, 0.1)
        if fused:
            stacked.fuse(layer)
        for _ in range(10):
            stacked.scale_rates(factor)
            loss = (layer(x) - y).square().mean()
            stacked.step(torch.autograd.grad(loss, list(layer.parameters()), allow_unused=True))
        results.append([parameter.detach() for parameter in layer.parameters()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# ---- networks


def test_layer_normalization_is_torchs():
    torch.manual_seed(0)
    stacked, x = LayerNorm(5, 2), torch.randn(2, 7, 5)
    stacked.weight.data.normal_()
    stacked.bias.data.normal_()
    for index in range(2):
        expected = F.layer_norm(x[index], (5,), stacked.weight[index], stacked.bias[index])
        torch.testing.assert_close(stacked(x)[index], expected)


@pytest.mark.parametrize("model", ["mlp", "kan"])
@pytest.mark.parametrize("kind", ["batch_norm", "layer_norm"])
def test_normalization_without_affine_parameters_is_torchs(kind, model):
    """As layers have it that HSIC trains: linear, normalization, activation (Ma et al. 2020)."""
    torch.manual_seed(0)
    how = {kind: "before_activation", "normalization_affine": False}
    made, widths = {"mlp": MLP, "kan": KAN}[model], [6, 5, 4, 3]
    network, x = made(widths, activation="elu", **how), torch.randn(9, 6)
    affine = made(widths, **{kind: "before_activation"})
    assert affine.num_parameters - network.num_parameters == 2 * (5 + 4)
    if kind == "batch_norm":
        norms = [nn.BatchNorm1d(width, affine=False) for width in (5, 4)]
    else:
        norms = [nn.LayerNorm(width, elementwise_affine=False) for width in (5, 4)]
    for training in (True, False):  # in evaluation by the statistics of the batch before
        network.train(training)
        h = x
        for stage, norm in zip(network.stages, norms, strict=False):
            norm.train(training)
            if model == "mlp":
                h = F.elu(norm(F.linear(h, stage.linear.weight[0], stage.linear.bias[0])))
            else:
                h = norm(stage.layer(h.unsqueeze(0))[0])
        expected = network.stages[-1](h.unsqueeze(0))[0]
        torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("widths", [[6, 5, 4, 3], [6, 6, 6, 3]], ids=["projected", "identity"])
def test_residual_connections_add_inputs(widths):
    torch.manual_seed(0)
    network, x = KAN(widths, residual=True, layer_norm="before_activation"), torch.randn(9, 6)
    h = x
    for stage in network.stages[:-1]:
        y = stage.layer(h if h.dim() == 3 else h.unsqueeze(0))
        y = F.layer_norm(y, y.shape[-1:])
        around = h
        if widths[1] != 6:
            around = F.linear(h, stage.shortcut.weight[0], stage.shortcut.bias[0])
        h = y + around
    torch.testing.assert_close(network(x), network.stages[-1](h)[0])
    plain = KAN(widths, layer_norm="before_activation").num_parameters
    projections = sum(a * b + b for a, b in ((6, 5), (5, 4))) if widths[1] != 6 else 0
    assert network.num_parameters == plain + projections


def test_residual_mlp_is_torchs():
    torch.manual_seed(0)
    network, x = MLP([6, 5, 3], "silu", residual=True), torch.randn(9, 6)
    stage, last = network.stages
    hidden = F.silu(F.linear(x, stage.linear.weight[0], stage.linear.bias[0]))
    hidden = hidden + F.linear(x, stage.shortcut.weight[0], stage.shortcut.bias[0])
    expected = F.linear(hidden, last.weight[0], last.bias[0])
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("network", [KAN, MLP])
def test_one_normalization_at_a_time(network):
    with pytest.raises(ValueError, match="batch_norm 'after_activation', layer_norm 'before"):
        network([4, 3, 2], batch_norm="after_activation", layer_norm="before_activation")
    with pytest.raises(ValueError, match="layer_norm is 'here', expected None"):
        network([4, 3, 2], layer_norm="here")


# ---- initial gains


def test_gains_are_means_over_normal_inputs():
    assert activation_gain("relu") == pytest.approx(2**0.5, rel=1e-4)
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name, function in FUNCTIONS.items():
        expected = float(function(z).square().mean()) ** -0.5
        assert activation_gain(name) == pytest.approx(expected, rel=0.01)
    grid = (5, 3, (-1.0, 1.0))
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 400))
    inner = knots(*grid)[3:9].numpy()
    coefficients = np.linalg.lstsq(splines(inner), noise, rcond=None)[0]
    values = splines(z[:20_000].numpy()) @ coefficients
    assert spline_size(grid) == pytest.approx((values**2).mean() ** 0.5, rel=0.05)


@pytest.mark.parametrize("gain", ["preserving", "balanced"])
@pytest.mark.parametrize("initialization", ["kaiming_normal", "kaiming_uniform", "orthogonal"])
def test_gains_keep_the_variance_of_units(gain, initialization):
    layer = KALayer(400, 300, gain=gain)
    layer.initialize(0, initialization, torch.Generator().manual_seed(0))
    x = torch.randn(2000, 400, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert float(layer(x).square().mean()) == pytest.approx(1, rel=0.08)
        layer.base_weight.zero_()
        by_splines = float(layer(x).square().mean())
    assert by_splines == pytest.approx(0.5, rel=0.1) if gain == "balanced" else by_splines < 0.001


# ---- grids that are moved


def _moved(dtype=torch.float32, shared=False):
    torch.manual_seed(0)
    layer = KALayer(4, 3, moving_grid=True, stack=2)
    for index in range(2):
        layer.initialize(index, "kaiming_normal", torch.Generator().manual_seed(index))
        layer.coefficients.data[index] *= 50
    layer = layer.to(dtype)
    x = torch.randn(300, 4) * torch.tensor([0.3, 1.0, 4.0, 0.0]) + torch.tensor([0, 2.0, -5, 1])
    x = x.to(dtype) if shared else torch.stack([x, 0.5 * x]).to(dtype)
    return layer, x


@pytest.mark.parametrize("shared", [True, False])
def test_moved_grids_lie_where_values_do_and_splines_are_refitted(shared):
    layer, x = _moved(torch.float64, shared)
    before = layer.coefficients.detach().clone()
    layer.move_grid(x)
    for network in range(2):
        values = (x if shared else x[network]).numpy()
        for j in range(4):
            own = values[:, j]
            centre = float(layer.grid_centre[network, j])
            stretch = float(layer.grid_stretch[network, j])
            if j == 3:  # a constant keeps its grid
                assert (centre, stretch) == (0, 1)
                assert torch.equal(layer.coefficients[network, j], before[network, j])
                continue
            ordered = np.sort(own)
            ends = (ordered[[3, -4]] - centre) * stretch
            np.testing.assert_allclose(ends, [-1, 1], atol=1e-9)
            # The old spline counts as a tenth of an example, at 32 points of the extended grid.
            spread = np.linspace(-2.2, 2.2, 32) / stretch + centre
            rows = []
            for where in (own, (own - centre) * stretch):
                points = spread if where is own else (spread - centre) * stretch
                rows.append(np.concatenate([splines(where), (0.1 / 32) ** 0.5 * splines(points)]))
            old, new = rows
            expected = np.linalg.lstsq(new, old @ before[network, j].numpy(), rcond=None)[0]
            found = layer.coefficients[network, j].detach().numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rows", [12, 20, 50, 300])
@pytest.mark.parametrize("kind", ["normal", "wide", "one-hot"])
def test_splines_moved_by_few_values_stay_near_the_old_ones(kind, rows):
    """Against least squares without a say of the old spline, on values that it did not see."""
    generator = torch.Generator().manual_seed(rows)

    def draw(examples):
        if kind == "one-hot":
            return (torch.rand(examples, 30, generator=generator) < 0.4).double()
        size = {"normal": 0.7, "wide": 3.0}[kind]
        return size * torch.randn(examples, 30, generator=generator, dtype=torch.float64)

    layer = KALayer(30, 1, moving_grid=True).double()
    layer.coefficients.data.normal_(0, 0.5, generator=generator)
    before = layer.coefficients.detach()[0, :, :, 0].numpy().copy()
    x, unseen = draw(rows), draw(2000).numpy()
    layer.move_grid(x)
    after = layer.coefficients.detach()[0, :, :, 0].numpy()
    ours, theirs = [], []
    for j in range(30):
        centre, stretch = float(layer.grid_centre[0, j]), float(layer.grid_stretch[0, j])
        expected = splines(unseen[:, j]) @ before[j]
        here = splines((unseen[:, j] - centre) * stretch)
        new = splines((x[:, j].numpy() - centre) * stretch)
        plain = np.linalg.lstsq(new, splines(x[:, j].numpy()) @ before[j], rcond=None)[0]
        ours.append(np.sqrt(np.mean((here @ after[j] - expected) ** 2)))
        theirs.append(np.sqrt(np.mean((here @ plain - expected) ** 2)))
    assert np.median(ours) <= 1.02 * np.median(theirs) + 1e-3
    assert np.abs(after).max() < 12 * np.abs(before).max()


def test_a_grid_that_cannot_move_says_so():
    layer, x = _moved()
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    for still in (torch.ones(2, 5, 4), torch.full((2, 5, 4), torch.nan)):
        with pytest.warns(UserWarning, match="no grid was moved"):
            layer.move_grid(still)
    assert all(torch.equal(value, state[name]) for name, value in layer.state_dict().items())
    with pytest.raises(ValueError, match=r"shape \(2, 0, 4\), expected at least one example"):
        layer.move_grid(x[:, :0])
    with pytest.raises(ValueError, match="moving_grid is False"):
        KALayer(4, 3, stack=2).move_grid(x)


@pytest.mark.parametrize("shared", [True, False])
def test_kernels_know_moved_grids(shared):
    """Values and all gradients of float32 against the formula in float64."""
    results = []
    for dtype in (torch.float32, torch.float64):
        layer, x = _moved(dtype, shared)
        with torch.no_grad():
            layer.grid_centre.copy_(torch.tensor([[0.1, 2, -5, 0.5]]).expand(2, -1))
            layer.grid_stretch.copy_(torch.tensor([[2.0, 0.7, 0.2, 1.5]]).expand(2, -1))
            if not shared:
                layer.grid_stretch[1] *= 0.5
        x = x.requires_grad_()
        y = layer(x)
        gradients = torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()])
        results.append([y, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=2e-4, atol=2e-4)


def test_a_moved_layer_has_the_derivatives_of_its_formula():
    layer, x = _moved(torch.float64)
    layer.move_grid(x)
    few = x[:, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(layer, few)
    assert torch.autograd.gradgradcheck(layer, few)


def test_networks_with_grids_of_their_own_take_shared_inputs():
    layer, x = _moved()
    layer.move_grid(x)
    torch.testing.assert_close(layer(x[0]), layer(x[0].expand(2, -1, -1)))


def test_shares_outside_the_extended_grid():
    layer = KALayer(2, 1)
    ends = 1 + 3 * 0.4
    x = torch.tensor([[0.0, ends + 0.01], [ends - 0.01, -ends - 0.01], [5.0, 0.0], [-9.0, 1.0]])
    assert layer.outside_grid(x).tolist() == [0.5]


def test_a_grid_that_cannot_be_moved_is_told():
    with pytest.raises(ValueError, match="moving_grid is False"):
        KALayer(2, 1).move_grid(torch.zeros(3, 2))


# ---- pixels


@pytest.mark.parametrize(("scaling", "ends"), [("unit", (0, 1)), ("symmetric", (-1, 1))])
@pytest.mark.parametrize("brightest", [16, 255])
def test_pixels_reach_the_ends(scaling, ends, brightest):
    x = torch.arange(36).reshape(4, 9).mul(brightest // 35 if brightest > 35 else 1)
    x = (x.clamp(max=brightest)).to(torch.uint8)
    x[0, 0], x[3, 8] = 0, brightest
    y = torch.tensor([0, 1, 0, 1])
    images = make_dataset(
        "images", x, y, x, y, class_names=("a", "b"), source="", image_shape=(1, 3, 3)
    )
    inputs = scaled(images, scaling).standardize(images.x_train)
    assert (float(inputs.min()), float(inputs.max())) == pytest.approx(ends)


# ---- whole sweeps


def _sweep(**options):
    kan = {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)}
    names = {"layer_norm", "batch_norm", "residual", "moving_grid", "gain", "dropout"}
    own = {name: options.pop(name) for name in names & set(options)}
    defaults = {
        "optimizers": OPTIMIZERS,
        "learning_rates": (0.05, 0.005),
        "initializations": ("orthogonal",),
        "seed": 0,
        "epochs": 4,
        "batch_size": 32,
        "evaluate_every": 2,
    }
    return Sweep(
        "clusters", "backprop", Architecture("kan", (8, 5), **kan, **own), **(defaults | options)
    )


OPTIONS = {
    "layer_norm": {"layer_norm": "before_activation"},
    "residual": {"residual": True},
    "moving_grid": {"moving_grid": True},
    "balanced": {"gain": "balanced"},
    "decay": {"weight_decay": 0.1},
    "schedule": {"warmup_epochs": 1, "rate_decay": "cosine"},
    "clipping": {"clip_norm": 0.3},
    "smoothing": {"label_smoothing": 0.1},
    "all": {
        **{"layer_norm": "before_activation", "residual": True, "moving_grid": True},
        **{"weight_decay": 0.1, "warmup_epochs": 1, "rate_decay": "cosine"},
        **{"clip_norm": 0.3, "label_smoothing": 0.1, "dropout": 0.2},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_a_sweep_is_torch_optim_on_each_network(name, dataset):
    """Each scheme against autograd, torch.optim, its schedulers and clipping, in float64."""
    dataset = replace(dataset, mean=dataset.mean.double(), std=dataset.std.double())
    torch.set_default_dtype(torch.float64)
    try:
        options = {**OPTIONS[name], "dropout": 0.0}
        training = Training(_sweep(**options), dataset)
        sweep = training.sweep
        stack = Training(sweep, dataset).state.network
        training.run()
        train, _ = split(dataset.y_train, 0.1, derive_seed("split", "clusters", 0))
        x = (dataset.x_train[train] - dataset.mean) / dataset.std
        y = dataset.y_train[train]
        for index, scheme in enumerate(sweep.schemes):
            network = stack.divided(1)[index]
            _train_plainly(network, scheme, sweep, x, y)
            found = training.state.network.state_dict()
            for key, expected in network.state_dict().items():
                torch.testing.assert_close(found[key][index], expected[0], rtol=1e-6, atol=1e-7)
    finally:
        torch.set_default_dtype(torch.float32)


def _train_plainly(network, scheme, sweep, x, y):
    each = len(y) // 32
    defaults = {"sgd": 0.0, "sgd_momentum": 0.0, "adam": 0.01}
    decay = defaults[scheme.optimizer] if sweep.weight_decay is None else sweep.weight_decay
    optimizer = REFERENCE[scheme.optimizer](network.parameters(), scheme.learning_rate, decay)

    def factor(step):
        if step < sweep.warmup_epochs * each:
            return (step + 1) / (sweep.warmup_epochs * each)
        if sweep.rate_decay is None:
            return 1.0
        past = step - sweep.warmup_epochs * each
        return (1 + np.cos(pi * past / ((sweep.epochs - sweep.warmup_epochs) * each))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for epoch in range(sweep.epochs):
        seed = derive_seed("order", "clusters", 0, epoch)
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
        for batch in order.split(32)[:each]:
            optimizer.zero_grad()
            logits = network(x[batch]).squeeze(0)
            F.cross_entropy(logits, y[batch], label_smoothing=sweep.label_smoothing).backward()
            if sweep.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), sweep.clip_norm)
            optimizer.step()
            schedule.step()
        if epoch == 0 and sweep.architecture.moving_grid:
            first = torch.Generator().manual_seed(derive_seed("order", "clusters", 0, 0))
            network.move_grids(x[torch.randperm(len(y), generator=first)])


@pytest.mark.slow
@pytest.mark.parametrize("moment", [3, 5, 8])
def test_a_stopped_sweep_with_all_options_resumes_to_the_same_bits(moment, dataset, tmp_path):
    undisturbed = Training(_sweep(**OPTIONS["all"]), dataset).run()
    path = tmp_path / "checkpoint.pt"
    stopped = Training(
        *(_sweep(**OPTIONS["all"]), dataset, "cpu", path),
        should_stop=lambda: stopped.state.step == moment,
    )
    with pytest.raises(Stopped):
        stopped.run()
    resumed = Training(_sweep(**OPTIONS["all"]), dataset, "cpu", path, 0)
    assert resumed.state.step == moment
    assert resumed.run() == undisturbed


def test_shares_outside_the_grid_are_measured_at_the_end(dataset):
    rows = Training(_sweep(), dataset).run()
    assert {len(row["outside_grid"]) for row in rows if row["epoch"] == 4} == {3}
    assert {row["outside_grid"] for row in rows if row["epoch"] < 4} == {None}
