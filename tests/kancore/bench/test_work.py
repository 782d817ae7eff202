"""The work of a step: what is counted for the kernels, and for what they replace."""

import pytest

from kancore.bench.work import dense_products, step_work
from kancore.layers import on_chip
from kancore.schemes import INITIALIZATIONS, OPTIMIZERS, Architecture, HsicBottleneck, Sweep
from kancore.training.resources import Shape

SIZE = Shape(20, 3, 1000, 500)


def sweep(model="kan", **options):
    grid = {"degree": 3, "grid_size": 5, "grid_range": (-1.0, 1.0)} if model == "kan" else {}
    defaults = {"objective": "backprop", "seed": 0, "epochs": 4, "batch_size": 100}
    return Sweep(
        "made here",
        architecture=Architecture(model, (16,), **grid),
        optimizers=OPTIMIZERS,
        learning_rates=(0.1,),
        initializations=INITIALIZATIONS,
        evaluate_every=2,
        **(defaults | options),
    )


def test_kernels_do_the_products_of_the_dense_path_and_move_less():
    kernels = step_work(sweep(), SIZE)
    with dense_products():
        assert not on_chip.ENABLED
        dense = step_work(sweep(), SIZE)
    assert on_chip.ENABLED
    # Forward and weights in both layers, inputs in the second.
    assert kernels.flops == dense.flops == 9 * 2 * 100 * 9 * (2 * 20 * 16 + 3 * 16 * 3)
    assert kernels.bytes < dense.bytes / 3
    assert kernels.launches < dense.launches / 3


def test_mlps_are_the_same_with_and_without_kernels():
    with dense_products():
        dense = step_work(sweep("mlp"), SIZE)
    assert step_work(sweep("mlp"), SIZE) == dense


@pytest.mark.parametrize("term", ["n", "x"])
def test_the_hsic_bottleneck_counts_its_factorizations_and_solves(term):
    batch, stack, classes, bordered = 64, 9, 3, 64 + 8
    mlp, hsic = (
        sweep("mlp", objective=objective, batch_size=batch, hsic=settings)
        for objective, settings in (
            ("backprop", None),
            ("hsic", HsicBottleneck(term=term, normalization=None)),
        )
    )
    # Of one hidden layer: distances of its 16 units with two columns of norms, their gradient by
    # both factors with one of sums, and labels' gram; and no gradient of the output layer by its
    # inputs.
    products = stack * 2 * batch**2 * (16 + 2 + 2 * (16 + 1)) + 2 * classes**2 * batch
    products -= stack * 2 * batch * 16 * classes
    algebra = stack * bordered**3 // 3 + classes**3 // 3
    if term == "n":
        algebra += stack * 2 * bordered**2 * classes
        products += stack * 2 * batch**2 * classes  # the gradient by the kernel
    else:
        # Once for all networks: distances of inputs, their normalized kernel, that of the labels.
        products += 2 * batch**2 * (SIZE.features + 2 + classes)
        algebra += bordered**3 // 3 + 2 * bordered**2 * batch
        algebra += 2 * stack * bordered**3 // 3
        products += 2 * stack * 2 * batch**3
    more = step_work(hsic, SIZE).flops - step_work(mlp, SIZE).flops
    assert more == products + algebra
