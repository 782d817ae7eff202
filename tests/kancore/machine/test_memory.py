"""What a process may take of a machine's memory, by made-up files of the system."""

import subprocess
import sys
from pathlib import Path

import pytest

from kancore.machine.memory import BESIDE_MB, capacity_mb, peak_mb, resident_mb, usable_mb

MIB = 2**20
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")


@pytest.fixture
def system(tmp_path):
    """Make a system of 8 GiB, 6 of them free, whose process has 256 MiB, from further files."""

    def make(**files):
        files = {
            "proc/meminfo": f"MemTotal: {8 * MIB // 2**10 * 2**10} kB\nMemAvailable: {6 * MIB} kB",
            "proc/self/status": "Name: x\nVmRSS:\t 262144 kB",
            **{name.replace("__", "/"): text for name, text in files.items()},
        }
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(str(text))
        return tmp_path

    return make


def mb(mib):
    return int(mib * MIB / 1e6)


def test_without_limits_it_is_the_machines(system):
    root = system()
    assert capacity_mb(root, {}) == mb(8 * 1024)
    assert usable_mb(root, {}) == mb(6 * 1024 + 256)


def test_a_control_group_of_version_2_limits_and_so_do_those_above_it(system):
    group = "sys/fs/cgroup/jobs"
    root = system(
        **{
            "proc/self/cgroup": "0::/jobs/mine",
            f"{group}/memory.max": 3 * 1024 * MIB,
            f"{group}/memory.current": 1024 * MIB,
            f"{group}/memory.stat": f"anon 5\ninactive_file {512 * MIB}",
            f"{group}/mine/memory.max": "max",
        }
    )
    assert capacity_mb(root, {}) == mb(3 * 1024)
    assert usable_mb(root, {}) == mb(2.5 * 1024 + 256)


def test_a_control_group_of_version_1_limits_where_the_path_is_the_hosts(system):
    group = "sys/fs/cgroup/memory"
    root = system(
        **{
            "proc/self/cgroup": "5:cpu:/\n4:memory:/docker/abc\n0::/",
            f"{group}/memory.limit_in_bytes": 2 * 1024 * MIB,
            f"{group}/memory.usage_in_bytes": 512 * MIB,
            f"{group}/memory.stat": "total_inactive_file 0",
        }
    )
    assert capacity_mb(root, {}) == mb(2 * 1024)
    assert usable_mb(root, {}) == mb(1.5 * 1024 + 256)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_MEM_PER_NODE": "2048"}, 2048),
        ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "3"}, 3072),
        ({"SLURM_MEM_PER_NODE": "0"}, 8192),  # all of the node
    ],
)
def test_slurm_limits(environment, expected, system):
    assert capacity_mb(system(), environment) == mb(expected)
    # A process leaves room for those above it, where the machine has enough for it.
    assert usable_mb(system(), environment) == min(mb(expected) - BESIDE_MB, mb(6 * 1024 + 256))


def test_a_job_of_slurm_that_is_too_small_for_anything(system):
    assert usable_mb(system(), {"SLURM_MEM_PER_NODE": "100"}) == 0


@LINUX
def test_the_peak_is_that_of_the_process():
    import resource

    assert 0 < resident_mb() <= peak_mb()
    assert peak_mb() <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 + 1


LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
# MB of large pages that tensors of 64 MB take, and MB that stay when they are freed.
TENSORS = """
import torch
from kancore.machine.memory import keep_freed_memory, resident_mb
keep_freed_memory()
before = resident_mb(os.getpid())
tensors = [torch.ones(2**20) for _ in range(16)]
rollup = Path("/proc/self/smaps_rollup").read_text()
large = next(line for line in rollup.splitlines() if line.startswith("AnonHugePages"))
del tensors
print(int(large.split()[1]) / 1000, resident_mb(os.getpid()) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not LARGE_PAGES.exists() or "[never]" in LARGE_PAGES.read_text(),
    reason="the system gives no large pages",
)
def test_tensors_are_in_large_pages_and_what_is_freed_is_kept():
    program = f"import os\nfrom pathlib import Path\n{TENSORS}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    large, kept = map(float, done.stdout.split())
    assert large > 60
    assert kept > 60
    # Where a process may not reserve so much, as under a limit on addresses, nothing is asked for.
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
    done = subprocess.run([sys.executable, "-c", limit + program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[1]) > 60
