"""Tests are the same on every machine: on one thread, and without deadlines.

They are small, and threads that wait for each other slow them down. Processes share them, and the
long ones come first, so that all end together.
"""

import os
from itertools import groupby, islice

import pytest
from hypothesis import HealthCheck, settings

from kancore.machine.memory import keep_freed_memory

keep_freed_memory()

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile(
    "any machine",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def subnormal_numbers():
    """Keep those of a test to it, where it has prepared this process as a job's is."""
    import torch  # not before the number of threads is set

    yield
    torch.set_flush_denormal(False)


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is not there
def pytest_xdist_auto_num_workers():
    """Two more than there are cores, as tests of clusters and of kills wait most of the time."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(config, items):
    """Long tests come first: those that mostly wait, for Slurm, then others that run snakemake.

    Of processes that share the tests, each gets as many in a row at first (``worksteal``), so these
    rows begin with long ones, a module's together.
    """

    def wait(item):
        names = {mark.name for mark in item.iter_markers()}
        return not {"slow", "slurm"} & names, "slurm" not in names, "workflow" not in names

    items.sort(key=wait)
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    long = [item for item in items if not wait(item)[0]]
    others = iter(items[len(long) :])
    first = [[] for _ in range(workers)]
    for number, (_, module) in enumerate(groupby(long, key=lambda item: item.path)):
        first[number % workers] += module
    dealt = []
    for place, row in enumerate(first):
        length = (len(items) - len(dealt)) // (workers - place)
        dealt += [*row, *islice(others, max(0, length - len(row)))]
    items[:] = [*dealt, *others]
