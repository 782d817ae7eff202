"""Estimate how long a study takes on a GPU, from the work of its steps; no GPU is needed.

One training step of each sweep runs on PyTorch's meta device, which computes shapes only: by the
kernels of `kancore.layers.triton_kernels`, and by the dense products that they replace. Each
operation that a GPU would run counts as a launch, with the bytes that it reads and writes and, if
it is a product, its floating-point operations. It takes as long as the slower of the two. A kernel
also takes the operations that evaluate splines, which are added to those of its products, and what
its tiles read again from the cache. A step takes as long as its operations on the device, and no
less than the host takes to launch them. The factorizations and solves of the HSIC bottleneck count
their operations in float32; that each column of them waits for the one before does not count, so
of that objective the time is a lower limit.

These are figures of a model, not measured.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from math import ceil, prod
from pathlib import Path

import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from kancore import networks, objectives
from kancore.layers import on_chip
from kancore.layers.dense import Edges, Grid
from kancore.layers.tiles import tiles as tiles_of
from kancore.schemes import Sweep, Trained
from kancore.studies.config import resolve
from kancore.training.optimizers import StackedOptimizer
from kancore.training.resources import Shape, shape

# Seconds between the end of an operation and the start of the next, already launched.
_GAP = 1.5e-6

# Operations that move nothing: views, and memory that is not filled.
_NO_WORK = {
    *("view", "_unsafe_view", "expand", "transpose", "t", "permute", "slice", "select", "split"),
    *("unsqueeze", "squeeze", "as_strided", "detach", "alias", "lift_fresh", "empty", "empty_like"),
    *("split_with_sizes", "new_empty", "empty_strided", "_reshape_alias"),
}


def _factorization(shape: Sequence[int], *_, **__) -> int:
    """Operations of Cholesky factorizations, of matrices ``[..., m, m]``."""
    return prod(shape[:-2]) * shape[-1] ** 3 // 3


def _solves(right: Sequence[int], factor: Sequence[int], *_, **__) -> int:
    """Operations of solving by a Cholesky factor, two triangles, for ``[..., m, columns]``."""
    return 2 * prod(right) * factor[-1]


def _inverse(factor: Sequence[int], *_, **__) -> int:
    """Operations of inverting by a Cholesky factor, for ``[..., m, m]``."""
    return 2 * prod(factor[:-2]) * factor[-1] ** 3 // 3


# What PyTorch's counter does not know. None of it is of products, so it stays in float32; one
# triangle of as many rows as there are classes is left out.
_ALGEBRA = {
    torch.ops.aten.linalg_cholesky_ex: _factorization,
    torch.ops.aten.cholesky_solve: _solves,
    torch.ops.aten.cholesky_inverse: _inverse,
}


@dataclass(frozen=True)
class Device:
    """What a GPU does, of which operations reach a share.

    Attributes
    ----------
    name : str
        Its name.
    bandwidth : float
        Bytes a second.
    float32, tf32 : float
        Floating-point operations a second of products.
    cache : float
        Bytes a second from the cache that all processors share.
    launch : float
        Seconds between two operations at least.
    kernel : float
        The same for kernels of Triton, whose operators are launched from Python.
    share : float
        Share of bandwidth and operations that is reached.
    """

    name: str
    bandwidth: float
    float32: float
    tf32: float
    cache: float
    launch: float = 5e-6
    kernel: float = 60e-6
    share: float = 0.6

    def rate(self, precision: str) -> float:
        """Floating-point operations a second of products, whose precision Triton has a name for."""
        return {"ieee": self.float32, "tf32": self.tf32, "bf16": 2 * self.tf32}[precision]


# From its data sheet: the SXM form, dense products. The cache's bandwidth is what others measured.
H100 = Device("H100 SXM", 3.35e12, 67e12, 494e12, 5.5e12)


@dataclass
class Work:
    """Operations of a step: launches, bytes moved, floating-point operations of products, seconds.

    `device` are the seconds that the device takes, as it does with CUDA graphs, and `host` those
    that the host takes to launch its operations one by one.
    """

    launches: int = 0
    bytes: int = 0
    flops: int = 0
    device: float = 0.0
    host: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of a step that is launched one by one."""
        return max(self.device, self.host)


