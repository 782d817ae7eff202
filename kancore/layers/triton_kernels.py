"""Triton kernels of Kolmogorov-Arnold layers: the basis is built where it is multiplied.

A dense product writes [batch, in, G + k + 1] values of basis functions to memory and reads them
again, for outputs that are often narrower than that. Here a program evaluates one function of a
tile of inputs in registers, [rows, inputs], multiplies it with that function's weights, and goes
on to the next function; the backward pass evaluates them again.

All G + k splines of a tile are multiplied, not only the k + 1 that matter at an input. On a CPU
leaving out the others pays (`kancore.layers.local_support`); on a GPU it would not, up to the grids
of 20 intervals of the study. Each example would gather other rows of weights, 4 bytes from shared
memory for one multiplication: on an H100 29 TB/s feed 14 TFLOP/s, which is what the float32 units
reach on a dense tile where 5 of 24 functions matter, and tensor cores are seven times as fast.
For the same reason a spline is evaluated from its distance to its centre, 12 operations a value
(degree 3), instead of choosing it among the k + 1 local ones: that takes 9 and their evaluation.

Each output belongs to one program, which adds in a fixed order, so results are the same bits each
time. Tiles go by shapes alone and are not tuned at run time, for the same reason.

Whoever imports this module without a GPU sets TRITON_INTERPRET=1 before.
"""

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.driver import driver

from kancore.layers.dense import Edges, Grid
from kancore.layers.splines import central_piece, terms
from kancore.layers.tiles import tiles

# Programs of the gradient by weights that keep the 132 processors of an H100 busy, whose registers
# have room for two each at a time (`kancore.bench.compilation`). Fixed: sums over parts of a batch
# are to be the same on every device.
_PROGRAMS = 264
# Least rows of a part of a batch.
_PART = 512
_ROOT_HALF = tl.constexpr(0.5**0.5)
# Where GELU and SiLU have reached their limits: there an infinite number times 0 would be none.
_FAR = tl.constexpr(1e4)
_ROOT_TWO_PI = tl.constexpr(0.3989422804014327)
# Triton's interpreter multiplies in float32, and has no instructions of a GPU.
_ROUNDS = tl.constexpr(not triton.knobs.runtime.interpret)


@triton.jit
def _activate(x, ACTIVATION: tl.constexpr):
    """Evaluate the base activation; at infinity its limit."""
    if ACTIVATION == "gelu":
        x = tl.where(x < -_FAR, -_FAR, x)
        return 0.5 * x * (1.0 + tl.erf(x * _ROOT_HALF))
    elif ACTIVATION == "silu":
        x = tl.where(x < -_FAR, -_FAR, x)
        return x / (1.0 + tl.exp(-x))
    elif ACTIVATION == "elu":
        return tl.where(x > 0, x, tl.exp(x) - 1.0)
    elif ACTIVATION == "relu":
        return tl.where(x <= 0, 0.0, x)  # a NaN stays one
    else:
        tl.static_assert(ACTIVATION == "cosine")
        return tl.cos(x)


@triton.jit
def _slope(x, ACTIVATION: tl.constexpr):
    """Differentiate the base activation; at a kink from the left, at infinity the limit."""
    if ACTIVATION == "gelu" or ACTIVATION == "silu":
        x = tl.where(x < -_FAR, -_FAR, tl.where(x > _FAR, _FAR, x))
    if ACTIVATION == "gelu":
        below = 0.5 * (1.0 + tl.erf(x * _ROOT_HALF))
        return below + x * (_ROOT_TWO_PI * tl.exp(-0.5 * x * x))
    elif ACTIVATION == "silu":
        share = 1.0 / (1.0 + tl.exp(-x))
        return share * (1.0 + x * (1.0 - share))
    elif ACTIVATION == "elu":
        return tl.where(x > 0, 1.0, tl.exp(x))
    elif ACTIVATION == "relu":
        return tl.where(x > 0, 1.0, 0.0)
    else:
        tl.static_assert(ACTIVATION == "cosine")
        return -tl.sin(x)


