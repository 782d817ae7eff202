"""HSIC against the plain formulas with explicit inverses, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from kancore.hsic import (
    gaussian_kernel,
    hsic,
    nhsic,
    nhsic_labels,
    nhsic_with,
    normalized,
    squared_distances,
    student_kernel,
)


def features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def naive_nhsic(k_a, k_b, epsilon=1e-5):
    """tr(R_a R_b) with R = K H (K H + eps m I)^-1, as published."""
    m = len(k_a)
    identity = torch.eye(m, dtype=k_a.dtype)
    centring = identity - 1 / m
    r_a, r_b = (
        k @ centring @ torch.inverse(k @ centring + epsilon * m * identity) for k in (k_a, k_b)
    )
    return torch.trace(r_a @ r_b)


def test_kernels_are_their_formulas():
    z = features(3, 7, 5)
    d2 = torch.cdist(z, z).square()
    torch.testing.assert_close(squared_distances(z), d2, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gaussian_kernel(z, 2.0), torch.exp(-d2 / (2 * 4 * 5)))
    torch.testing.assert_close(gaussian_kernel(z, 2.0, False), torch.exp(-d2 / (2 * 4)))
    torch.testing.assert_close(student_kernel(z, 10.0), 10 / (10 + d2 / 5))


def test_hsic_is_the_trace_of_centred_kernels():
    k_a, k_b = gaussian_kernel(features(9, 4), 1.0), gaussian_kernel(features(9, 2, seed=1), 1.0)
    centring = torch.eye(9, dtype=torch.float64) - 1 / 9
    expected = torch.trace(k_a @ centring @ k_b @ centring) / 64
    torch.testing.assert_close(hsic(k_a, k_b), expected)


@settings(max_examples=30, deadline=None)
@given(m=st.integers(2, 40), width=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_nhsic_is_the_naive_formula(m, width, seed):
    k_a = gaussian_kernel(features(3, m, width, seed=seed), 1.0)
    k_b = gaussian_kernel(features(m, 4, seed=seed + 1), 2.0)
    expected = torch.stack([naive_nhsic(k, k_b) for k in k_a])
    torch.testing.assert_close(nhsic(k_a, k_b), expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(nhsic_with(k_a, normalized(k_b)), expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(2, 40),
    classes=st.integers(2, 10),
    kernel=st.sampled_from(["gaussian", "student"]),
    seed=st.integers(0, 10**6),
)
def test_labels_need_no_kernel_matrix_of_their_own(m, classes, kernel, seed):
    """Also where classes are missing or have one example."""
    labels = torch.randint(classes, (m,), generator=torch.Generator().manual_seed(seed))
    y = one_hot(labels, classes).double()
    k_y = gaussian_kernel(y, 5.0) if kernel == "gaussian" else student_kernel(y, 10.0)
    pair = torch.eye(classes, dtype=torch.float64)[:2]
    k_pair = gaussian_kernel(pair, 5.0) if kernel == "gaussian" else student_kernel(pair, 10.0)
    similarity = k_pair[0, 1].item()
    k_z = gaussian_kernel(features(3, m, 6, seed=seed), 1.0)
    found = nhsic_labels(k_z, labels, classes, similarity)
    expected = torch.stack([naive_nhsic(k, k_y) for k in k_z])
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "kernel", [lambda z: gaussian_kernel(z, 1.0), lambda z: student_kernel(z, 2.0)]
)
def test_gradients(kernel):
    z = features(2, 6, 3).requires_grad_()
    labels = torch.tensor([0, 1, 2, 0, 1, 1])
    k_x = gaussian_kernel(features(6, 4, seed=5), 1.0)
    assert torch.autograd.gradcheck(lambda z: nhsic_labels(kernel(z), labels, 3, 0.5), z)
    assert torch.autograd.gradcheck(lambda z: nhsic(kernel(z), k_x), z)
    assert torch.autograd.gradcheck(lambda z: hsic(kernel(z), k_x), z)


def test_collapsed_features_are_independent_of_everything():
    z = torch.ones(5, 8, 3, dtype=torch.float32, requires_grad=True)
    value = nhsic_labels(gaussian_kernel(z, 5.0), torch.arange(8) % 3, 3, 0.9)
    assert torch.equal(value, torch.zeros(5)) or value.abs().max() < 1e-4
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert gradient.isfinite().all()


def test_float32_is_close_to_float64():
    z = features(4, 256, 64)
    labels = torch.arange(256) % 10
    exact = nhsic_labels(gaussian_kernel(z, 5.0), labels, 10, 0.99)
    single = nhsic_labels(gaussian_kernel(z.float(), 5.0), labels, 10, 0.99)
    torch.testing.assert_close(single.double(), exact, rtol=2e-3, atol=2e-3)


def test_a_network_that_is_not_finite_disturbs_no_other():
    z = features(3, 8, 4)
    labels = torch.arange(8) % 3
    expected = nhsic_labels(gaussian_kernel(z, 1.0), labels, 3, 0.5)
    z[1, 2] = torch.nan
    z.requires_grad_()
    found = nhsic_labels(gaussian_kernel(z, 1.0), labels, 3, 0.5)
    assert found.isnan().tolist() == [False, True, False]
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]])
    (gradient,) = torch.autograd.grad(found.sum(), z)
    assert gradient[[0, 2]].isfinite().all()
