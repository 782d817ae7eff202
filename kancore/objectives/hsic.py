"""The Hilbert-Schmidt independence criterion and its normalized form, in as few operations.

Ma, Lewis & Kleijn 2020 (arXiv:1908.01580). With the centring matrix H and Kc = H K H, the factor
``K H (K H + eps m I)^-1`` of each variable may be replaced by the symmetric ``Kc (Kc + eps m I)^-1
= I - eps m (Kc + eps m I)^-1``: traces of products do not change, and Cholesky factors do the rest.
All functions work on stacks: leading axes are networks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

EPSILON = 1e-5
# Rows and columns, of the ridge alone, around matrices that are factorized: where rows lie a power
# of two apart in memory, as they do for most batch sizes, LAPACK's result is written 3-4x slower.
_BORDER = 8


def squared_distances(z: Tensor) -> Tensor:
    """Squared Euclidean distances between the rows of ``[..., m, features]``: ``[..., m, m]``."""
    z = z - z.mean(-2, keepdim=True)  # smaller norms, so less is cancelled
    norms = z.square().sum(-1)
    distances = (-2 * z) @ z.transpose(-1, -2)
    distances.add_(norms.unsqueeze(-1)).add_(norms.unsqueeze(-2)).clamp_(min=0)
    distances.diagonal(dim1=-2, dim2=-1).zero_()
    return distances


def gaussian_kernel(z: Tensor, sigma: float, scale_by_dimension: bool = True) -> Tensor:
    """Gaussian kernel matrix ``exp(-|z_i - z_j|^2 / (2 sigma^2 d))``.

    Parameters
    ----------
    z
        ``[..., m, features]``.
    sigma
        Width of the kernel.
    scale_by_dimension
        Whether d is the number of features, as in the reference implementation, or 1.

    Returns
    -------
    Tensor
        ``[..., m, m]``.
    """
    return 1 + gaussian_kernel_minus_one(z, sigma, scale_by_dimension)


def gaussian_kernel_minus_one(z: Tensor, sigma: float, scale_by_dimension: bool = True) -> Tensor:
    """Gaussian kernel matrix less one, which serves as well wherever kernels are centred.

    Entries of wide kernels are close to one, where float32 tells few of them apart. Parameters are
    those of `gaussian_kernel`.
    """
    dimension = z.shape[-1] if scale_by_dimension else 1
    return _GaussianKernelMinusOne.apply(z, -1 / (2 * sigma**2 * dimension))


class _GaussianKernelMinusOne(torch.autograd.Function):
    """``exp(factor |z_i - z_j|^2) - 1``, with few passes over matrices of m x m.

    Exponents are in float64: those of examples near each other are differences of numbers as large
    as features are far apart, and the ridge that nHSIC adds is small.
    """

    @staticmethod
    def forward(ctx, z, factor):
        wide = z.double()
        wide = wide - wide.mean(-2, keepdim=True)
        norms = factor * wide.square().sum(-1, keepdim=True)
        ones = torch.ones_like(norms)
        # |z_i|^2 + |z_j|^2 - 2 z_i z_j as one product: matrices of m x m are passed over less.
        left = torch.cat([(-2 * factor) * wide, norms, ones], -1)
        kernel = (left @ torch.cat([wide, ones, norms], -1).mT).clamp_(max=0)
        kernel.diagonal(dim1=-2, dim2=-1).zero_()
        kernel.exp_()
        ctx.save_for_backward(z, kernel.to(z.dtype, copy=True))
        ctx.factor = factor
        return kernel.sub_(1).to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        z, kernel = ctx.saved_tensors
        z = z - z.mean(-2, keepdim=True)
        slopes = gradient * kernel  # of the exponents
        # Large beside the others in narrow kernels, and of distances that are none.
        slopes.diagonal(dim1=-2, dim2=-1).zero_()
        beside = F.pad(z, (0, 1), value=1.0)
        products = slopes @ beside + slopes.mT @ beside
        sums, weighted = products[..., -1:], products[..., :-1]
        to_z = (2 * ctx.factor) * (sums * z - weighted)
        # Its sum is zero, since a common shift changes no distance; what rounding leaves of it is
        # all that weights of inputs constant in a batch get, and Adam would make it large.
        return to_z - to_z.mean(-2, keepdim=True), None


def student_kernel(z: Tensor, sigma: float) -> Tensor:
    """Student kernel matrix ``sigma / (sigma + mean squared difference)`` (published code)."""
    return sigma / (sigma + squared_distances(z) / z.shape[-1])


def center(k: Tensor) -> Tensor:
    """Centre a kernel matrix ``[..., m, m]``, which is symmetric, in rows and columns: H K H."""
    means = k.mean(-1)
    return k - means.unsqueeze(-1) - (means - means.mean(-1, keepdim=True)).unsqueeze(-2)


def hsic(k_a: Tensor, k_b: Tensor) -> Tensor:
    """Biased estimate ``tr(K_a H K_b H) / (m - 1)^2`` of HSIC (Gretton et al. 2005)."""
    m = k_a.shape[-1]
    return (center(k_a) * center(k_b)).sum((-1, -2)) / (m - 1) ** 2


def _factorize(k: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Cholesky factor of bordered ``Kc + eps m I``, and NaN where there is none (else 0)."""
    m = k.shape[-1]
    matrix = F.pad(k, (0, _BORDER, 0, _BORDER))
    means = k.mean(-1)
    inner = matrix[..., :m, :m].sub_(means.unsqueeze(-1))
    inner.sub_((means - means.mean(-1, keepdim=True)).unsqueeze(-2))
    matrix.diagonal(dim1=-2, dim2=-1).add_(epsilon * m)
    factor, info = torch.linalg.cholesky_ex(matrix)
    failed = info != 0
    # Without a zero, which no inverse of the others would be found beside.
    factor.diagonal(dim1=-2, dim2=-1).masked_fill_(failed.unsqueeze(-1), 1)
    return factor, torch.where(failed, torch.nan, 0.0).to(k.dtype)


