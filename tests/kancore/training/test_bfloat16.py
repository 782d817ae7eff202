"""Training with products of factors in bfloat16, beside float32."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from kancore import networks
from kancore.data import mnist_sample
from kancore.layers import dense
from kancore.layers.kolmogorov_arnold import KALayer
from kancore.layers.splines import basis
from kancore.schemes import OPTIMIZERS, Architecture, Sweep
from kancore.training.loop import Training

ARCHITECTURES = {
    "kan": Architecture("kan", (16,), degree=3, grid_size=5, grid_range=(-1.0, 1.0)),
    "wide_mlp": Architecture("wide_mlp", (160,)),
}


def sweep(model, **options):
    return Sweep(
        "mnist_sample",
        "backprop",
        ARCHITECTURES[model],
        optimizers=OPTIMIZERS,
        learning_rates=(0.005,),
        initializations=("kaiming_normal",),
        batch_size=100,
        **{"seed": 0, "epochs": 10, "evaluate_every": 10, "train_examples": 1000} | options,
    )


def in_bfloat16(described):
    return replace(described, architecture=replace(described.architecture, bfloat16=True))


@pytest.mark.slow
@pytest.mark.parametrize("model", ARCHITECTURES)
def test_accuracy_is_that_of_float32_within_the_spread_of_seeds(model):
    images = mnist_sample.prepare()
    rows = []
    for seed in range(3):
        exact = sweep(model, seed=seed)
        for products, described in (("float32", exact), ("bfloat16", in_bfloat16(exact))):
            rows += [
                {"seed": seed, "by": products, **row} for row in Training(described, images).run()
            ]
    accuracy = pd.DataFrame(rows).pivot_table("test_accuracy", ["optimizer", "seed"], "by")
    print(f"\n{model}\n{accuracy}")
    by_optimizer = accuracy.groupby("optimizer")
    spread = by_optimizer["float32"].max() - by_optimizer["float32"].min()
    means = by_optimizer.mean()
    spread = spread.clip(lower=0.003)  # three of a thousand test images
    assert ((means["bfloat16"] - means["float32"]).abs() <= spread).all()
    assert means["float32"].max() > 0.85
    assert (accuracy["bfloat16"] != accuracy["float32"]).any()


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_every_layer_takes_part_and_no_other_numbers_change(model):
    built = [
        networks.build(architecture, 6, 3, 2)
        for architecture in (ARCHITECTURES[model], in_bfloat16(sweep(model)).architecture)
    ]
    for network in built:
        for index in range(2):
            generator = torch.Generator().manual_seed(index)
            network.initialize(index, "kaiming_normal", generator)
    exact, rounded = built
    assert all(map(torch.equal, exact.parameters(), rounded.parameters()))
    layers = [module for module in rounded.modules() if hasattr(module, "products_in_bfloat16")]
    assert len(layers) == 2
    assert all(layer.products_in_bfloat16 and not layer.has_kernels() for layer in layers)
    x = torch.randn(50, 6)
    difference = (exact(x) - rounded(x)).abs().max() / exact(x).abs().max()
    assert 1e-4 < difference < 2e-2


def test_splines_are_evaluated_in_float32(monkeypatch):
    torch.manual_seed(0)
    layer = KALayer(6, 4, stack=2)
    layer.initialize(0, "kaiming_normal", torch.Generator())
    layer.initialize(1, "kaiming_normal", torch.Generator())
    layer.products_in_bfloat16 = True
    x = torch.randn(50, 6)
    taken = {}

    def recorded(features, weight, bfloat16):
        taken.update(features=features, weight=weight, bfloat16=bfloat16)
        return torch.zeros(2, 50, 4)

    monkeypatch.setattr(dense, "stacked_product", recorded)
    layer(x)
    assert taken["bfloat16"]
    splines = taken["features"].view(50, 9, 6)[:, :8]
    torch.testing.assert_close(splines.double(), basis(x.double(), *layer.grid), rtol=0, atol=1e-6)
    monkeypatch.undo()
    rounded = (taken[name].bfloat16().double() for name in ("features", "weight"))
    expected = torch.matmul(*(each.mT if each.dim() == 3 else each for each in rounded))
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-5, atol=1e-6)


def test_a_run_in_bfloat16_is_another_run():
    exact = sweep("kan")
    assert in_bfloat16(exact).to_dict() != exact.to_dict()
    assert Sweep.from_dict(in_bfloat16(exact).to_dict()) == in_bfloat16(exact)
