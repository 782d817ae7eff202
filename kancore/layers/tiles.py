"""Tiles of the Triton kernels, which need no Triton to be known."""


def tiles(
    kernel: str,
    batch: int,
    inputs: int,
    columns: int,
    outputs: int,
    precision: str,
    shared_factors: bool,
) -> dict:
    """Choose the tiles of a kernel: ``ROWS`` of a batch, ``INPUTS``, ``COLUMNS``, and their warps.

    They are as large as the registers of a GPU allow, since a function of an input is evaluated
    again for each tile of columns. Without tensor cores products take more registers, and so do the
    addresses of rows that are not aligned, and tensor cores that take no factors from shared memory
    (`shared_factors`). `kancore.bench.compilation` tells what other tiles would take.
    """
    cores = precision != "ieee"
    wide = cores and shared_factors and outputs % 16 == 0
    *largest, warps = {
        "product": (128 if cores else 64, 32, 128 if wide else 64, 8),
        # More rows at a time are spilled; more warps evaluate the same functions twice.
        "weight_gradient": (16, 64, 128 if wide else 64, 4 if cores else 8),
        "input_gradient": (128, 32, 64, 8) if cores else (64, 32, 32, 8),
    }[kernel]
    # Products take powers of two, of 16 at least.
    fitting = (max(16, 1 << (size - 1).bit_length()) for size in (batch, inputs, columns))
    names = "ROWS", "INPUTS", "COLUMNS"
    sides = dict(zip(names, map(min, largest, fitting), strict=True))
    return {**sides, "num_warps": warps, "num_stages": 2}