def _solve(b: Tensor, factor: Tensor) -> Tensor:
    """Solve for centred right-hand sides ``[..., m, few]``, by the factor from `_factorize`.

    Along the constant vector Kc is zero, and rounding of `b` is divided by the ridge alone. The
    solution has no such part, so means of columns are subtracted.
    """
    b = F.pad(b, (0, 0, 0, _BORDER)).expand(*factor.shape[:-1], b.shape[-1])
    solved = torch.cholesky_solve(b, factor)[..., :-_BORDER, :]
    return solved.sub_(solved.mean(-2, keepdim=True))


def _inverse(k: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """``H (Kc + eps m I)^-1 H``, and NaN where there is none (else 0).

    For as many right-hand sides as rows this is faster than to solve, as products need no order.
    """
    m = k.shape[-1]
    factor, invalid = _factorize(k, epsilon)
    return center(torch.cholesky_inverse(factor)[..., :m, :m]), invalid


def normalized(k: Tensor, epsilon: float = EPSILON) -> Tensor:
    """``Kc (Kc + eps m I)^-1`` of a kernel matrix that needs no gradient, ``[..., m, m]``."""
    factor, invalid = _factorize(k, epsilon)
    solved = _solve(center(k), factor)
    return solved.sub_(solved.mean(-1, keepdim=True)) + invalid[..., None, None]


class _TraceOfNormalized(torch.autograd.Function):
    """``tr(Kc (Kc + r I)^-1 B B^T)`` for a kernel matrix K, r = eps m and a constant, centred B.

    With W = (Kc + r I)^-1 B the value is |B|^2 - r tr(B^T W) and its gradient r W W^T: one
    factorization, and one solve with as many right-hand sides as B has columns.
    """

    @staticmethod
    def forward(ctx, k, b, epsilon):
        ridge = epsilon * k.shape[-1]
        factor, invalid = _factorize(k, epsilon)
        solved = _solve(b, factor)
        ctx.save_for_backward(solved)
        ctx.ridge = ridge
        return (b * (b - ridge * solved)).sum((-1, -2)) + invalid

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (solved,) = ctx.saved_tensors
        scaled = solved * (ctx.ridge * gradient[..., None, None])
        return scaled @ solved.transpose(-1, -2), None, None


class _TraceWithNormalized(torch.autograd.Function):
    """``tr(Kc (Kc + r I)^-1 R)`` for a kernel matrix K and a constant, centred, symmetric R.

    With W = H (Kc + r I)^-1 H the value is tr(R) - r tr(W R) and its gradient r W R W.
    """

    @staticmethod
    def forward(ctx, k, r, epsilon):
        ridge = epsilon * k.shape[-1]
        inverse, invalid = _inverse(k, epsilon)
        solved = inverse @ r
        ctx.save_for_backward(inverse, solved)
        ctx.ridge = ridge
        trace = r.diagonal(dim1=-2, dim2=-1).sum(-1)
        return trace - ridge * solved.diagonal(dim1=-2, dim2=-1).sum(-1) + invalid

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        inverse, solved = ctx.saved_tensors
        both = solved @ inverse
        return both.mul_(ctx.ridge * gradient[..., None, None]), None, None


def nhsic(k_a: Tensor, k_b: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Compute normalized HSIC, ``tr(R_a R_b)``, of two kernel matrices.

    Parameters
    ----------
    k_a
        Kernel matrices ``[..., m, m]``; the result is differentiable with respect to them.
    k_b
        Kernel matrices of the same shape, or one for all, taken as constant.
    epsilon
        Ridge, times m.

    Returns
    -------
    Tensor
        ``[...]``, the sum form; NaN where a kernel matrix is not finite.
    """
    return nhsic_with(k_a, normalized(k_b.detach(), epsilon), epsilon)


def nhsic_with(k: Tensor, normalized_kernel: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Compute normalized HSIC with a variable whose `normalized` kernel is known already."""
    return _TraceWithNormalized.apply(k, normalized_kernel, epsilon)


def label_factor(
    labels: Tensor, classes: int, similarity: float, epsilon: float = EPSILON
) -> Tensor:
    """Factor B of the normalized kernel ``R_Y = B B^T`` of labels.

    A kernel of one-hot labels is 1 within a class and `similarity` between two: K_Y = similarity
    1 1^T + (1 - similarity) Y Y^T, so its centred form has rank C - 1 and R_Y = V (V^T V + r I)^-1
    V^T with V = H Y and r = eps m / (1 - similarity).

    Parameters
    ----------
    labels
        ``[m]``, whole numbers below `classes`; classes may be missing.
    classes
        Number of classes, C.
    similarity
        Kernel value of two different labels.
    epsilon
        Ridge, times m.

    Returns
    -------
    Tensor
        ``[m, C]`` in float64.
    """
    one_hot = torch.nn.functional.one_hot(labels, classes).double()
    centred = one_hot - one_hot.mean(0)
    ridge = epsilon * len(labels) / (1 - similarity)
    gram = centred.T @ centred + ridge * torch.eye(
        classes, dtype=torch.float64, device=labels.device
    )
    # Positive definite by the ridge; `cholesky` would wait for a GPU to say so.
    factor, _ = torch.linalg.cholesky_ex(gram)
    return torch.linalg.solve_triangular(factor, centred.T, upper=False).T


def nhsic_labels(
    k_z: Tensor, labels: Tensor, classes: int, similarity: float, epsilon: float = EPSILON
) -> Tensor:
    """Compute normalized HSIC of features with labels, by one factorization and C solves.

    Parameters
    ----------
    k_z
        Kernel matrices of features, ``[..., m, m]``.
    labels, classes, similarity, epsilon
        As for `label_factor`.

    Returns
    -------
    Tensor
        ``[...]``; equal to `nhsic` with the kernel matrix of the one-hot labels.
    """
    return nhsic_with_factor(k_z, label_factor(labels, classes, similarity, epsilon), epsilon)


def nhsic_with_factor(k: Tensor, factor: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Compute normalized HSIC with labels whose `label_factor` is known already."""
    return _TraceOfNormalized.apply(k, factor.to(k.dtype), epsilon)
