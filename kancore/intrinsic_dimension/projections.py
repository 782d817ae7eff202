"""Random subspaces of a network's parameters: linear maps P from R^d to R^D with unit columns.

Li et al. (2018, arXiv:1804.08838, section 2 and supplement S7) train z in theta = theta_0 + P z.
A projection takes ``z [..., d]`` to ``P z [..., D]``, and its adjoint takes the gradient with
respect to theta to the one with respect to z. It depends on its sizes and its seed alone: it is
drawn on the CPU, then moved as any module.
"""

import math
import warnings

import torch
from torch import Tensor, nn

# What is used of it here has been stable for years.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


class Projection(nn.Module):
    """A linear map from the `dimension` coordinates of a subspace to all parameters."""

    dimension: int

    def adjoint(self, y: Tensor) -> Tensor:
        """Map ``y [..., D]`` to ``P^T y [..., d]``."""
        raise NotImplementedError


class DenseProjection(Projection):
    """Gaussian columns scaled to norm 1; O(d D) memory.

    Parameters
    ----------
    dimension
        Dimension d of the subspace.
    parameters
        Number D of parameters of the network, at least d.
    seed
        Seed of the draw, from `kancore.schemes.derive_seed`.

    Raises
    ------
    ValueError
        If the sizes do not satisfy 1 <= d <= D and D >= 2.
    """

    matrix: Tensor

    def __init__(self, dimension: int, parameters: int, seed: int) -> None:
        super().__init__()
        generator = _generator(dimension, parameters, seed)
        gaussian = torch.randn(parameters, dimension, generator=generator)
        norms = torch.linalg.vector_norm(gaussian, dim=0, dtype=torch.float64)
        self.dimension = dimension
        self.register_buffer("matrix", gaussian.div_(norms))

    def forward(self, z: Tensor) -> Tensor:
        """Map ``z [..., d]`` to ``[..., D]``."""
        return z @ self.matrix.T

    def adjoint(self, y: Tensor) -> Tensor:
        """Map ``y [..., D]`` to ``P^T y [..., d]``."""
        return y @ self.matrix


class SparseProjection(Projection):
    """Very sparse random projection, columns scaled to norm 1; O(d sqrt(D)) memory.

    Each entry is not zero with probability ``1 / sqrt(D)``, independently, and has a random sign
    (Li, Hastie and Church 2006). A column is all zero with probability ``exp(-sqrt(D))``.

    Parameters and errors are those of `DenseProjection`.
    """

    matrix: Tensor
    transposed: Tensor

    def __init__(self, dimension: int, parameters: int, seed: int) -> None:
        super().__init__()
        generator = _generator(dimension, parameters, seed)
        self.dimension = dimension
        entries, density = dimension * parameters, parameters**-0.5
        # Independent entries are found by the gaps between them; 10 sigma more than are needed.
        expected = entries * density
        gaps = torch.empty(int(expected + 10 * math.sqrt(expected)) + 10, dtype=torch.int64)
        places = gaps.geometric_(density, generator=generator).cumsum(0) - 1
        places = places[places < entries]
        columns, rows = places // parameters, places % parameters
        signs = 2.0 * torch.randint(2, places.shape, generator=generator) - 1
        values = signs * torch.bincount(columns, minlength=dimension)[columns].rsqrt()
        matrix = torch.sparse_coo_tensor(
            torch.stack((rows, columns)), values, (parameters, dimension), check_invariants=False
        )
        self.register_buffer("matrix", matrix.to_sparse_csr())
        # Both in rows: the product with a transposed matrix would sort it each time.
        self.register_buffer("transposed", matrix.T.to_sparse_csr())

    def forward(self, z: Tensor) -> Tensor:
        """Map ``z [..., d]`` to ``[..., D]``."""
        return _sparse_product(self.matrix, z)

    def adjoint(self, y: Tensor) -> Tensor:
        """Map ``y [..., D]`` to ``P^T y [..., d]``."""
        return _sparse_product(self.transposed, y)


def _sparse_product(matrix: Tensor, x: Tensor) -> Tensor:
    product = matrix @ x.reshape(-1, x.shape[-1]).T
    return product.T.reshape(*x.shape[:-1], -1)