@triton.jit
def _central_spline(
    offset, POWER: tl.constexpr, PIECE: tl.constexpr, REACHES: tl.constexpr, SCALES: tl.constexpr
):
    """Central B-spline, or left of 0 its slope; as `kancore.layers.splines._central_spline`."""
    distance = tl.abs(offset)
    piece = distance * PIECE[0] + PIECE[1]
    for place in tl.static_range(2, POWER + 1):
        piece = piece * distance + PIECE[place]
    tail = tl.full(distance.shape, 0.0, tl.float32)
    for place in tl.static_range(len(REACHES) - 1):
        base = tl.maximum(REACHES[place] - distance, 0.0)
        term = base * SCALES[place]
        for _ in tl.static_range(POWER - 1):
            term *= base
        tail += term
    return tl.where(distance < REACHES[len(REACHES) - 1], piece, tail)


@triton.jit
def _spline_slope(
    offset, POWER: tl.constexpr, PIECE: tl.constexpr, REACHES: tl.constexpr, SCALES: tl.constexpr
):
    """Differentiate the central B-spline by the offset; where that jumps, from the right."""
    if POWER == 0:
        right = tl.where((offset >= 0) & (offset < 1), -1.0, 0.0)
        return tl.where((offset >= -1) & (offset < 0), 1.0, right)
    else:
        slope = _central_spline(offset, POWER, PIECE, REACHES, SCALES)
        return tl.where(offset < 0, slope, -slope)


@triton.jit
def _to_tf32(x):
    """Round to the nearest number of TF32; tensor cores would cut off the last 13 bits."""
    return tl.inline_asm_elementwise(
        "cvt.rna.tf32.f32 $0, $1;", "=r,r", [x], dtype=tl.float32, is_pure=True, pack=1
    )


@triton.jit
def _add_product(a, b, total, PRECISION: tl.constexpr):
    if PRECISION == "bf16":
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), total)
    elif PRECISION == "tf32" and _ROUNDS:
        return tl.dot(_to_tf32(a), _to_tf32(b), total, input_precision="tf32")
    else:
        return tl.dot(a, b, total, input_precision=PRECISION)


