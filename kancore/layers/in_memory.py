"""Kolmogorov-Arnold products on a GPU by a basis in memory, where outputs are many.

The kernels of `kancore.layers.triton_kernels` evaluate the functions of an input again for each
tile of outputs, and multiply them at a seventh of what a GPU's own products reach. Where outputs
are many it pays to write the functions to memory once, for cuBLAS: 8 bytes of traffic a function
cost as much as 60 outputs of those kernels (an H200, TF32).

Functions of an input lie apart, ``[rows, G + k + 1, in]``, the base activation last, so that
kernels read and write whole lines of memory. Networks are taken in groups, whose functions and
weights fit `_GROUP`.
"""

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from kancore.layers.dense import Edges, Grid
from kancore.layers.triton_kernels import _central_spline, _constants, _formula, _spline_slope
from kancore.layers.triton_pointwise import _activate, _slope, launch

# Numbers of the functions, or of the weights, of a group of networks.
_GROUP = 2**27
_BLOCK = 1024


@triton.jit
def _evaluate(
    x,
    functions,
    rows,
    inputs,
    low,
    density,
    first_centre,
    SPLINES: tl.constexpr,
    ACTIVATION: tl.constexpr,
    POWER: tl.constexpr,
    PIECE: tl.constexpr,
    REACHES: tl.constexpr,
    SCALES: tl.constexpr,
    ROWS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    """Write all functions of a tile of inputs."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    i = tl.program_id(1) * INPUTS + tl.arange(0, INPUTS)
    inside = (row < rows)[:, None] & (i < inputs)[None, :]
    values = tl.load(x + row[:, None] * inputs + i[None, :], inside, 0.0)
    functions += row[:, None] * ((SPLINES + 1) * inputs) + i[None, :]
    offset = (values - low) * density - first_centre
    for m in range(SPLINES):
        found = _central_spline(offset - m, POWER, PIECE, REACHES, SCALES)
        tl.store(functions + m * inputs, found.to(functions.dtype.element_ty), inside)
    found = _activate(values, ACTIVATION)
    tl.store(functions + SPLINES * inputs, found.to(functions.dtype.element_ty), inside)


@triton.jit
def _through(
    x,
    by_functions,
    to_x,
    rows,
    inputs,
    low,
    density,
    first_centre,
    SPLINES: tl.constexpr,
    ACTIVATION: tl.constexpr,
    POWER: tl.constexpr,
    PIECE: tl.constexpr,
    REACHES: tl.constexpr,
    SCALES: tl.constexpr,
    ROWS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    """Sum gradients by the functions of an input times their slopes, ``[ROWS, INPUTS]``."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    i = tl.program_id(1) * INPUTS + tl.arange(0, INPUTS)
    inside = (row < rows)[:, None] & (i < inputs)[None, :]
    at = row[:, None] * inputs + i[None, :]
    values = tl.load(x + at, inside, 0.0)
    by_functions += row[:, None] * ((SPLINES + 1) * inputs) + i[None, :]
    offset = (values - low) * density - first_centre
    total = tl.load(by_functions + SPLINES * inputs, inside, 0.0) * _slope(values, ACTIVATION)
    for m in range(SPLINES):
        slopes = _spline_slope(offset - m, POWER, PIECE, REACHES, SCALES)
        total += tl.load(by_functions + m * inputs, inside, 0.0) * (density * slopes)
    tl.store(to_x + at, total, inside)


@triton.jit
def _weigh(
    coefficients,
    base,
    scale,
    weights,
    edges,
    inputs,
    outputs,
    row_size,
    network_size,
    SCALED: tl.constexpr,
    SPLINES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write s c and w of a group's edges as the rows of its product."""
    edge = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = edge < edges
    pair, output = edge // outputs, edge % outputs
    at = pair * (SPLINES * outputs) + output
    weights += pair // inputs * network_size + pair % inputs * row_size + output
    if SCALED:
        factors = tl.load(scale + edge, mask, 0.0)
    for m in range(SPLINES):
        found = tl.load(coefficients + at + m * outputs, mask, 0.0)
        if SCALED:
            found *= factors
        tl.store(weights, found.to(weights.dtype.element_ty), mask)
        weights += inputs * row_size
    found = tl.load(base + edge, mask, 0.0)
    tl.store(weights, found.to(weights.dtype.element_ty), mask)


@triton.jit
def _give(
    by_weights,
    coefficients,
    scale,
    to_coefficients,
    to_base,
    to_scale,
    edges,
    inputs,
    outputs,
    row_size,
    network_size,
    SCALED: tl.constexpr,
    SPLINES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Turn gradients by the rows of a group's product into those by its parameters."""
    edge = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = edge < edges
    pair, output = edge // outputs, edge % outputs
    at = pair * (SPLINES * outputs) + output
    by_weights += pair // inputs * network_size + pair % inputs * row_size + output
    if SCALED:
        factors = tl.load(scale + edge, mask, 0.0)
        by_scale = tl.full((BLOCK,), 0.0, tl.float32)
    for m in range(SPLINES):
        found = tl.load(by_weights, mask, 0.0)
        if SCALED:
            by_scale += found * tl.load(coefficients + at + m * outputs, mask, 0.0)
            found *= factors
        tl.store(to_coefficients + at + m * outputs, found, mask)
        by_weights += inputs * row_size
    tl.store(to_base + edge, tl.load(by_weights, mask, 0.0), mask)
    if SCALED:
        tl.store(to_scale + edge, by_scale, mask)


class _Layer:
    """What the functions below share: a layer's sizes, groups of networks, and passes of kernels.

    Parameters
    ----------
    x, edges, activation, grid, precision
        As for `kancore.layers.triton_kernels.product`.
    own
        Whether each network has a product of its own; networks of shared inputs have one together.
    """

    def __init__(
        self, x: Tensor, edges: Edges, activation: str, grid: Grid, precision: str, own: bool
    ):
        self.stack, self.inputs, self.outputs = edges.base.shape
        self.batch, self.own = x.shape[-2], own
        self.splines = grid[0] + grid[1]
        self.functions = (self.splines + 1) * self.inputs
        self.type = torch.bfloat16 if precision == "bf16" else torch.float32
        self._x, self._edges, self._grid = x, edges, grid
        constants = _constants(x, edges, activation, grid, precision)
        self._scaled = constants["SCALED"]
        names = "low", "density", "first_centre", "SPLINES", "ACTIVATION"
        self._constants = {name: constants[name] for name in names}

    def groups(self) -> Iterator[slice]:
        """Divide the networks."""
        numbers = self.functions * max(self.outputs, self.batch if self.own else 0)
        size = max(1, min(self.stack, _GROUP // numbers))
        for begin in range(0, self.stack, size):
            yield slice(begin, min(begin + size, self.stack))

    def _tile(self, rows: int) -> tuple[tuple[int, int], dict]:
        """Programs, and sides of the tiles of inputs."""
        width = min(256, max(16, triton.next_power_of_2(self.inputs)))
        sides = {"ROWS": _BLOCK // width, "INPUTS": width}
        return (triton.cdiv(rows, sides["ROWS"]), triton.cdiv(self.inputs, width)), sides

    def evaluate(self, x: Tensor) -> Tensor:
        """Give the functions of inputs ``[..., in]`` as ``[..., (G + k + 1) in]``."""
        functions = x.new_empty(*x.shape[:-1], self.functions, dtype=self.type)
        rows = x.numel() // self.inputs
        places, sides = self._tile(rows)
        formula = _formula(self._grid[1], self._grid[1])
        numbers = {"rows": rows, "inputs": self.inputs}
        launch(_evaluate, places, (x, functions), **numbers, **self._constants, **formula, **sides)
        return functions

    def through(self, x: Tensor, by_functions: Tensor, to_x: Tensor) -> None:
        """Write gradients by inputs from those by their functions."""
        rows = x.numel() // self.inputs
        places, sides = self._tile(rows)
        formula = _formula(self._grid[1], self._grid[1] - 1)
        numbers = {"rows": rows, "inputs": self.inputs}
        tensors = x, by_functions, to_x
        launch(_through, places, tensors, **numbers, **self._constants, **formula, **sides)

    def _sizes(self, networks: int) -> dict:
        """Sizes of a group, whose rows hold its networks' outputs side by side, or one's."""
        outputs = self.outputs
        return {
            "edges": networks * self.inputs * outputs,
            "inputs": self.inputs,
            "outputs": outputs,
            "row_size": outputs if self.own else networks * outputs,
            "network_size": self.functions * outputs if self.own else outputs,
            "SCALED": self._scaled,
            "SPLINES": self.splines,
            "BLOCK": _BLOCK,
        }

    def weights(self, group: slice) -> Tensor:
        """Weights of a group: ``[networks, (G + k + 1) in, out]``, or its outputs side by side."""
        edges = self._edges.map(lambda edge: edge[group])
        networks = len(edges.base)
        shape = (networks, self.functions, self.outputs)
        if not self.own:
            shape = (1, self.functions, networks * self.outputs)
        found = edges.base.new_empty(shape, dtype=self.type)
        sizes = self._sizes(networks)
        launch(_weigh, (triton.cdiv(sizes["edges"], _BLOCK),), (*edges, found), **sizes)
        return found

    def give(self, by_weights: Tensor, group: slice, found: Edges) -> None:
        """Write gradients by the parameters of a group from those by its weights."""
        edges = self._edges.map(lambda edge: edge[group])
        sizes = self._sizes(len(edges.base))
        tensors = by_weights, edges.coefficients, edges.scale, *found.map(lambda edge: edge[group])
        launch(_give, (triton.cdiv(sizes["edges"], _BLOCK),), tensors, **sizes)

    def side_by_side(self, gradient: Tensor) -> Tensor:
        """Gradients by a group's outputs, as `weights` has them."""
        if not self.own:
            gradient = gradient.transpose(0, 1).reshape(1, self.batch, -1)
        return gradient.to(self.type)


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    """Product whose sums are in float32."""
    if a.dtype == torch.float32:
        return torch.bmm(a, b)
    return torch.bmm(a, b, out_dtype=torch.float32)


def product(x: Tensor, edges: Edges, activation: str, grid: Grid, precision: str) -> Tensor:
    """As `kancore.layers.triton_kernels.product`."""
    layer = _Layer(x, edges, activation, grid, precision, x.dim() == 3)
    y = x.new_empty(layer.stack, layer.batch, layer.outputs)
    shared = None if layer.own else layer.evaluate(x.unsqueeze(0))
    for group in layer.groups():
        functions = layer.evaluate(x[group]) if shared is None else shared
        found = _multiply(functions, layer.weights(group))
        if shared is not None:
            found = found.view(layer.batch, -1, layer.outputs).transpose(0, 1)
        y[group] = found
    return y


def weight_gradient(
    x: Tensor, gradient: Tensor, edges: Edges, activation: str, grid: Grid, precision: str
) -> Edges:
    """As `kancore.layers.triton_kernels.weight_gradient`."""
    layer = _Layer(x, edges, activation, grid, precision, x.dim() == 3)
    found = edges.map(torch.empty_like)
    shared = None if layer.own else layer.evaluate(x.unsqueeze(0))
    for group in layer.groups():
        functions = layer.evaluate(x[group]) if shared is None else shared
        below = layer.side_by_side(gradient[group])
        layer.give(_multiply(functions.mT, below), group, found)
    return found


def input_gradient(
    x: Tensor, gradient: Tensor, edges: Edges, activation: str, grid: Grid, precision: str
) -> Tensor:
    """As `kancore.layers.triton_kernels.input_gradient`."""
    layer = _Layer(x, edges, activation, grid, precision, x.dim() == 3)
    if layer.own:
        found = torch.empty_like(x)
        for group in layer.groups():
            below = layer.side_by_side(gradient[group])
            by_functions = _multiply(below, layer.weights(group).mT)
            layer.through(x[group], by_functions, found[group])
        return found
    by_functions = x.new_zeros(1, layer.batch, layer.functions)
    for group in layer.groups():
        below = layer.side_by_side(gradient[group])
        by_functions += _multiply(below, layer.weights(group).mT)
    found = torch.empty_like(x)
    layer.through(x, by_functions, found)
    return found
