"""The Kolmogorov-Arnold layer over a stack of networks (the paper, section 2)."""

import warnings
from math import sqrt
from operator import index, is_

import torch
from torch import Generator, Tensor, nn

from kancore.layers import activations, dense, local_support, on_chip, transforms
from kancore.layers.compiled import KernelLayer
from kancore.layers.dense import Edges, Grid, Placement
from kancore.layers.initialization import drawn, fill
from kancore.layers.shapes import check_inputs, whole
from kancore.layers.splines import basis, fit_matrix, knots
from kancore.layers.variance import activation_gain, spline_size

# Size of the noise, times 1 / grid_size, that the spline coefficients are fitted to at first.
NOISE = 0.1
SPLINE_SCALES = ("trained", "folded")
GAINS = ("rectifier", "leaky", "preserving", "balanced")
# Share of an input's values to each side that a grid which is moved leaves out.
_TAIL = 0.01
# Examples that the old spline as a whole counts as where splines are refitted, and points a spline
# that it is taken at. As more it would hold back many examples, as fewer few would decide alone.
_OLD_SPLINE, _POINTS = 0.1, 4


class KALayer(KernelLayer):
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
        The uniform spline grid; see `kancore.layers.splines.knots`.
    activation
        Base activation.
    spline_scale
        ``trained``, or ``folded`` into the coefficients.
    gain
        ``rectifier`` or ``leaky``: of Kaiming initializations of w and s, as for
        `kancore.layers.initialization.fill`. Or for all initializations, so that units of normal
        inputs have variance 1: ``preserving``, by the base branch, as splines are small at first
        (see `kancore.layers.variance`); ``balanced``, by both branches in equal parts, with splines
        that are as large as the base activation.
    moving_grid
        Whether each input's grid can be moved to its values, by `move_grid`.
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
    grid_centre, grid_stretch : Tensor
        Where the grids lie, ``[S, in]``, if they can be moved; see `dense.Placement`.
    """

    grid_centre: Tensor
    grid_stretch: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        grid_size: int = 5,
        degree: int = 3,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        activation: str = "gelu",
        spline_scale: str = "trained",
        gain: str = "rectifier",
        moving_grid: bool = False,
        stack: int = 1,
    ):
        super().__init__()
        for name, value, known in (
            ("spline_scale", spline_scale, SPLINE_SCALES),
            ("gain", gain, GAINS),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}, expected {' or '.join(known)}")
        activations.check(activation)
        knots(grid_size, degree, grid_range)  # raises where there is no such grid
        inputs, outputs, stack = whole(inputs=inputs, outputs=outputs, stack=stack)
        grid_size, degree = map(index, (grid_size, degree))
        self.inputs, self.outputs = inputs, outputs
        low, high = map(float, grid_range)
        self.grid: Grid = grid_size, degree, (low, high)
        self.activation, self.gain = activation, gain
        shape = stack, inputs, outputs
        # In the order of `Edges`, as `fuse` takes their updates.
        self.coefficients = nn.Parameter(torch.empty(stack, inputs, grid_size + degree, outputs))
        self.base_weight = nn.Parameter(torch.empty(shape))
        trained = spline_scale == "trained"
        self.spline_scale = nn.Parameter(torch.empty(shape)) if trained else None
        self.moving_grid = moving_grid
        if moving_grid:
            self.register_buffer("grid_centre", torch.zeros(stack, inputs))
            self.register_buffer("grid_stretch", torch.ones(stack, inputs))
            # Grids, numbers of their changes, and whether they were the same for all networks then.
            self._compared: tuple[tuple, tuple, bool] = (), (), False
        # Values ``[in]`` that most inputs equal, if any; see `local_support.product`.
        self.background: Tensor | None = None

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the parameters that the kernels take, in their order."""
        names = "coefficients", "base_weight", "spline_scale"
        return names[:2] if self.spline_scale is None else names

    @property
    def edges(self) -> Edges:
        """The parameters."""
        return Edges(self.coefficients, self.base_weight, self.spline_scale)

    @torch.no_grad()
    def draw(self, index: int, initialization: str, generator: Generator) -> None:
        """Draw base weights and spline scales; fit the coefficients to small noise."""
        grid_size, _, _ = self.grid
        shape = self.outputs, self.inputs
        kaiming = self.gain if self.gain in ("rectifier", "leaky") else "linear"
        base, scale = (fill(drawn(shape), initialization, generator, kaiming) for _ in range(2))
        noise = drawn((*shape, grid_size + 1)).uniform_(generator=generator) - 0.5
        fit = fit_matrix(*self.grid).to(noise) * (NOISE / grid_size)
        coefficients = noise @ fit.T  # [out, in, G + k]
        if self.gain == "preserving":
            base *= activation_gain(self.activation)
        elif self.gain == "balanced":
            base *= activation_gain(self.activation) * sqrt(0.5)
            scale *= sqrt(0.5)
            coefficients /= spline_size(self.grid) * NOISE / grid_size
        self.base_weight[index] = base.T.to(self.base_weight)
        if self.spline_scale is None:
            coefficients = scale.unsqueeze(-1) * coefficients
        else:
            self.spline_scale[index] = scale.T.to(self.spline_scale)
        self.coefficients[index] = coefficients.permute(1, 2, 0).to(self.coefficients)

    def has_kernels(self) -> bool:
        """Whether there are kernels for the parameters as they are."""
        return not self.products_in_bfloat16 and local_support.applies_to(
            self.base_weight, self.edges
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, in]`` or ``[S, batch, in]`` to ``[S, batch, out]``.

        Raises
        ------
        ValueError
            If `x` has another shape.
        """
        check_inputs(x, len(self.base_weight), self.inputs)
        if transforms.autocast(x.device.type):
            # Splines and their sums need the digits of the parameters' type.
            with torch.autocast(x.device.type, enabled=False):
                return self._product(x.to(self.base_weight.dtype))
        return self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        x, placement = self._placed(x)
        how = self.edges, self.activation, self.grid
        on_cpu = not self.products_in_bfloat16 and local_support.applies_to(x, self.edges)
        if self.update is not None or on_cpu:
            return local_support.product(x, *how, self.background, placement, self.update)
        plain = placement is None and not transforms.active()  # asked first: kernels are tried
        if plain and on_chip.applies_to(x, self.edges):
            return on_chip.product(x, *how, self.products_in_bfloat16)
        return dense.product(x, *how, placement, self.products_in_bfloat16)

    def _placed(self, x: Tensor) -> tuple[Tensor, Placement | None]:
        """Give inputs and where their grids lie; a batch for each network if grids differ."""
        if not self.moving_grid:
            return x, None
        placement = Placement(self.grid_centre, self.grid_stretch)
        if x.dim() == 2:
            if len(self.base_weight) == 1 or self._grids_are_alike():
                return x, Placement(*(each[0] for each in placement))
            x = x.expand(len(self.base_weight), -1, -1)
        return x, Placement(*(each.unsqueeze(1) for each in placement))

    def _grids_are_alike(self) -> bool:
        """Whether all networks have the same grids, as far as can be known where this is called.

        The host waits for a GPU to tell, so it is asked only when grids have changed.
        """
        if torch.compiler.is_compiling() or transforms.active():
            return False
        grids = self.grid_centre, self.grid_stretch
        # Tensors of `torch.inference_mode` do not count their changes.
        changes = tuple(-1 if each.is_inference() else each._version for each in grids)
        compared, then, alike = self._compared
        same = then == changes and all(map(is_, compared, grids))
        if not same or -1 in changes:
            alike = all(bool((each == each[:1]).all()) for each in grids)
            self._compared = grids, changes, alike
        return alike

    @torch.no_grad()
    def outside_grid(self, x: Tensor) -> Tensor:
        """Share of inputs beyond the extended grid, where all splines are zero, ``[S]``."""
        check_inputs(x, len(self.base_weight), self.inputs)
        ends = knots(*self.grid)[[0, -1]].tolist()
        x, placement = self._placed(x)
        places = x if placement is None else placement.on_grid(x)
        shares = ((places <= ends[0]) | (places >= ends[1])).double().mean((-2, -1))
        return shares.expand(len(self.base_weight))

    @torch.no_grad()
    def move_grid(self, x: Tensor) -> None:
        """Move each input's grid to its values, and refit the splines there by least squares.

        The ends of the grid go to the outer percentiles of the values, and the coefficients to
        those that give the values of the splines at `x` best (Liu et al. 2024, section 2.4, with a
        grid that stays uniform). Where values are few the old spline has a say: it counts as a
        tenth of an example, spread over the new grid, so that coefficients stay as large as they
        were. Inputs that hardly vary, or have values that are not finite, keep their grids; a
        warning says so where all of them do.

        Parameters
        ----------
        x
            ``[batch, in]`` or ``[S, batch, in]``.

        Raises
        ------
        ValueError
            If grids cannot be moved, or `x` is empty.
        """
        _, _, (low, high) = self.grid
        check_inputs(x, len(self.base_weight), self.inputs)
        if not x.numel():
            raise ValueError(f"inputs have shape {tuple(x.shape)}, expected at least one example")
        if not self.moving_grid:
            raise ValueError("moving_grid is False, expected a layer whose grids can be moved")
        x, _ = self._placed(x.double())
        if x.dim() == 2:  # shared: one fit serves all networks
            x = x.unsqueeze(0)
        ordered = x.sort(dim=1).values
        cut = int(_TAIL * x.shape[1])
        first, last = ordered[:, cut], ordered[:, -1 - cut]
        moves = x.isfinite().all(1) & (last - first > 1e-6 * (high - low))
        if not moves.any():
            warnings.warn("no input varies and is finite: no grid was moved", stacklevel=2)
        for network in range(len(x)):
            columns = moves[network].nonzero().squeeze(1)
            if not len(columns):
                continue
            ends = first[network, columns], last[network, columns]
            stretch = (high - low) / (ends[1] - ends[0])
            centre = (ends[0] + ends[1]) / 2 - (low + high) / 2 / stretch
            # As stored, so that the fit is at the places where splines are evaluated.
            stretch, centre = (each.to(self.grid_centre).double() for each in (stretch, centre))
            buffers = self.grid_centre, self.grid_stretch
            before = Placement(*(each[network, columns].double() for each in buffers))
            change = self._refit(x[network][:, columns], before, Placement(centre, stretch))
            chosen = [network] if len(x) == len(self.base_weight) else range(len(self.base_weight))
            for each in chosen:
                old = self.coefficients[each, columns].double()
                self.coefficients[each, columns] = (change @ old).to(self.coefficients)
                self.grid_centre[each, columns] = centre.to(self.grid_centre)
                self.grid_stretch[each, columns] = stretch.to(self.grid_stretch)

    def _refit(self, x: Tensor, before: Placement, after: Placement) -> Tensor:
        """Find matrices from old coefficients to new ones, for values ``[batch, in]``."""
        grid_size, degree, _ = self.grid
        first, last = knots(*self.grid)[[0, -1]].tolist()
        points = _POINTS * (grid_size + degree)
        spread = torch.linspace(first, last, points, dtype=x.dtype, device=x.device).unsqueeze(1)
        spread = spread / after.stretch + after.centre
        new, old = (
            torch.cat(
                (
                    basis(place.on_grid(x), *self.grid),
                    (_OLD_SPLINE / points) ** 0.5 * basis(place.on_grid(spread), *self.grid),
                )
            )
            for place in (after, before)
        )
        values = (each.permute(2, 0, 1).cpu() for each in (new, old))
        return torch.linalg.lstsq(*values).solution.to(x.device)
