"""Interleaved medians: what is compared is measured in turn, so that both meet the same machine."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

# Consecutive steps of a turn, in seconds: training finds its own data in the caches.
TURN = 0.05


def interleaved(
    steps: Mapping[str, Callable[[], object]], seconds: float, device: str = "cpu"
) -> dict[str, float]:
    """Median time of each step, in seconds.

    Parameters
    ----------
    steps
        What to measure, by name; each in turn does a few steps, one turn at least.
    seconds
        Time to spend on all of them; each has three turns at least.
    device
        ``cpu`` counts the processor's time of this process, which other processes do not disturb;
        ``cuda`` counts time on the wall until the device is done.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter

    def turn(step: Callable[[], object], repeats: int) -> float:
        _wait(device)
        begin = clock()
        for _ in range(repeats):
            step()
        _wait(device)
        return (clock() - begin) / repeats

    repeats = {}
    for name, step in steps.items():
        step()
        repeats[name] = max(1, round(TURN / turn(step, 1)))
    times: dict[str, list[float]] = {name: [] for name in steps}
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or len(times[name]) < 3:
        for name, step in steps.items():
            times[name].append(turn(step, repeats[name]))
    return {name: median(values) for name, values in times.items()}


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


@dataclass
class Growth:
    """Bytes by which the peak of a process's memory has grown."""

    bytes: int = 0


@contextmanager
def growth() -> Iterator[Growth]:
    """Measure how far memory rises in a block above where it was; on Linux."""
    grown = Growth()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    yield grown
    grown.bytes = _status("VmHWM") - before


def _status(name: str) -> int:
    """Entry of this process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise ValueError(f"/proc/self/status has no {name}")
