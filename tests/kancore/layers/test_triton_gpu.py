"""The Triton kernels on a GPU: what the interpreter checks elsewhere, and fewer digits."""

import pytest
import torch

from kancore.layers import dense, on_chip
from kancore.layers.dense import Edges

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (torch.cuda.is_available() and on_chip.TRITON), reason="no GPU, or no Triton"
    ),
]

if torch.cuda.is_available() and on_chip.TRITON:
    from kernel_checks import *  # noqa: F403


@pytest.fixture
def products_in():
    """Set the precision of products, for one test."""
    before = torch.get_float32_matmul_precision()
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision(before)


# Relative errors of results: those that no correct sum in float32 exceeds, and of fewer digits that
# of rounding each factor to the nearest number (2^-11 and 2^-8 at most).
TOLERANCES = {"highest": 1e-5, "high": 7e-4, "medium": 6e-3}
# Layers of the study: stack, batch, inputs, outputs, and whether networks share their inputs.
LAYERS = {
    "first": (27, 1024, 784, 32, True),
    "first, wide": (27, 512, 3072, 256, True),
    "first, few inputs": (27, 4096, 28, 256, True),
    "hidden": (27, 1024, 128, 64, False),
    "hidden, wide": (9, 512, 512, 256, False),
    "last": (27, 1024, 32, 10, False),
    "last, two classes": (27, 4096, 256, 2, False),
}
if on_chip.INTERPRETED:  # in which those would take minutes
    LAYERS = {"first": (3, 20, 9, 4, True), "hidden": (3, 20, 5, 4, False)}


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_of_the_study_are_the_definition_to_the_digits_of_their_products(
    layer, precision, products_in
):
    if precision == "medium" and on_chip.INTERPRETED:
        pytest.skip("Triton's interpreter has no products of bfloat16")
    stack, batch, inputs, outputs, shared = LAYERS[layer]
    torch.manual_seed(0)
    grid = (5, 3, (-1.0, 1.0))
    x = torch.randn(*(() if shared else (stack,)), batch, inputs, device="cuda")
    coefficients = torch.randn(stack, inputs, 8, outputs, device="cuda")
    edges = Edges(coefficients, *torch.randn(2, stack, inputs, outputs, device="cuda"))
    gradient = torch.randn(stack, batch, outputs, device="cuda")

    def results():
        tensors = [each.clone().requires_grad_() for each in (x, *edges)]
        y = on_chip.product(tensors[0], Edges(*tensors[1:]), "gelu", grid)
        return [y.detach(), *torch.autograd.grad(y, tensors, gradient)]

    products_in(precision)
    found, again = results(), results()
    assert all(map(torch.equal, found, again))  # the same bits each time
    errors = [0.0] * len(found)
    squares = [0.0] * len(found)
    # Networks in turn, whose features in float64 would not fit side by side.
    to_x = torch.zeros_like(x, dtype=torch.float64)
    for network in range(stack):
        one = slice(network, network + 1)
        inputs_of = (x if shared else x[one]).double().requires_grad_()
        own = [each[one].double().requires_grad_() for each in edges]
        y = dense.product(inputs_of, Edges(*own), "gelu", grid)
        by_x, *expected = torch.autograd.grad(y, [inputs_of, *own], gradient[one].double())
        if shared:
            to_x += by_x
        else:
            to_x[one] = by_x
        for place, each in zip((0, 2, 3, 4), [y.detach(), *expected], strict=True):
            errors[place] += float((found[place][one] - each).square().sum())
            squares[place] += float(each.square().sum())
    errors[1] = float((found[1] - to_x).square().sum())
    squares[1] = float(to_x.square().sum())
    relative = [(error / square) ** 0.5 for error, square in zip(errors, squares, strict=True)]
    assert max(relative) < TOLERANCES[precision], relative
    # There are no products of fewer digits before compute capability 8, nor in the interpreter.
    fewer = torch.cuda.get_device_capability() >= (8, 0) and not on_chip.INTERPRETED
    if fewer and precision != "highest":
        assert min(relative) > 1e-6
