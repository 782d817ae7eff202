"""What the kernels take of a GPU's processors, as NVIDIA's assembler reports it, without a GPU."""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import product
from math import ceil, prod
from typing import Any
from unittest.mock import MagicMock, patch

import torch

from kancore.bench.on_gpu import GRID, LAYERS
from kancore.layers.dense import Edges
from kancore.layers.triton_operators import PRECISIONS

KERNELS = {
    "product": "_forward",
    "weight_gradient": "_weight_gradient",
    "input_gradient": "_input_gradient",
}
# Threads and bytes of shared memory of a processor, by compute capability (CUDA C++ Programming
# Guide, technical specifications); all have 65,536 registers, which a warp takes 256 at a time.
PROCESSORS = {
    75: (1024, 64 * 1024),
    80: (2048, 164 * 1024),
    86: (1536, 100 * 1024),
    90: (2048, 228 * 1024),
    100: (2048, 228 * 1024),
    120: (1536, 100 * 1024),
}
# Functions of an input beside the base activation.
SPLINES = GRID[0] + GRID[1]
OURS: Mapping[str, int] = {}
# Tilings to compare with ours: half the rows for half the warps, and for the gradient by weights
# the same tile for twice the warps.
OTHERS: dict[str, Mapping[str, int]] = {
    "product": {"ROWS": 64, "num_warps": 4},
    "weight_gradient": {"num_warps": 8},
    "input_gradient": {"ROWS": 64, "num_warps": 4},
}
# Bytes of shared memory that each program takes beside its own.
_RESERVED = 1024
# Reports of what was compiled: layers alike take one kernel, which Triton compiles once.
_REPORTS: dict[str, str] = {}


class _Driver:
    """Stands for the driver of a GPU, of which only the kind is known."""

    def __init__(self, capability: int):
        self._capability = capability

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self._capability, 32)

    def get_current_device(self) -> int:
        return self._capability  # kernels are kept by device

    def get_current_stream(self, device: int) -> int:
        return 0


class _Compiled:
    """Stands for a kernel: compiles it for what it is called with, and runs nothing."""

    def __init__(self, kernel: Any):
        self._kernel = kernel
        self.found: Any = None
        self.programs = 0
        self.named: dict[str, Any] = {}

    def __getitem__(self, places: tuple) -> Any:
        def call(*arguments: Any, **named: Any) -> None:
            self.found = self._kernel.warmup(*arguments, grid=places, **named)
            self.programs, self.named = prod(places), named

        return call


@dataclass
class Compilation:
    """A kernel for the layer of a sweep.

    Attributes
    ----------
    made
        What Triton made.
    report
        Of NVIDIA's assembler.
    programs
        How many there are.
    constants
        Named arguments of the kernel: its tiles among others.
    """

    made: Any
    report: str
    programs: int
    constants: dict[str, Any]


@contextmanager
def _compiling_for(capability: int) -> Iterator[StringIO]:
    """Let Triton compile for a GPU that need not be there; gives what the assembler reports."""
    from triton import knobs
    from triton.runtime.driver import driver

    before, report = driver._active, StringIO()
    driver.set_active(_Driver(capability))
    try:
        with knobs.compilation.scope(), knobs.nvidia.scope(), redirect_stdout(report):
            knobs.compilation.always_compile = True
            knobs.nvidia.dump_ptxas_log = True
            yield report
    finally:
        driver._active = before


def compiled(
    kernel: str, layer: tuple, digits: str, capability: int, tiling: Mapping[str, int] = OURS
) -> Compilation:
    """Compile a kernel for the layer of a sweep.

    Parameters
    ----------
    kernel
        One of `KERNELS`.
    layer
        One of `kancore.bench.on_gpu.LAYERS`, or like them.
    digits
        Precision of its products, a value of `PRECISIONS`.
    capability
        Compute capability of the GPU, as 90.
    tiling
        What differs from the tiles that `kancore.layers.tiles` chooses.
    """
    from kancore.layers import triton_kernels

    stack, batch, inputs, outputs, shared = layer
    with torch.device("meta"):
        x = torch.empty(*(() if shared else (stack,)), batch, inputs)
        coefficients = torch.empty(stack, inputs, SPLINES, outputs)
        edges = Edges(coefficients, *torch.empty(2, stack, inputs, outputs))
        gradient = torch.empty(stack, batch, outputs)
    tensors = (x,) if kernel == "product" else (x, gradient)
    stand_in = _Compiled(getattr(triton_kernels, KERNELS[kernel]))

    def chosen(*given: Any) -> tuple[dict[str, int], str]:
        tiles, precision = choose(*given)
        return {**tiles, **tiling}, precision

    choose = triton_kernels._chosen
    with (
        _compiling_for(capability) as report,
        patch.object(triton_kernels, "_chosen", chosen),
        patch.object(triton_kernels, KERNELS[kernel], stand_in),
        patch.object(triton_kernels, "_sum_parts", MagicMock()),  # which none is about
    ):
        getattr(triton_kernels, kernel)(*tensors, edges, "gelu", GRID, digits)
    found = stand_in.found
    if text := report.getvalue():
        _REPORTS[found.hash] = text
    return Compilation(found, _REPORTS[found.hash], stand_in.programs, stand_in.named)


