"""Memory of this process: what it may take, what it has taken, how it keeps what it has freed."""

import ctypes
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from kancore.machine import slurm

# MB of the other processes of a job on a cluster: two snakemakes of 185 MB, srun, shells, and what
# watches the job. They count where Slurm adds up what all processes of a job have.
BESIDE_MB = 450
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Keep freed memory for the next allocation, in large pages, and give none to the system.

    Every training step frees and allocates the same tensors. Where the C library gives large ones
    back each time, the system clears every page anew, which takes longer than filling it. And a
    step reads more memory than pages of 4 kB have entries in a processor's tables, above all in a
    virtual machine; many systems give larger ones only where they are asked to. To be called before
    there are tensors; does nothing where the C library is not glibc.
    """
    library = ctypes.CDLL(None)
    mallopt = getattr(library, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
        _ask_for_large_pages(library)


def _ask_for_large_pages(library: ctypes.CDLL) -> None:
    """Reserve the heap that may be needed, all of it to come in large pages, and leave it free.

    What is reserved takes no memory until it is written to.
    """
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.free.argtypes = [ctypes.c_void_p]
    size = usable_mb() * 10**6
    start = library.malloc(size)
    if start is None:  # where no process may reserve so much
        return
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    library.madvise(first, start + size - first, mmap.MADV_HUGEPAGE)
    library.free(start)


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
    return int(min(min(limits) / 1e6, slurm.allocated_mb(environment)))


def usable_mb(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """MB that this process may take in all: what it has, and what nobody else has taken.

    Parameters and what limits it are those of `capacity_mb`.
    """
    free = [limit - used for limit, used in _groups(root)]
    own = _status("VmRSS", root / "proc" / "self" / "status")
    there = min(_machine_bytes(root, "MemAvailable"), *free, float("inf")) + own * 1e6
    return max(0, int(min(there / 1e6, slurm.allocated_mb(environment) - BESIDE_MB)))


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


def resident_mb(process: int | str = "self") -> float:
    """MB that a process has now; 0 where the system does not tell."""
    return _status("VmRSS:", Path("/proc", str(process), "status"))
