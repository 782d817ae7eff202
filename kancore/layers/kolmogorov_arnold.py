"""The Kolmogorov-Arnold layer over a stack of networks (the paper, section 2)."""

import torch
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable

from kancore.activations import FUNCTIONS, slope
from kancore.initialization import fill
from kancore.layers import local_support
from kancore.layers.linear import stacked_product
from kancore.splines import basis, basis_derivative, fit_matrix

# Size of the noise, times 1 / grid_size, that the spline coefficients are fitted to at first.
NOISE = 0.1


class _Features(torch.autograd.Function):
    """All functions of an input that edges combine: B-splines, then the base activation."""

    @staticmethod
    def forward(ctx, x, activation, grid):
        ctx.save_for_backward(x)
        ctx.activation, ctx.grid = activation, grid
        return torch.cat((basis(x, *grid), FUNCTIONS[activation](x).unsqueeze(-2)), dim=-2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        splines, base = gradient.split((gradient.shape[-2] - 1, 1), dim=-2)
        result = slope(ctx.activation, x) * base.squeeze(-2)
        return result + (basis_derivative(x, *ctx.grid) * splines).sum(-2), None, None


class KALayer(nn.Module):
    """Edges ``phi_ij(x) = w_ij act(x) + sum_m c_ijm B_m(x)``, summed over inputs j.

    Spline coefficients and base weight of all edges are one tensor, ``weight [S, out, G + k + 1,
    in]``, so that a layer is one product. The spline scale s_ij of the paper's unit multiplies the
    coefficients and is folded into them; `num_parameters` counts it, as the paper does.

    In float32 on a CPU the product leaves out the splines that are zero; see
    `kancore.layers.local_support`.

    Parameters
    ----------
    inputs, outputs
        Widths.
    grid_size, degree, grid_range
        The uniform spline grid; see `kancore.splines.knots`.
    activation
        Base activation.
    stack
        Number of networks.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        grid_size: int = 5,
        degree: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        activation: str = "gelu",
        stack: int = 1,
    ):
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.grid = (grid_size, degree, tuple(grid_range))
        self.activation = activation
        self.weight = nn.Parameter(torch.empty(stack, outputs, grid_size + degree + 1, inputs))
        # Values ``[in]`` that most inputs equal, if any; see `local_support.Plan.of`.
        self.background: Tensor | None = None
        self._update: local_support.Fused | None = None
        self._arrange()

    def _arrange(self) -> None:
        """Order the weights in memory as the product reads them: by input, or by output."""
        local = local_support.applies_to(self.weight)
        data = self.weight.data
        self.weight.data = local_support.arrange(data) if local else data.contiguous()

    def _apply(self, fn, recurse=True):
        """Move or convert the weights; a hook of `torch.nn.Module`."""
        super()._apply(fn, recurse)
        self._arrange()
        return self

    @property
    def num_parameters(self) -> int:
        """Published count of one network's layer: w, s and G + k coefficients an edge."""
        grid_size, degree, _ = self.grid
        return self.inputs * self.outputs * (grid_size + degree + 2)

    @torch.no_grad()
    def initialize(self, index: int, initialization: str, generator: Generator) -> None:
        """Draw base weights and spline scales; fit the coefficients to small noise."""
        grid_size, _, _ = self.grid
        shape = (self.outputs, self.inputs)
        base = fill(torch.empty(shape), initialization, generator)
        scale = fill(torch.empty(shape), initialization, generator)
        noise = torch.rand(*shape, grid_size + 1, generator=generator) - 0.5
        fit = fit_matrix(*self.grid).to(noise) * (NOISE / grid_size)
        coefficients = scale.unsqueeze(-1) * (noise @ fit.T)
        edges = torch.cat((coefficients, base.unsqueeze(-1)), dim=-1)  # [out, in, G + k + 1]
        self.weight[index] = edges.transpose(1, 2).to(self.weight)

    def fuse(self, updates: list[dict], steps: Tensor) -> None:
        """Update the weights in the backward pass from now on, where there are kernels for it.

        Parameters
        ----------
        updates, steps
            As for `kancore.layers.local_support.fused`.
        """
        if local_support.applies_to(self.weight):
            self._update = local_support.fused(updates, steps)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in]`` or ``[S, batch, in]`` to ``[S, batch, out]``."""
        if local_support.applies_to(self.weight) and x.dtype == torch.float32:
            plan = local_support.Plan.of(x, self.activation, self.grid, self.background)
            return local_support.product(plan, local_support.arrange(self.weight), self._update)
        features = _Features.apply(x, self.activation, self.grid).flatten(-2)
        return stacked_product(features, self.weight.flatten(2))