class _Count(TorchDispatchMode):
    """Adds the work of each operation to `work`."""

    def __init__(self, device: Device, tf32: bool):
        super().__init__()
        self.work, self._device = Work(), device
        self._precision = "tf32" if tf32 else "ieee"
        self._rate = device.rate(self._precision)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name.startswith("_fused"):  # has no meta form: reads all, writes all but gradients
            self._add(2 * sum(_sizes(args)) - sum(_sizes(args[1])), 0, 0.0, self._device.launch)
            return None
        if name.startswith("ka_"):
            result = function(*args)
            kernel = _kernel(name, args, self._precision)
            moved = sum(_sizes((*args, result)))
            self._add(moved, kernel.flops, kernel.seconds(self._device), self._device.kernel)
            return result
        with FlopCounterMode(display=False, custom_mapping=_ALGEBRA) as counter:
            result = function(*args, **(kwargs or {}))
        if name not in _NO_WORK:
            flops = counter.get_total_flops()
            rate = self._device.float32 if function.overloadpacket in _ALGEBRA else self._rate
            moved = sum(_sizes((*args, result)))
            self._add(moved, flops, flops / rate, self._device.launch)
        return result

    def _add(self, moved: int, flops: int, computing: float, host: float) -> None:
        seconds = max(moved / self._device.bandwidth, computing) / self._device.share
        self.work.launches += 1
        self.work.bytes += moved
        self.work.flops += flops
        # Between two operations the device waits for its own start of the next, graph or not.
        self.work.device += seconds + _GAP
        self.work.host += host


@dataclass
class _Kernel:
    """Work of a kernel: products, the same with what fills its tiles, formulas, cached bytes."""

    flops: int
    multiplied: int
    evaluated: int
    cached: int
    precision: str

    def seconds(self, device: Device) -> float:
        """Seconds that it takes at the device's full rates, but for what it moves to memory."""
        # One instruction a value and step of a formula; a multiplication and addition is two.
        products = self.multiplied / device.rate(self.precision)
        formulas = 2 * self.evaluated / device.float32
        return max(products + formulas, self.cached / device.cache)


def _kernel(name: str, args: tuple, precision: str) -> _Kernel:
    """Count the work of an operator of `kancore.layers.triton_operators`."""
    *_, x, coefficients, base, scale, _, _, degree, _, _ = args
    stack, inputs, outputs = base.shape
    batch, splines = x.shape[-2], coefficients.shape[2]
    kernel = name.removeprefix("ka_")
    apart = x.dim() == 3 or kernel == "input_gradient"
    networks, columns = (stack, outputs) if apart else (1, stack * outputs)
    sides = tiles_of(kernel, batch, inputs, columns, outputs, precision)
    tiles = networks * ceil(columns / sides["COLUMNS"])
    functions = batch * inputs * (splines + 1)
    # The inner piece, the outer ones, the distance, the choice of a piece; of slopes the sign, too.
    formula = 4 + degree + degree // 2 * (degree + 3)
    if kernel == "weight_gradient":
        # Inputs and gradients of a batch, for each tile of weights and two of its functions.
        passes = ceil(inputs / sides["INPUTS"]) * (1 + ceil(splines / 2))
        cached = tiles * passes * batch * 4 * (sides["INPUTS"] + sides["COLUMNS"])
    else:
        weights = sum(_sizes((coefficients, base, scale)))
        cached = ceil(batch / sides["ROWS"]) * weights + tiles * batch * inputs * 4
        formula += 4 * (kernel == "input_gradient")
    return _Kernel(
        2 * stack * outputs * functions,
        2 * tiles * sides["COLUMNS"] * functions,
        tiles * functions * formula,
        cached,
        precision,
    )


def kernel_seconds(
    name: str, x: torch.Tensor, edges: Edges, grid: Grid, precision: str, device: Device = H100
) -> float:
    """Seconds that a kernel of `kancore.layers.triton_kernels` takes by the model."""
    args = x, *edges, "", grid[0], grid[1], *grid[2]
    moved = sum(_sizes(args))
    return (
        max(_kernel(name, args, precision).seconds(device), moved / device.bandwidth) / device.share
    )


