"""HSIC against the plain formulas with explicit inverses, in float64."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from kancore.objectives.hsic import (
    gaussian_kernel,
    gaussian_kernel_minus_one,
    hsic,
    nhsic,
    nhsic_labels,
    nhsic_with,
    normalized,
    squared_distances,
    student_kernel,
)

# Each kernel beside the plain formula from squared distances and the number of features.
KERNELS = {
    "gaussian": (lambda z: gaussian_kernel(z, 1.5), lambda d2, d: torch.exp(-d2 / (4.5 * d))),
    "unscaled": (lambda z: gaussian_kernel(z, 1.5, False), lambda d2, d: torch.exp(-d2 / 4.5)),
    "less_one": (
        lambda z: gaussian_kernel_minus_one(z, 1.5),
        lambda d2, d: torch.expm1(-d2 / (4.5 * d)),
    ),
    "student": (lambda z: student_kernel(z, 2.0), lambda d2, d: 2 / (2 + d2 / d)),
}
kernels = st.sampled_from(sorted(KERNELS))


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


def naive_kernel(name, z):
    return KERNELS[name][1](torch.cdist(z, z).square(), z.shape[-1])


def test_kernels_are_their_formulas():
    z = features(3, 7, 5)
    d2 = torch.cdist(z, z).square()
    torch.testing.assert_close(squared_distances(z), d2, rtol=1e-10, atol=1e-10)
    for name, (kernel, formula) in KERNELS.items():
        torch.testing.assert_close(kernel(z), formula(d2, 5), rtol=1e-10, atol=1e-10, msg=name)


@settings(max_examples=30)
@given(m=st.integers(2, 40), of_a=kernels, of_b=kernels, seed=st.integers(0, 10**6))
def test_hsic_is_the_trace_of_centred_kernels(m, of_a, of_b, seed):
    z_a, z_b = features(m, 4, seed=seed), features(m, 2, seed=seed + 1)
    centring = torch.eye(m, dtype=torch.float64) - 1 / m
    k_a, k_b = naive_kernel(of_a, z_a), naive_kernel(of_b, z_b)
    expected = torch.trace(k_a @ centring @ k_b @ centring) / (m - 1) ** 2
    found = hsic(KERNELS[of_a][0](z_a), KERNELS[of_b][0](z_b))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=60)
@given(
    m=st.integers(2, 40),
    width=st.integers(1, 9),
    of_a=kernels,
    of_b=kernels,
    seed=st.integers(0, 10**6),
)
def test_nhsic_is_the_naive_formula(m, width, of_a, of_b, seed):
    z_a, z_b = features(3, m, width, seed=seed), features(m, 4, seed=seed + 1)
    k_b = naive_kernel(of_b, z_b)
    expected = torch.stack([naive_nhsic(naive_kernel(of_a, z), k_b) for z in z_a])
    k_a, k_b = KERNELS[of_a][0](z_a), KERNELS[of_b][0](z_b)
    torch.testing.assert_close(nhsic(k_a, k_b), expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(nhsic_with(k_a, normalized(k_b)), expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=40)
@given(
    m=st.integers(2, 40),
    classes=st.integers(2, 10),
    of_z=kernels,
    of_y=st.sampled_from(["gaussian", "unscaled", "student"]),
    seed=st.integers(0, 10**6),
)
def test_labels_need_no_kernel_matrix_of_their_own(m, classes, of_z, of_y, seed):
    """Also where classes are missing or have one example."""
    labels = torch.randint(classes, (m,), generator=torch.Generator().manual_seed(seed))
    k_y = naive_kernel(of_y, one_hot(labels, classes).double())
    similarity = naive_kernel(of_y, torch.eye(classes, dtype=torch.float64))[0, 1].item()
    z = features(3, m, 6, seed=seed)
    found = nhsic_labels(KERNELS[of_z][0](z), labels, classes, similarity)
    expected = torch.stack([naive_nhsic(naive_kernel(of_z, each), k_y) for each in z])
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_gradients(name):
    kernel, _ = KERNELS[name]
    z = features(2, 6, 3).requires_grad_()
    labels = torch.tensor([0, 1, 2, 0, 1, 1])
    k_x = gaussian_kernel(features(6, 4, seed=5), 1.0)
    assert torch.autograd.gradcheck(lambda z: nhsic_labels(kernel(z), labels, 3, 0.5), z)
    assert torch.autograd.gradcheck(lambda z: nhsic(kernel(z), k_x), z)
    assert torch.autograd.gradcheck(lambda z: hsic(kernel(z), k_x), z)
    # Also where a kernel's gradient is not symmetric.
    weights = features(2, 6, 6, seed=7)
    assert torch.autograd.gradcheck(lambda z: (kernel(z) * weights).sum(), z)


def test_collapsed_features_are_independent_of_everything():
    z = torch.ones(5, 8, 3, dtype=torch.float32, requires_grad=True)
    value = nhsic_labels(gaussian_kernel(z, 5.0), torch.arange(8) % 3, 3, 0.9)
    assert torch.equal(value, torch.zeros(5)) or value.abs().max() < 1e-4
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert gradient.isfinite().all()


WIDTHS_AND_SCALES = [
    (sigma, scale)
    for sigma, scale in product((0.25, 1, 5, 10), (0.1, 1, 10))
    if (sigma, scale) != (0.25, 10)  # the kernel is the identity there, and gradients are 1e-19
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("m", "sigma", "scale"),
    [*((256, *each) for each in WIDTHS_AND_SCALES), (255, 5, 1), (1024, 5, 1), (1024, 0.25, 1)],
)
@pytest.mark.parametrize("about", ["labels", "inputs", "layer_before"])
def test_float32_is_close_to_float64(m, about, sigma, scale):
    """Features as layers have them, from far smaller to far larger than the kernel is wide."""
    classes = torch.arange(m) % 10

    def clusters(width, seed):
        centres = 2 * features(10, width, seed=seed + 1)
        return torch.relu(features(2, m, width, seed=seed) + centres[classes])

    z, width = scale * clusters(32, 0), {"inputs": 784, "layer_before": 64}.get(about)
    other = clusters(width, 2)[0] if width else None

    def value_and_gradient(dtype):
        leaf = z.to(dtype).requires_grad_()
        kernel = gaussian_kernel_minus_one(leaf, sigma)
        if other is None:
            value = nhsic_labels(kernel, classes, 10, 0.99)
        else:
            value = nhsic(kernel, gaussian_kernel_minus_one(other.to(dtype), sigma))
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value.double(), gradient.double()

    (exact, gradient), (value, found) = map(value_and_gradient, (torch.float64, torch.float32))
    torch.testing.assert_close(value, exact, rtol=1e-5, atol=0)
    assert (found - gradient).norm() < 1e-4 * gradient.norm()
    # A common shift changes nothing: where Adam divides by gradients, their sum must not be noise.
    assert (found.sum(1).abs() < 1e-6 * found.abs().sum(1)).all()


@pytest.mark.parametrize("apart", [0.1, 1, 10, 100])
def test_the_ridge_is_not_lost_beside_groups_far_apart(apart):
    """Two tight groups: distances in them are small differences of large numbers."""
    groups = torch.arange(512) % 2
    z = apart * (features(2, 32)[groups] + 1e-3 * features(512, 32, seed=1))

    def value(z):
        kernel = gaussian_kernel_minus_one(z, 5.0)
        return nhsic(kernel, kernel).item(), nhsic_labels(kernel, groups, 2, 0.99).item()

    assert value(z.float()) == pytest.approx(value(z), rel=1e-4)


def test_features_that_float32_cannot_square():
    labels = torch.arange(20) % 4
    z = (1e25 * features(20, 6)).float().requires_grad_()
    value = nhsic_labels(gaussian_kernel_minus_one(z, 5.0), labels, 4, 0.99)
    # All kernel matrices of points that are infinitely far apart are the identity.
    expected = naive_nhsic(
        torch.eye(20, dtype=torch.float64),
        0.99 + 0.01 * torch.eye(4, dtype=torch.float64)[labels][:, labels],
    )
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, z)
    assert torch.equal(gradient, torch.zeros(20, 6))


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
