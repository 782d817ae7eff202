"""Stacked optimizers against torch.optim, scheme by scheme."""

import pytest
import torch

from kancore.schemes import Scheme
from kancore.training.optimizers import StackedOptimizer

REFERENCE = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr=lr, foreach=False),
    "sgd_momentum": lambda p, lr: torch.optim.SGD(
        p, lr=lr, momentum=0.9, nesterov=True, foreach=False
    ),
    "adam": lambda p, lr: torch.optim.AdamW(p, lr=lr, foreach=False),
}
SCHEMES = sorted(
    Scheme(optimizer, rate, initialization)
    for optimizer in REFERENCE
    for rate in (0.05, 0.005)
    for initialization in ("kaiming_normal", "orthogonal")
)


def parameters(stack):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(stack, *shape, generator=generator) for shape in ((4, 3), (5,))]


def gradients(values, step):
    """Gradients of a smooth function that differs from step to step."""
    return [torch.sin(value * (1 + 0.1 * step)) + 0.1 * value for value in values]


def alone(index, steps, start=None):
    """Parameters of one scheme after `steps` of the reference optimizer."""
    scheme = SCHEMES[index]
    values = [p[index].clone().requires_grad_() for p in start or parameters(len(SCHEMES))]
    optimizer = REFERENCE[scheme.optimizer](values, scheme.learning_rate)
    for step in range(steps):
        for value, gradient in zip(values, gradients(values, step), strict=True):
            value.grad = gradient.detach()
        optimizer.step()
    return [value.detach() for value in values]


def run(optimizer, values, steps):
    for step in steps:
        optimizer.step(gradients(values, step))


@pytest.mark.parametrize("index", range(len(SCHEMES)))
def test_each_scheme_gets_torchs_update_for_50_steps(index):
    values = parameters(len(SCHEMES))
    run(StackedOptimizer(values, SCHEMES), values, range(50))
    for value, expected in zip(values, alone(index, 50), strict=True):
        torch.testing.assert_close(value[index], expected, rtol=0, atol=1e-6)


def test_the_layout_of_gradients_does_not_matter():
    values = parameters(len(SCHEMES))
    optimizer = StackedOptimizer(values, SCHEMES)
    for step in range(3):
        first, second = gradients(values, step)
        optimizer.step([first.transpose(1, 2).contiguous().transpose(1, 2), second])
    expected = parameters(len(SCHEMES))
    run(StackedOptimizer(expected, SCHEMES), expected, range(3))
    assert all(torch.equal(a, b) for a, b in zip(values, expected, strict=True))


def test_state_goes_on_where_it_was_saved():
    whole = parameters(len(SCHEMES))
    run(StackedOptimizer(whole, SCHEMES), whole, range(20))
    halves = parameters(len(SCHEMES))
    first = StackedOptimizer(halves, SCHEMES)
    run(first, halves, range(10))
    second = StackedOptimizer(halves, SCHEMES)
    second.load_state_dict(first.state_dict(), SCHEMES, range(len(SCHEMES)))
    run(second, halves, range(10, 20))
    assert all(torch.equal(a, b) for a, b in zip(whole, halves, strict=True))


@pytest.mark.parametrize("steps_before", [0, 10])
def test_selected_schemes_go_on_as_if_nothing_had_happened(steps_before):
    keep = [0, 1, 3, 6, 11]
    values = parameters(len(SCHEMES))
    optimizer = StackedOptimizer(values, SCHEMES)
    run(optimizer, values, range(steps_before))
    kept = [value[keep].clone() for value in values]
    chosen = optimizer.select(keep, kept)
    assert chosen.schemes == tuple(SCHEMES[index] for index in keep)
    run(chosen, kept, range(steps_before, 20))
    for position, index in enumerate(keep):
        for value, expected in zip(kept, alone(index, 20), strict=True):
            torch.testing.assert_close(value[position], expected, rtol=0, atol=1e-6)