# An instruction of a listing: its address, its name, and what it is given.
_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_]*)([^;]*);")
# Bytes of a loop that computes, at least: an instruction has 16.
_SHORTEST = 512
# Kinds of instructions by their names; all others are whole numbers, addresses, moves and waits.
_KINDS = {
    "tensor cores": r"\w*MMA",
    "float32": r"F(?!2I|LO|ENCE)\w+",
    "special functions": r"MUFU",
    "shared": r"LDS\w*|STS\w*|LDT\w*|STT\w*",
    "memory": r"LDG\w*|STG\w*",
}


def issued(kernel: str, layer: tuple, compilation: Compilation) -> dict[str, float]:
    """Count the instructions that processors issue for 1,000 multiplications of a layer.

    Each is one of a warp, for 32 threads, and takes a turn of a scheduler; a processor has four.
    Instructions of a loop count as often as it runs, and those that a branch may skip as if it did
    not. `_sum_parts` is left out.

    Parameters
    ----------
    kernel, layer
        As for `compiled`.
    compilation
        What that returned.

    Returns
    -------
    dict
        All, and those of each of `_KINDS`.

    Raises
    ------
    ValueError
        If the loops are not those of the kernel's source: the assembler has unrolled one.
    """
    from triton import knobs

    stack, batch, inputs, outputs, _ = layer
    sides = compilation.constants
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compilation.made.asm["cubin"])
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "-sass", file.name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    code = [(int(at, 16), name, rest) for at, name, rest in _INSTRUCTION.findall(listing)]
    loops = []
    for place, (at, name, rest) in enumerate(code):
        target = re.search(r"\b0x([0-9a-f]+)$", rest.strip())
        # Others wait for a barrier, of which those on Blackwell lie beyond the kernel's end.
        waits = any(before == "SYNCS" for _, before, _ in code[max(0, place - 4) : place])
        if name == "BRA" and target and int(target[1], 16) < at - _SHORTEST and not waits:
            loops.append((int(target[1], 16), at))
    # An outer loop before those within it.
    loops.sort(key=lambda loop: (loop[0], -loop[1]))
    part = ceil(sides.get("part_size", batch) / sides["ROWS"])
    # How often the body of each loop runs, those around it included.
    tiles, passes = ceil(inputs / sides["INPUTS"]), ceil(outputs / sides["COLUMNS"])
    times = {
        "product": [tiles, tiles * SPLINES],
        "weight_gradient": [part, SPLINES, SPLINES * part],
        "input_gradient": [passes, passes * SPLINES],
    }[kernel]
    if len(loops) != len(times):
        raise ValueError(f"{kernel} has loops at {loops}, expected {len(times)} of them")
    found: Counter[str] = Counter()
    for at, name, _ in code:
        runs = 1
        for (start, end), often in zip(loops, times, strict=True):
            if start <= at <= end:
                runs = often  # that of the innermost, which comes last
        kind = next((kind for kind, names in _KINDS.items() if re.fullmatch(names, name)), "")
        found.update({"all": runs, kind: runs})
    warps = compilation.programs * compilation.made.metadata.num_warps
    multiplications = stack * batch * inputs * (SPLINES + 1) * outputs
    return {kind: 1e3 * found[kind] * warps / multiplications for kind in ("all", *_KINDS)}


def taken(
    kernel: str, layer: tuple, digits: str, capability: int, tiling: Mapping[str, int] = OURS
) -> dict[str, float]:
    """Give what a program of `compiled` takes, the programs that fit, and what they issue."""
    compilation = compiled(kernel, layer, digits, capability, tiling)
    made, report = compilation.made, compilation.report

    def reported(pattern: str) -> int:
        match = re.search(pattern, report)
        assert match is not None, report
        return int(match[1])

    registers, shared = reported(r"Used (\d+) registers"), made.metadata.shared
    warps = made.metadata.num_warps
    counts = issued(kernel, layer, compilation)
    threads, memory = PROCESSORS[capability]
    by_registers = 65536 // (warps * (-(-32 * registers // 256) * 256))
    return {
        "registers": registers,
        "bytes spilled": reported(r"(\d+) bytes spill stores")
        + reported(r"(\d+) bytes spill loads"),
        "bytes of stack": reported(r"(\d+) bytes stack frame"),
        "bytes shared": shared,
        "programs a processor": min(
            by_registers, threads // (32 * warps), memory // (shared + _RESERVED)
        ),
        "warps a program": warps,
        **{f"issued, {kind}": number for kind, number in counts.items()},
    }


def registers(
    capabilities: Sequence[int] = (80, 86, 90, 100, 120),
    layers: Sequence[tuple] = LAYERS,
    precisions: Sequence[str] = tuple(PRECISIONS),
    others: bool = False,
) -> Iterator[dict]:
    """Give a row for each GPU, kernel, layer and precision; with `others` one for each tiling."""
    for capability in capabilities:
        for layer in layers:
            for kernel in KERNELS:
                if kernel == "input_gradient" and layer[-1]:
                    continue  # of a network's own inputs there is none
                for name, tiling in product(
                    precisions, (OURS, OTHERS[kernel]) if others else (OURS,)
                ):
                    stack, batch, inputs, outputs, shared = layer
                    row = {
                        "GPU": f"sm_{capability}",
                        "kernel": kernel,
                        "layer": f"{stack} x {inputs}-{outputs}{', shared' if shared else ''}",
                        "batch": batch,
                        "precision": PRECISIONS[name],
                    }
                    if others:
                        row["tiling"] = ", ".join(f"{k} {v}" for k, v in tiling.items()) or "ours"
                    yield row | taken(kernel, layer, PRECISIONS[name], capability, tiling)
