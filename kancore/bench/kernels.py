"""A step of a sweep on a GPU by our kernels, and by what they replace, against the device's limits.

All ways do the same work, so their rates are of one count: the bytes that a step by the kernels has
to move at least, and the floating-point operations of its products (`kancore.bench.work`).
"""

from collections.abc import Callable, Iterator

import pandas as pd

from kancore.bench import ours, peers
from kancore.bench.measure import interleaved
from kancore.bench.work import dense_products, step_work
from kancore.schemes import OPTIMIZERS
from kancore.training.loop import Training
from kancore.training.resources import Shape

NETWORKS = (
    (784, 32, 10),
    (784, 128, 64, 32, 10),
    (784, 256, 10),
    (3072, 256, 10),
    (5000, 32, 2),
    (28, 256, 2),
)


def by_dense_products(step: Callable[[], None]) -> Callable[[], None]:
    """Let a step leave the kernels, each time."""

    def dense() -> None:
        with dense_products():
            step()

    return dense


def measured(batch: int, seconds: float, device: str) -> Iterator[dict]:
    """Give rows of a network and a way to train 27 of it: milliseconds, GB/s and TFLOP/s.

    Peers train one network after the other: nine steps of each optimizer.
    """
    for widths in NETWORKS:
        data = ours.inputs("normal", widths[0], widths[-1], batch)

        def begin(compiled: bool, widths=widths, data=data) -> Training:
            return ours.training("kan", widths, data, ours.ALL_SCHEMES, device, compiled)

        training = begin(False)
        step = ours.step_of(training)
        times = interleaved(
            {"kernels": step, "dense, eager": by_dense_products(step)}, seconds, device
        )
        # One after the other: to begin a training forgets what was compiled for the one before.
        step = ours.step_of(begin(True))
        times |= interleaved({"kernels, CUDA graphs": step}, seconds, device)
        step = by_dense_products(ours.step_of(begin(True)))
        times |= interleaved({"dense, torch.compile": step}, seconds, device)
        times |= _of_peer(widths, data, seconds, device)
        work = step_work(training.sweep, Shape(widths[0], widths[-1], batch, batch))
        for name, time in times.items():
            yield {
                "network": "-".join(map(str, widths)),
                "batch": batch,
                "by": name,
                "ms": 1000 * time,
                "GB/s": work.bytes / time / 1e9,
                "TFLOP/s": work.flops / time / 1e12,
                "kernels are faster by": time / times["kernels"],
            }


def _of_peer(widths, data, seconds: float, device: str) -> dict[str, float]:
    """Time of 27 separate steps of inkan, where it is installed."""
    build = peers.installed().get("inkan")
    if build is None:
        return {}
    data = data.to(device)
    x, y = data.standardize(data.x_train), data.y_train
    steps = {name: peers.step_of(build(widths).to(device), name, x, y) for name in OPTIMIZERS}
    return {"inkan, 27 steps": 9 * sum(interleaved(steps, seconds, device).values())}


def markdown(table: pd.DataFrame) -> str:
    """Write a table in Markdown, numbers with three digits."""

    def cell(value) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    rows = [map(cell, row) for row in table.itertuples(index=False)]
    lines = [table.columns, ["---"] * len(table.columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
