"""Tests are the same on every machine: on one thread, and without deadlines.

They are small, and threads that wait for each other slow them down. Processes share them, and the
long ones come first, so that all end together.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile(
    "any machine",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is not there
def pytest_xdist_auto_num_workers():
    """Two more than there are cores, as tests of clusters and of kills wait most of the time."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not {"slow", "slurm"} & {mark.name for mark in item.iter_markers()})
