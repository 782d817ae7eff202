"""What Slurm says of a job; it needs no more than the standard library."""

import os
import re
import subprocess
from collections.abc import Mapping

# Slurm's suffixes of sizes, in MiB.
_UNITS = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2}
# Seconds after which a controller counts as one that does not answer.
_PATIENCE = 30


def properties(number: str | None) -> dict[str, str]:
    """Ask for the properties of a job.

    Parameters
    ----------
    number
        Number of the job; ``None`` outside Slurm.

    Returns
    -------
    dict
        By the names of ``scontrol show job``; empty if there is no answer.
    """
    if not number:
        return {}
    try:
        shown = subprocess.run(
            ["scontrol", "show", "job", "--oneliner", number],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(re.findall(r"(\S+?)=(\S*)", shown))


def allocated_mb(environment: Mapping[str, str] = os.environ) -> float:
    """MB of memory that Slurm has given this job on this node.

    Parameters
    ----------
    environment
        Of this process. Where a step was started without them, as by Snakemake, it lacks the
        variables that tell it, and the controller is asked.

    Returns
    -------
    float
        Infinite where Slurm has set no limit, and outside Slurm.
    """
    by_cpu, by_node = environment.get("SLURM_MEM_PER_CPU"), environment.get("SLURM_MEM_PER_NODE")
    cpus = environment.get("SLURM_CPUS_ON_NODE", "1")
    if by_cpu is None and by_node is None:
        job = properties(environment.get("SLURM_JOB_ID"))
        by_cpu, by_node = job.get("MinMemoryCPU"), job.get("MinMemoryNode")
        cpus = job.get("NumCPUs", "1")
    mib = _mib(by_node) or int(cpus) * _mib(by_cpu)
    return mib * 2**20 / 1e6 or float("inf")  # 0 is all of the node


def _mib(size: str | None) -> float:
    """MiB of a size as Slurm writes it."""
    found = re.fullmatch(r"([\d.]+)([KMGT]?)", size or "0")
    return float(found[1]) * _UNITS[found[2]] if found else 0


def out_of_time(job: Mapping[str, str]) -> bool:
    """Whether a job has run for as long as it may, by its `properties`."""
    limit = _seconds(job.get("TimeLimit", ""))
    return limit is not None and (_seconds(job.get("RunTime", "")) or 0) >= limit


def _seconds(duration: str) -> int | None:
    """Seconds of a duration as Slurm writes it, ``[days-]hours:minutes:seconds``."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", duration)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    return ((24 * days + hours) * 60 + minutes) * 60 + seconds