class FastfoodProjection(Projection):
    """Fastfood: blocks ``H G Pi H B`` of n rows, n the next power of 2 from d; O(D) memory.

    H is the Walsh-Hadamard matrix, B random signs, Pi a random permutation and G Gaussian, drawn
    anew for each block (Le, Sarlos and Smola 2013). The columns of P have norm 1: exactly where n
    divides D, else in expectation, since the last block is cut. O(D log d) work.

    Parameters and errors are those of `DenseProjection`.
    """

    signs: Tensor
    permutations: Tensor
    gaussian: Tensor

    def __init__(self, dimension: int, parameters: int, seed: int) -> None:
        super().__init__()
        generator = _generator(dimension, parameters, seed)
        self.dimension, self.size = dimension, parameters
        n = 1 << (dimension - 1).bit_length()
        shape = (-(-parameters // n), n)
        signs = 2.0 * torch.randint(2, shape, generator=generator) - 1
        permutations = torch.rand(shape, generator=generator).argsort(dim=1, stable=True)
        gaussian = torch.randn(shape, generator=generator)
        # Each column of a block has the squared norm n |G|^2, and so n / D when G is scaled.
        scale = gaussian.norm(dim=1, keepdim=True) * math.sqrt(parameters)
        self.register_buffer("signs", signs)
        self.register_buffer("permutations", permutations)
        self.register_buffer("gaussian", gaussian / scale)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``z [..., d]`` to ``[..., D]``."""
        n = self.signs.shape[1]
        padded = nn.functional.pad(z, (0, n - z.shape[-1]))
        mixed = walsh_hadamard(padded.unsqueeze(-2) * self.signs)
        permuted = mixed.gather(-1, self.permutations.expand_as(mixed))
        return walsh_hadamard(permuted * self.gaussian).flatten(-2)[..., : self.size]

    def adjoint(self, y: Tensor) -> Tensor:
        """Map ``y [..., D]`` to ``P^T y [..., d]``: the factors transposed, in reverse."""
        padded = nn.functional.pad(y, (0, self.signs.numel() - self.size))
        scaled = walsh_hadamard(padded.unflatten(-1, self.signs.shape)) * self.gaussian
        mixed = torch.empty_like(scaled)
        mixed.scatter_(-1, self.permutations.expand_as(scaled), scaled)
        return (walsh_hadamard(mixed) * self.signs).sum(-2)[..., : self.dimension]


class WholeSpace(Projection):
    """The identity: a network that trains in all its parameters."""

    def __init__(self, parameters: int) -> None:
        super().__init__()
        self.dimension = parameters

    def forward(self, z: Tensor) -> Tensor:
        """Give ``z [..., D]`` back."""
        return z

    def adjoint(self, y: Tensor) -> Tensor:
        """Give ``y [..., D]`` back."""
        return y


def walsh_hadamard(x: Tensor) -> Tensor:
    """Walsh-Hadamard transform of the last axis, in natural order and not normalised.

    Parameters
    ----------
    x
        ``[..., n]``, floating point, n a power of 2.

    Returns
    -------
    Tensor
        ``x @ H``, of the shape of `x`; O(n log n) work.

    Raises
    ------
    ValueError
        If n is not a power of 2.
    """
    n = x.shape[-1]
    if n < 1 or n & (n - 1):
        raise ValueError(f"Walsh-Hadamard transform of length {n}, expected a power of 2")
    y, bits = x, n.bit_length() - 1
    while bits:
        # H is a Kronecker product: transform the last 4 bits of the index, and put them first.
        # After all bits they are in order again. Small matrices keep it in matrix products, which
        # are 4 times as fast as sums and differences.
        taken = min(4, bits)
        factor = _hadamard(taken, x)
        y = factor @ y.reshape(-1, n >> taken, 1 << taken).mT
        bits -= taken
    return y.reshape(x.shape)


def _hadamard(bits: int, like: Tensor) -> Tensor:
    """Hadamard matrix ``[2**bits, 2**bits]`` in natural order, of the type and device of `like`."""
    matrix = like.new_ones(1, 1)
    for _ in range(bits):
        upper, lower = torch.cat((matrix, matrix), 1), torch.cat((matrix, -matrix), 1)
        matrix = torch.cat((upper, lower))
    return matrix


def _generator(dimension: int, parameters: int, seed: int) -> torch.Generator:
    if not 1 <= dimension <= parameters or parameters < 2:
        raise ValueError(
            f"subspace of dimension {dimension} among {parameters} parameters, "
            "expected 1 <= dimension <= parameters and parameters >= 2"
        )
    return torch.Generator().manual_seed(seed)
