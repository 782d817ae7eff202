"""Memory of this process: what it may take, what it has taken, how it keeps what it has freed.

Run as a program, it waits for the process that started it, and tells if that one was killed.
"""

import ctypes
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Keep freed memory for the next allocation instead of giving it back to the system.

    Every training step frees and allocates the same tensors. Where the C library gives large ones
    back each time, the system clears every page anew, which takes longer than filling it. Does
    nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def capacity_mb(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """MB of memory that there are for all processes of this job, or else of this machine.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are.
    environment
        What Slurm says of its allocation.

    Returns
    -------
    int
        The least of the machine's memory, the limits of control groups and Slurm's allocation.
    """
    limits = [_machine_bytes(root, "MemTotal"), *(limit for limit, _ in _groups(root))]
    return int(min(*limits, _allocation(environment)) / 1e6)


def usable_mb(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """MB that this process may take in all: what it has, and what nobody else has taken.

    Parameters and what limits it are those of `capacity_mb`.
    """
    free = [limit - used for limit, used in _groups(root)]
    own = _status("VmRSS", root / "proc" / "self" / "status")
    there = min(_machine_bytes(root, "MemAvailable"), *free, float("inf")) + own * 1e6
    return int(min(there, _allocation(environment)) / 1e6)


def _machine_bytes(root: Path, name: str) -> float:
    """Read an entry of ``/proc/meminfo``; where there is none, all memory of the machine."""
    file = root / "proc" / "meminfo"
    if not file.is_file():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    entries = dict(line.split(":") for line in file.read_text().splitlines())
    return int(entries[name].split()[0]) * 1024


def _groups(root: Path) -> Iterator[tuple[float, float]]:
    """Limit and use, in bytes, of each control group above this process that has a limit."""
    file = root / "proc" / "self" / "cgroup"
    for line in file.read_text().splitlines() if file.is_file() else ():
        _, controllers, path = line.split(":", 2)
        mount = root / "sys" / "fs" / "cgroup"
        if controllers == "":
            names = "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            mount /= "memory"
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        folder = Path(path.lstrip("/"))
        # In a container the path may be one of the host; its own group is then the mount itself.
        for group in (mount / folder, *(mount / above for above in folder.parents)):
            yield from _group(group, *names)


def _group(group: Path, limit: str, usage: str, cache: str) -> Iterator[tuple[float, float]]:
    """Limit and use of one control group; files that it has read count as free."""
    try:
        most = (group / limit).read_text().strip()
        if most == "max" or int(most) >= 2**60:  # no limit, in either version
            return
        statistics = dict(map(str.split, (group / "memory.stat").read_text().splitlines()))
        yield int(most), int((group / usage).read_text()) - int(statistics.get(cache, 0))
    except OSError:
        return


def _allocation(environment: Mapping[str, str]) -> float:
    """Bytes that Slurm has allocated on this node; infinite where it has set no limit."""
    mb = int(environment.get("SLURM_MEM_PER_NODE", 0))  # 0 is all of the node
    if not mb:
        cpus = int(environment.get("SLURM_CPUS_ON_NODE", 1))
        mb = cpus * int(environment.get("SLURM_MEM_PER_CPU", 0))
    return mb * 2**20 or float("inf")


def _status(name: str, file: Path) -> float:
    """MB of an entry of a process's status; 0 where there is none."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name)), 0)


def peak_mb(process: int | str = "self") -> float:
    """MB that a process has had at most since it began; 0 where the system does not tell."""
    return _status("VmHWM:", Path("/proc", str(process), "status"))


@contextmanager
def last_words(limit_mb: int) -> Iterator[None]:
    """Let standard error end with a line on memory if this process is killed meanwhile.

    SIGKILL, with which a system that is out of memory ends a process, cannot be caught. So a small
    process waits for the end of this one, and writes the line.

    Parameters
    ----------
    limit_mb
        MB that this process may take.
    """
    waiting, alive = os.pipe()
    command = [sys.executable, "-S", __file__, str(os.getpid()), str(limit_mb)]
    # In a group of its own, which no signal for this one reaches.
    options: dict[str, Any] = {"stdin": waiting, "stdout": subprocess.DEVNULL, "process_group": 0}
    with subprocess.Popen(command, **options):
        os.close(waiting)
        try:
            yield
        finally:
            with suppress(BrokenPipeError):
                os.write(alive, b"ended")
            os.close(alive)


def _watch(process: int, limit_mb: int, seconds: float = 0.2) -> None:
    """Wait until standard input ends; without a word on it, its writer was killed."""
    peak = 0.0
    while not select.select([sys.stdin], [], [], seconds)[0]:
        peak = max(peak, peak_mb(process))
    if not os.read(sys.stdin.fileno(), 1):
        print(
            f"killed: its memory had reached {peak:,.0f} MB, of {limit_mb:,} MB that it might take",
            file=sys.stderr,
        )


if __name__ == "__main__":
    _watch(*map(int, sys.argv[1:]))