@triton.jit
def _forward(
    x,
    coefficients,
    base,
    scale,
    y,
    batch,
    inputs,
    outputs,
    columns,
    low,
    density,
    first_centre,
    OWN: tl.constexpr,
    SCALED: tl.constexpr,
    SPLINES: tl.constexpr,
    ACTIVATION: tl.constexpr,
    PRECISION: tl.constexpr,
    POWER: tl.constexpr,
    PIECE: tl.constexpr,
    REACHES: tl.constexpr,
    SCALES: tl.constexpr,
    ROWS: tl.constexpr,
    INPUTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Tile of outputs ``[ROWS, COLUMNS]``.

    Columns are the outputs of one network where each has inputs of its own, and else those of all
    networks, one after the other: a tile of functions of shared inputs serves several networks.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    own = tl.program_id(2).to(tl.int64)
    network, output = own + column // outputs, column % outputs
    there = column < columns
    if OWN:
        x += own * batch * inputs
    edge = network * inputs * outputs + output
    first_row = network * inputs * SPLINES * outputs + output
    total = tl.full((ROWS, COLUMNS), 0.0, tl.float32)
    for begin in range(0, inputs, INPUTS):
        i = begin + tl.arange(0, INPUTS)
        inside = (row < batch)[:, None] & (i < inputs)[None, :]
        values = tl.load(x + row[:, None] * inputs + i[None, :], inside, 0.0)
        mask = (i < inputs)[:, None] & there[None, :]
        at = edge[None, :] + i[:, None] * outputs
        weights = tl.load(base + at, mask, 0.0)
        total = _add_product(_activate(values, ACTIVATION), weights, total, PRECISION)
        if SCALED:
            factors = tl.load(scale + at, mask, 0.0)
        offset = (values - low) * density - first_centre
        at = first_row[None, :] + i[:, None] * (SPLINES * outputs)
        for m in range(SPLINES):
            weights = tl.load(coefficients + at + m * outputs, mask, 0.0)
            if SCALED:
                weights *= factors
            functions = _central_spline(offset - m, POWER, PIECE, REACHES, SCALES)
            total = _add_product(functions, weights, total, PRECISION)
    at = (network * batch * outputs + output)[None, :] + row[:, None] * outputs
    tl.store(y + at, total, (row < batch)[:, None] & there[None, :])


@triton.jit
def _weight_gradient(
    x,
    gradient,
    to_coefficients,
    to_base,
    batch,
    inputs,
    outputs,
    columns,
    low,
    density,
    first_centre,
    edges,
    parts,
    part_size,
    OWN: tl.constexpr,
    SPLINES: tl.constexpr,
    ACTIVATION: tl.constexpr,
    PRECISION: tl.constexpr,
    POWER: tl.constexpr,
    PIECE: tl.constexpr,
    REACHES: tl.constexpr,
    SCALES: tl.constexpr,
    ROWS: tl.constexpr,
    INPUTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Tile of gradients ``[INPUTS, COLUMNS]`` of a part of a batch, by s c in place of c and s.

    `_sum_parts` makes those by c and s: here two more tiles would take the registers of a program.
    """
    i = tl.program_id(0) * INPUTS + tl.arange(0, INPUTS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    own = (tl.program_id(2) // parts).to(tl.int64)
    part = tl.program_id(2) % parts
    network, output = own + column // outputs, column % outputs
    there = column < columns
    if OWN:
        x += own * batch * inputs
    start = part * part_size
    end = tl.minimum(start + part_size, batch)
    mask = (i < inputs)[:, None] & there[None, :]
    at = (network * inputs * outputs + output)[None, :] + i[:, None] * outputs
    at_rows = (network * inputs * SPLINES * outputs + output)[None, :]
    at_rows += i[:, None] * (SPLINES * outputs)
    gradients = gradient + (network * batch * outputs + output)[None, :]
    to_base += part.to(tl.int64) * edges
    to_coefficients += part.to(tl.int64) * edges * SPLINES

    total = tl.full((INPUTS, COLUMNS), 0.0, tl.float32)
    for begin in range(start, end, ROWS):
        row = begin + tl.arange(0, ROWS)
        inside = (i < inputs)[:, None] & (row < end)[None, :]
        values = tl.load(x + row[None, :] * inputs + i[:, None], inside, 0.0)
        inside = (row < end)[:, None] & there[None, :]
        below = tl.load(gradients + row[:, None] * outputs, inside, 0.0)
        total = _add_product(_activate(values, ACTIVATION), below, total, PRECISION)
    tl.store(to_base + at, total, mask)

    # Functions are the outer loop: sums of all of them would not fit the registers. Inputs and
    # gradients are read again for the next, from the cache.
    for m in range(SPLINES):
        total = tl.full((INPUTS, COLUMNS), 0.0, tl.float32)
        for begin in range(start, end, ROWS):
            row = begin + tl.arange(0, ROWS)
            inside = (i < inputs)[:, None] & (row < end)[None, :]
            values = tl.load(x + row[None, :] * inputs + i[:, None], inside, 0.0)
            inside = (row < end)[:, None] & there[None, :]
            below = tl.load(gradients + row[:, None] * outputs, inside, 0.0)
            offset = (values - low) * density - first_centre - m
            functions = _central_spline(offset, POWER, PIECE, REACHES, SCALES)
            total = _add_product(functions, below, total, PRECISION)
        tl.store(to_coefficients + at_rows + m * outputs, total, mask)


@triton.jit
def _sum_parts(
    of_coefficients,
    of_base,
    coefficients,
    scale,
    to_coefficients,
    to_base,
    to_scale,
    edges,
    outputs,
    parts,
    SCALED: tl.constexpr,
    SPLINES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add up the gradients of the parts of a batch, and turn them into those by c and s.

    Those of one part may lie where the sums go.
    """
    edge = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = edge < edges
    total = tl.full((BLOCK,), 0.0, tl.float32)
    for part in range(parts):
        total += tl.load(of_base + part * edges + edge, mask, 0.0)
    tl.store(to_base + edge, total, mask)
    if SCALED:
        factors = tl.load(scale + edge, mask, 0.0)
        by_scale = tl.full((BLOCK,), 0.0, tl.float32)
    at = edge // outputs * (SPLINES * outputs) + edge % outputs
    for m in range(SPLINES):
        total = tl.full((BLOCK,), 0.0, tl.float32)
        for part in range(parts):
            total += tl.load(of_coefficients + part * edges * SPLINES + at + m * outputs, mask, 0.0)
        if SCALED:
            by_scale += total * tl.load(coefficients + at + m * outputs, mask, 0.0)
            total *= factors
        tl.store(to_coefficients + at + m * outputs, total, mask)
    if SCALED:
        tl.store(to_scale + edge, by_scale, mask)


@triton.jit
def _input_gradient(
    x,
    gradient,
    coefficients,
    base,
    scale,
    to_x,
    batch,
    inputs,
    outputs,
    low,
    density,
    first_centre,
    OWN: tl.constexpr,
    SCALED: tl.constexpr,
    SPLINES: tl.constexpr,
    ACTIVATION: tl.constexpr,
    PRECISION: tl.constexpr,
    POWER: tl.constexpr,
    PIECE: tl.constexpr,
    REACHES: tl.constexpr,
    SCALES: tl.constexpr,
    ROWS: tl.constexpr,
    INPUTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Tile ``[ROWS, INPUTS]`` of one network's gradient by its inputs.

    It sums over outputs where the weights' gradient sums over examples, so one pass for both would
    share no product, and would have to add up one of them across programs.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    i = tl.program_id(1) * INPUTS + tl.arange(0, INPUTS)
    network = tl.program_id(2).to(tl.int64)
    if OWN:
        x += network * batch * inputs
    inside = (row < batch)[:, None] & (i < inputs)[None, :]
    values = tl.load(x + row[:, None] * inputs + i[None, :], inside, 0.0)
    gradient += network * batch * outputs
    base += network * inputs * outputs
    coefficients += network * inputs * SPLINES * outputs
    if SCALED:
        scale += network * inputs * outputs

    offset = (values - low) * density - first_centre
    nothing = tl.full((ROWS, INPUTS), 0.0, tl.float32)
    total = nothing
    # Outputs are the outer loop: gradients stay on the chip for all functions, whose slopes are
    # evaluated again for the next outputs.
    for begin in range(0, outputs, COLUMNS):
        o = begin + tl.arange(0, COLUMNS)
        mask = (row < batch)[:, None] & (o < outputs)[None, :]
        below = tl.load(gradient + row[:, None] * outputs + o[None, :], mask, 0.0)
        mask = (o < outputs)[:, None] & (i < inputs)[None, :]
        at = i[None, :] * outputs + o[:, None]
        weights = tl.load(base + at, mask, 0.0)
        through = _add_product(below, weights, nothing, PRECISION)
        total += through * _slope(values, ACTIVATION)
        if SCALED:
            factors = tl.load(scale + at, mask, 0.0)
        at = i[None, :] * (SPLINES * outputs) + o[:, None]
        for m in range(SPLINES):
            weights = tl.load(coefficients + at + m * outputs, mask, 0.0)
            if SCALED:
                weights *= factors
            through = _add_product(below, weights, nothing, PRECISION)
            slopes = _spline_slope(offset - m, POWER, PIECE, REACHES, SCALES)
            total += through * (density * slopes)
    at = network * batch * inputs + row[:, None] * inputs + i[None, :]
    tl.store(to_x + at, total, inside)


@cache
def _formula(degree: int, power: int) -> dict:
    """Constants of `_central_spline`."""
    pairs = terms(degree, power)
    return {
        "POWER": power,
        "PIECE": central_piece(degree, power),
        "REACHES": tuple(float(reach) for reach, _ in pairs),
        "SCALES": tuple(float(scale) for _, scale in pairs),
    }


def _constants(x: Tensor, edges: Edges, activation: str, grid: Grid, precision: str) -> dict:
    grid_size, degree, (low, high) = grid
    return {
        "low": low,
        "density": grid_size / (high - low),
        "first_centre": (1 - degree) / 2,  # in intervals from the low end
        "OWN": x.dim() == 3,
        "SCALED": edges.scale is not None,
        "SPLINES": grid_size + degree,
        "ACTIVATION": activation,
        "PRECISION": precision,
    }


@cache
def _capability(device: int) -> int:
    """Compute capability of the current GPU, as 90; its driver is asked once."""
    return driver.active.get_current_target().arch


def _chosen(
    kernel: str, sizes: tuple[int, int, int, int], precision: str
) -> tuple[dict[str, int], str]:
    """Give the tiles of a kernel, and the precision of its products, on the current GPU."""
    interpreted = triton.knobs.runtime.interpret
    kind = 90 if interpreted else _capability(driver.active.get_current_device())
    if kind < 80:  # whose tensor cores have neither TF32 nor bfloat16
        precision = "ieee"
    # Of compute capability 9, 10 and 11; the others load factors into registers.
    shared_factors = kind // 10 in (9, 10, 11)
    return tiles(kernel, *sizes, precision, shared_factors), precision


def product(x: Tensor, edges: Edges, activation: str, grid: Grid, precision: str) -> Tensor:
    """Multiply the functions of inputs with their weights: ``[S, batch, out]``.

    Parameters
    ----------
    x
        ``[batch, in]``, shared by all networks, or ``[S, batch, in]``; contiguous, as all are.
    edges, activation, grid
        As for `kancore.layers.dense.product`.
    precision
        Of products: ``ieee`` (float32), ``tf32`` or ``bf16``; sums are in float32.
    """
    stack, inputs, outputs = edges.base.shape
    batch, own = x.shape[-2], x.dim() == 3
    columns = outputs if own else stack * outputs
    y = x.new_empty(stack, batch, outputs)
    sizes = batch, inputs, columns, outputs
    with torch.cuda.device_of(x):
        sides, precision = _chosen("product", sizes, precision)
        # Rows come first: programs that run at the same time then read the same weights.
        places = (
            triton.cdiv(batch, sides["ROWS"]),
            triton.cdiv(columns, sides["COLUMNS"]),
            stack if own else 1,
        )
        _forward[places](
            *(x, *edges, y),
            *(batch, inputs, outputs, columns),
            **_constants(x, edges, activation, grid, precision),
            **_formula(grid[1], grid[1]),
            **sides,
        )
    return y


def weight_gradient(
    x: Tensor, gradient: Tensor, edges: Edges, activation: str, grid: Grid, precision: str
) -> Edges:
    """Gradients by all parameters, from that of the outputs; otherwise as `product`."""
    stack, inputs, outputs = edges.base.shape
    batch, own, splines = x.shape[-2], x.dim() == 3, grid[0] + grid[1]
    columns = outputs if own else stack * outputs
    sizes = batch, inputs, columns, outputs
    with torch.cuda.device_of(x):
        sides, precision = _chosen("weight_gradient", sizes, precision)
        places = triton.cdiv(inputs, sides["INPUTS"]), triton.cdiv(columns, sides["COLUMNS"])
        networks = stack if own else 1
        # Few and narrow layers leave processors idle unless the batch is divided too.
        parts = triton.cdiv(_PROGRAMS, places[0] * places[1] * networks)
        parts = max(1, min(parts, batch // _PART))
        found = edges.map(torch.empty_like)
        sums, count = found, edges.base.numel()
        if parts > 1:
            sums = Edges(x.new_empty(parts, count * splines), x.new_empty(parts, count), None)
        part_size = triton.cdiv(batch, parts)
        constants = _constants(x, edges, activation, grid, precision)
        scaled = constants.pop("SCALED")
        _weight_gradient[*places, networks * parts](
            *(x, gradient, sums.coefficients, sums.base),
            *(batch, inputs, outputs, columns),
            edges=count,
            parts=parts,
            part_size=part_size,
            **constants,
            **_formula(grid[1], grid[1]),
            **sides,
        )
        if parts > 1 or scaled:
            block = 256
            _sum_parts[triton.cdiv(count, block),](
                *(sums.coefficients, sums.base, edges.coefficients, edges.scale, *found),
                *(count, outputs, parts),
                SCALED=scaled,
                SPLINES=splines,
                BLOCK=block,
            )
    return found


def input_gradient(
    x: Tensor, gradient: Tensor, edges: Edges, activation: str, grid: Grid, precision: str
) -> Tensor:
    """Gradient by the inputs, of their shape; otherwise as `weight_gradient`."""
    stack, inputs, outputs = edges.base.shape
    batch = x.shape[-2]
    sizes = batch, inputs, outputs, outputs
    found = x.new_empty(stack, batch, inputs)
    with torch.cuda.device_of(x):
        sides, precision = _chosen("input_gradient", sizes, precision)
        places = triton.cdiv(batch, sides["ROWS"]), triton.cdiv(inputs, sides["INPUTS"]), stack
        _input_gradient[places](
            *(x, gradient, *edges, found),
            *(batch, inputs, outputs),
            **_constants(x, edges, activation, grid, precision),
            **_formula(grid[1], grid[1] - 1),
            **sides,
        )
    return found if x.dim() == 3 else found.sum(0)
