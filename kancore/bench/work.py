"""Count the work of a training step: its operations, the bytes they move, and their products.

The step runs on PyTorch's meta device, which computes shapes only, by the operators of
`kancore.layers.triton_operators` or the dense products that they replace. Each operation counts
with the bytes that it has to read and write, and its products with their floating-point operations;
how an operator goes about it does not count.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from math import prod

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from kancore import networks, objectives
from kancore.layers import on_chip
from kancore.schemes import Trained
from kancore.training.optimizers import StackedOptimizer
from kancore.training.resources import Shape

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


# What PyTorch's counter does not know. One triangle of as many rows as there are classes is left
# out.
_ALGEBRA = {
    torch.ops.aten.linalg_cholesky_ex: _factorization,
    torch.ops.aten.cholesky_solve: _solves,
    torch.ops.aten.cholesky_inverse: _inverse,
}


@dataclass
class Work:
    """Operations of a step: launches, bytes moved, floating-point operations of products."""

    launches: int = 0
    bytes: int = 0
    flops: int = 0


class _Count(TorchDispatchMode):
    """Adds the work of each operation to `work`."""

    def __init__(self):
        super().__init__()
        self.work = Work()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name.startswith("_fused"):  # has no meta form: reads all, writes all but gradients
            self._add(2 * sum(_sizes(args)) - sum(_sizes(args[1])), 0)
            return None
        if name.startswith("ka_"):
            result = function(*args)
            self._add(sum(_sizes((*args, result))), _products(args))
            return result
        with FlopCounterMode(display=False, custom_mapping=_ALGEBRA) as counter:
            result = function(*args, **(kwargs or {}))
        if name not in _NO_WORK:
            self._add(sum(_sizes((*args, result))), counter.get_total_flops())
        return result

    def _add(self, moved: int, flops: int) -> None:
        self.work.launches += 1
        self.work.bytes += moved
        self.work.flops += flops


def _products(args: tuple) -> int:
    """Operations of the products of an operator of `kancore.layers.triton_operators`."""
    *_, x, coefficients, base, _, _, _, _, _, _, _ = args
    return 2 * x.shape[-2] * (coefficients.numel() + base.numel())


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
    before, on_chip.ENABLED = on_chip.ENABLED, False
    try:
        yield
    finally:
        on_chip.ENABLED = before


def step_work(sweep: Trained, size: Shape) -> Work:
    """Count the work of one training step of a sweep, on so much data."""
    schemes, batch = sweep.schemes, min(sweep.batch_size, size.train)
    network = networks.build(sweep.architecture, size.features, size.classes, len(schemes))
    network.to("meta")
    optimizer = StackedOptimizer(list(network.parameters()), schemes)
    x = torch.empty(batch, size.features, device="meta")
    y = torch.empty(batch, dtype=torch.int64, device="meta")
    losses = import_module(objectives.MODULES[sweep.objective]).losses
    with _Count() as count:
        loss = losses(network, x, y, sweep)
        optimizer.step(torch.autograd.grad(loss.sum(), optimizer.parameters))
    return count.work
