"""Estimate how long a study takes on a GPU, from the work of its steps; no GPU is needed.

One training step of each sweep runs on PyTorch's meta device, which computes shapes only. Each
operation that a GPU would run counts as a launch, with the bytes that it reads and writes and, if
it is a product, its floating-point operations. It takes as long as the slower of the two, and no
less than a launch.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from kancore import networks
from kancore.config import resolve
from kancore.objectives.backprop import cross_entropy
from kancore.optimizers import StackedOptimizer
from kancore.resources import Shape, shape
from kancore.schemes import Sweep

# Operations that move nothing: views, and memory that is not filled.
_NO_WORK = {
    *("view", "_unsafe_view", "expand", "transpose", "t", "permute", "slice", "select", "split"),
    *("unsqueeze", "squeeze", "as_strided", "detach", "alias", "lift_fresh", "empty", "empty_like"),
    *("split_with_sizes", "new_empty", "empty_strided", "_reshape_alias"),
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
    launch : float
        Seconds between two operations at least.
    share : float
        Share of bandwidth and operations that is reached.
    """

    name: str
    bandwidth: float
    float32: float
    tf32: float
    launch: float = 5e-6
    share: float = 0.6


# From its data sheet: the SXM form, dense products.
H100 = Device("H100 SXM", 3.35e12, 67e12, 494e12)


@dataclass
class Work:
    """Operations of a step: launches, bytes moved, floating-point operations, and seconds."""

    launches: int = 0
    bytes: int = 0
    flops: int = 0
    seconds: float = 0.0


class _Count(TorchDispatchMode):
    """Adds the work of each operation to `work`."""

    def __init__(self, device: Device, rate: float):
        super().__init__()
        self.work, self._device, self._rate = Work(), device, rate

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name.startswith("_fused"):  # has no meta form: reads all, writes all but gradients
            self._add(2 * sum(_sizes(args)) - sum(_sizes(args[1])), 0)
            return None
        with FlopCounterMode(display=False) as counter:
            result = function(*args, **(kwargs or {}))
        if name not in _NO_WORK:
            self._add(sum(_sizes((*args, result))), counter.get_total_flops())
        return result

    def _add(self, moved: int, flops: int) -> None:
        reached = self._device.share
        seconds = max(moved / self._device.bandwidth, flops / self._rate) / reached
        self.work.launches += 1
        self.work.bytes += moved
        self.work.flops += flops
        self.work.seconds += max(seconds, self._device.launch)


def _sizes(values: Iterable) -> Iterable[int]:
    """Bytes of all tensors in nested sequences."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value.numel() * value.element_size()
        elif isinstance(value, list | tuple):
            yield from _sizes(value)


def step_work(sweep: Sweep, size: Shape, device: Device = H100, tf32: bool = True) -> Work:
    """Count the work of one training step of a sweep by backpropagation.

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
    with _Count(device, device.tf32 if tf32 else device.float32) as count:
        loss = cross_entropy(network(x), y)
        optimizer.step(torch.autograd.grad(loss.sum(), optimizer.parameters))
    return count.work


def sweep_seconds(sweep: Sweep, size: Shape, device: Device = H100, tf32: bool = True) -> float:
    """Estimate the training and the evaluations of a sweep, in seconds.

    An evaluation's forward pass over all examples takes a third of their training.
    """
    work = step_work(sweep, size, device, tf32)
    batch = min(sweep.batch_size, size.train)
    steps = sweep.epochs * (size.train // batch)
    evaluations = -(-sweep.epochs // sweep.evaluate_every)
    return work.seconds * (steps + evaluations * (size.train + size.test) / batch / 3)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m kancore.bench.estimate", description=__doc__)
    parser.add_argument("--config", type=Path, default="config.yaml", help="configuration")
    parser.add_argument("--schema", type=Path, default="schemas/config.schema.yaml")
    parser.add_argument("--study", default="paper", help="name of the study")
    parser.add_argument("--float32", action="store_true", help="products in float32, not TF32")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text()) | {"study": args.study}
    study = resolve(config, yaml.safe_load(args.schema.read_text()))
    print(f"{H100.name}; {'float32' if args.float32 else 'TF32'}; backpropagation only")
    print("data set       architecture             launches  GB/step  GFLOP/step  ms/step  minutes")
    total = 0.0
    for sweep in study.sweeps():
        if sweep.objective != "backprop":
            continue
        size = shape(sweep.dataset, study.settings["data"])
        seconds = sweep_seconds(sweep, size, tf32=not args.float32)
        total += seconds
        if sweep.seed == study.settings["seeds"][0]:
            work = step_work(sweep, size, tf32=not args.float32)
            print(
                f"{sweep.dataset:14} {sweep.architecture.name[:24]:24} {work.launches:8} "
                f"{work.bytes / 1e9:8.2f} {work.flops / 1e9:11.0f} {work.seconds * 1e3:8.2f} "
                f"{seconds / 60:8.2f}"
            )
    print(f"all seeds: {total / 3600:.2f} hours")


if __name__ == "__main__":
    main()
