"""What the kernels take of a GPU's processors, as NVIDIA's assembler reports it, without a GPU."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any
from unittest.mock import patch

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

    def __getitem__(self, places: tuple) -> Any:
        def call(*arguments: Any, **named: Any) -> None:
            self.found = self._kernel.warmup(*arguments, grid=places, **named)

        return call


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
    kernel: str, layer: tuple, digits: str, capability: int, grid: tuple = GRID
) -> tuple[Any, str]:
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
    grid
        As for `kancore.layers.dense.product`.

    Returns
    -------
    tuple
        What Triton made, and the report of NVIDIA's assembler.
    """
    from kancore.layers import triton_kernels

    stack, batch, inputs, outputs, shared = layer
    with torch.device("meta"):
        x = torch.empty(*(() if shared else (stack,)), batch, inputs)
        coefficients = torch.empty(stack, inputs, grid[0] + grid[1], outputs)
        edges = Edges(coefficients, *torch.empty(2, stack, inputs, outputs))
        gradient = torch.empty(stack, batch, outputs)
    tensors = (x,) if kernel == "product" else (x, gradient)
    stand_in = _Compiled(getattr(triton_kernels, KERNELS[kernel]))
    with (
        _compiling_for(capability) as report,
        patch.object(triton_kernels, KERNELS[kernel], stand_in),
        patch.object(triton_kernels, "_sum_parts", _Compiled(triton_kernels._sum_parts)),
    ):
        getattr(triton_kernels, kernel)(*tensors, edges, "gelu", grid, digits)
    found = stand_in.found
    for part in report.getvalue().split("Compiling entry function '"):
        if part.startswith(f"{found.name}'"):
            _REPORTS[found.hash] = part
    return found, _REPORTS[found.hash]


def taken(kernel: str, layer: tuple, digits: str, capability: int) -> dict[str, int]:
    """Give the registers and the shared memory of `compiled`, and the programs that fit them."""
    made, report = compiled(kernel, layer, digits, capability)

    def number(pattern: str) -> int:
        match = re.search(pattern, report)
        assert match is not None, report
        return int(match[1])

    registers, shared = number(r"Used (\d+) registers"), made.metadata.shared
    warps = made.metadata.num_warps
    threads, memory = PROCESSORS[capability]
    by_registers = 65536 // (warps * (-(-32 * registers // 256) * 256))
    return {
        "registers": registers,
        "bytes spilled": number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        "bytes of stack": number(r"(\d+) bytes stack frame"),
        "bytes shared": shared,
        "programs a processor": min(
            by_registers, threads // (32 * warps), memory // (shared + _RESERVED)
        ),
    }


def registers(
    capabilities: Sequence[int] = (80, 86, 90, 100, 120),
    layers: Sequence[tuple] = LAYERS,
    precisions: Sequence[str] = tuple(PRECISIONS),
) -> Iterator[dict]:
    """Give a row for each GPU, kernel, layer and precision."""
    for capability in capabilities:
        for layer in layers:
            for kernel in KERNELS:
                if kernel == "input_gradient" and layer[-1]:
                    continue  # of a network's own inputs there is none
                for name in precisions:
                    stack, batch, inputs, outputs, shared = layer
                    yield {
                        "GPU": f"sm_{capability}",
                        "kernel": kernel,
                        "layer": f"{stack} x {inputs}-{outputs}{', shared' if shared else ''}",
                        "batch": batch,
                        "precision": PRECISIONS[name],
                        **taken(kernel, layer, PRECISIONS[name], capability),
                    }