def _sizes(values: Iterable) -> Iterable[int]:
    """Bytes of all tensors in nested sequences."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value.numel() * value.element_size()
        elif isinstance(value, list | tuple):
            yield from _sizes(value)


@contextmanager
def dense_products() -> Iterator[None]:
    """Let layers leave the kernels, on a GPU, and multiply all functions of their inputs."""
    on_chip.ENABLED = False
    try:
        yield
    finally:
        on_chip.ENABLED = True


def step_work(sweep: Trained, size: Shape, device: Device = H100, tf32: bool = True) -> Work:
    """Count the work of one training step of a sweep.

    Parameters
    ----------
    sweep
        What trains.
    size
        Size of its data set.
    device
        Where.
    tf32
        Whether products are in TensorFloat-32.
    """
    schemes, batch = sweep.schemes, min(sweep.batch_size, size.train)
    network = networks.build(sweep.architecture, size.features, size.classes, len(schemes))
    network.to("meta")
    optimizer = StackedOptimizer(list(network.parameters()), schemes)
    x = torch.empty(batch, size.features, device="meta")
    y = torch.empty(batch, dtype=torch.int64, device="meta")
    losses = import_module(objectives.MODULES[sweep.objective]).losses
    with _Count(device, tf32) as count:
        loss = losses(network, x, y, sweep)
        optimizer.step(torch.autograd.grad(loss.sum(), optimizer.parameters))
    return count.work


def steps(sweep: Sweep, size: Shape) -> float:
    """Count the steps of a sweep, and its evaluations as the steps that would take as long.

    An evaluation's forward pass over all examples takes a third of their training.
    """
    batch = min(sweep.batch_size, size.train)
    evaluations = -(-sweep.epochs // sweep.evaluate_every)
    examples = evaluations * (size.train + size.test) / 3
    return sweep.epochs * (size.train // batch) + examples / batch


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m kancore.bench.estimate", description=__doc__)
    parser.add_argument("--config", type=Path, default="config.yaml", help="configuration")
    parser.add_argument("--study", default="paper", help="name of the study")
    parser.add_argument("--float32", action="store_true", help="products in float32, not TF32")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text()) | {"study": args.study}
    study = resolve(config)
    print(f"{H100.name}: a model, not measured")
    print(f"products in {'float32' if args.float32 else 'TF32'}; one seed")
    print("| data set | objective | architecture | launches | GB | TFLOP | ms ", end="")
    print("| dense: launches | GB | ms |")
    print("|---" * 10 + "|")
    totals: dict[tuple[str, str], list[float]] = {}
    for sweep in study.sweeps():
        if sweep.seed != study.settings["seeds"][0]:
            continue
        size = shape(sweep.dataset, study.settings["data"])
        work = step_work(sweep, size, tf32=not args.float32)
        with dense_products():
            before = step_work(sweep, size, tf32=not args.float32)
        count = steps(sweep, size)
        found = [count * seconds for seconds in (work.seconds, work.device, before.seconds)]
        for name in (sweep.architecture.model, "all"):
            total = totals.setdefault((sweep.objective, name), [0.0] * 3)
            total[:] = map(sum, zip(total, found, strict=True))
        print(
            f"| {sweep.dataset} | {sweep.objective} | {sweep.architecture.name} | {work.launches} "
            f"| {work.bytes / 1e9:.2f} | {work.flops / 1e12:.3f} | {work.seconds * 1e3:.2f} | "
            f"{before.launches} | {before.bytes / 1e9:.2f} | {before.seconds * 1e3:.2f} |"
        )
    for (objective, name), seconds in totals.items():
        kernels, graphs, dense = (f"{value / 60:.1f}" for value in seconds)
        print(f"{objective}, {name}: {kernels} minutes, ", end="")
        print(f"{graphs} in CUDA graphs; by dense products {dense}")


if __name__ == "__main__":
    main()
