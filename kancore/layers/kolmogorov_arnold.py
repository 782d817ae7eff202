"""The Kolmogorov-Arnold layer over a stack of networks (the paper, section 2)."""

import torch
from torch import Generator, Tensor, nn

from kancore.initialization import fill
from kancore.layers import dense, local_support, on_chip
from kancore.layers.dense import Edges
from kancore.layers.shapes import check_inputs
from kancore.splines import fit_matrix, knots

# Size of the noise, times 1 / grid_size, that the spline coefficients are fitted to at first.
NOISE = 0.1
SPLINE_SCALES = ("trained", "folded")


class KALayer(nn.Module):
    """Edges ``phi_ij(x) = w_ij act(x) + s_ij sum_m c_ijm B_m(x)``, summed over inputs j.

    All three are trained, w, s and c: G + k + 2 parameters an edge. With the scale folded into the
    coefficients the layer has the same functions and the same initial values, but an optimizer
    takes its whole step on the product s c, which is many times larger than that on its factors.

    In float32 on a CPU the product leaves out the splines that are zero, and on a GPU the basis
    stays on the chip; see `kancore.layers.local_support` and `kancore.layers.on_chip`.

    Parameters
    ----------
    inputs, outputs
        Widths.
    grid_size, degree, grid_range
        The uniform spline grid; see `kancore.splines.knots`.
    activation
        Base activation.
    spline_scale
        ``trained``, or ``folded`` into the coefficients.
    kaiming_gain
        Of Kaiming initializations of w and s, as for `kancore.initialization.fill`.
    stack
        Number of networks.

    Attributes
    ----------
    coefficients : Parameter
        c, ``[S, in, G + k, out]``; s c where the scale is folded.
    base_weight : Parameter
        w, ``[S, in, out]``.
    spline_scale : Parameter or None
        s, ``[S, in, out]``; ``None`` where it is folded.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        grid_size: int = 5,
        degree: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        activation: str = "gelu",
        spline_scale: str = "trained",
        kaiming_gain: str = "rectifier",
        stack: int = 1,
    ):
        super().__init__()
        if spline_scale not in SPLINE_SCALES:
            expected = " or ".join(SPLINE_SCALES)
            raise ValueError(f"spline_scale is {spline_scale!r}, expected {expected}")
        knots(grid_size, degree, grid_range)  # raises where there is no such grid
        self.inputs, self.outputs = inputs, outputs
        self.grid = (grid_size, degree, tuple(grid_range))
        self.activation, self.kaiming_gain = activation, kaiming_gain
        shape = stack, inputs, outputs
        self.coefficients = nn.Parameter(torch.empty(stack, inputs, grid_size + degree, outputs))
        self.base_weight = nn.Parameter(torch.empty(shape))
        trained = spline_scale == "trained"
        self.spline_scale = nn.Parameter(torch.empty(shape)) if trained else None
        # Values ``[in]`` that most inputs equal, if any; see `local_support.Plan.of`.
        self.background: Tensor | None = None
        self._update: local_support.Fused | None = None

    @property
    def edges(self) -> Edges:
        """The parameters."""
        return Edges(self.coefficients, self.base_weight, self.spline_scale)

    @torch.no_grad()
    def initialize(self, index: int, initialization: str, generator: Generator) -> None:
        """Draw base weights and spline scales; fit the coefficients to small noise."""
        grid_size, _, _ = self.grid
        shape = self.outputs, self.inputs
        base, scale = (
            fill(torch.empty(shape), initialization, generator, self.kaiming_gain) for _ in range(2)
        )
        noise = torch.rand(*shape, grid_size + 1, generator=generator) - 0.5
        fit = fit_matrix(*self.grid).to(noise) * (NOISE / grid_size)
        coefficients = noise @ fit.T  # [out, in, G + k]
        self.base_weight[index] = base.T.to(self.base_weight)
        if self.spline_scale is None:
            coefficients = scale.unsqueeze(-1) * coefficients
        else:
            self.spline_scale[index] = scale.T.to(self.spline_scale)
        self.coefficients[index] = coefficients.permute(1, 2, 0).to(self.coefficients)

    def fuse(self, updates: list[dict], steps: Tensor) -> None:
        """Update the parameters in the backward pass from now on, where there are kernels for it.

        Parameters
        ----------
        updates, steps
            As for `kancore.layers.local_support.fused`.
        """
        if local_support.applies_to(self.base_weight, self.edges):
            self._update = local_support.fused(updates, steps)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in]`` or ``[S, batch, in]`` to ``[S, batch, out]``.

        Raises
        ------
        ValueError
            If `x` has another shape.
        """
        check_inputs(x, len(self.base_weight), self.inputs)
        if local_support.applies_to(x, self.edges):
            plan = local_support.Plan.of(x, self.activation, self.grid, self.background)
            return local_support.product(plan, self.edges, self._update)
        if on_chip.applies_to(x, self.edges):
            return on_chip.product(x, self.edges, self.activation, self.grid)
        return dense.product(x, self.edges, self.activation, self.grid)
