"""A CPU that reports as a GPU: what is made on ``cuda`` lies on the CPU, kernels are interpreted.

With ``-p tests.pretended_gpu`` the tests of a GPU, and with `pretend` the benchmark and programs of
jobs, run to their end without one. `torch.device` stays what it is, so that all decisions are
those of a GPU. What only a GPU can tell is left out: whether kernels compile, how long they take,
what memory they need, and whether the host waits. Layers take the dense product, since training in
Triton's interpreter would take minutes.
"""

import os
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")  # as for all tests, before PyTorch is imported

import torch
from torch.overrides import TorchFunctionMode

MEMORY = 80 * 10**9
# Tests that are not rehearsed, and why.
ONLY_A_GPU = {
    "test_what_does_not_fit_is_trained_in_halves": "a GPU's allocator runs out of memory",
    "test_two_processes_have_a_gpu_in_turn": "both of its processes ask for a GPU",
    "test_steps_are_those_of_a_cpu": "its reference is the CPU's kernels, which are hidden",
    "test_the_operators_are_what_pytorch_expects_of_operators": "PyTorch asks the device's state",
}


def _placed(value):
    """Put what names a GPU, or lies on one, on the CPU."""
    if isinstance(value, torch.device) and value.type == "cuda":
        return torch.device("cpu")
    if isinstance(value, str) and value.split(":")[0] == "cuda":
        return "cpu"
    return value


class _OnTheCpu(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.device:  # what decisions go by
            return function(*args, **(kwargs or {}))
        if function is torch.Tensor.pin_memory:
            return args[0]
        if function is torch.Tensor.cuda:
            return args[0].clone()
        named = {key: _placed(value) for key, value in (kwargs or {}).items()}
        return function(*map(_placed, args), **named)


class _Event:
    """As `torch.cuda.Event`, where all is done at once."""

    def __init__(self, **_):
        self.at = 0.0

    def record(self):
        import time

        self.at = time.perf_counter()

    def elapsed_time(self, end):
        return 1e3 * (end.at - self.at)

    def synchronize(self):
        """All is done."""


@contextmanager
def pretend():
    """Let a block, and no other thread, find a GPU."""
    nothing = lambda *_, **__: None  # noqa: E731
    properties = SimpleNamespace(total_memory=MEMORY, multi_processor_count=132, major=9, minor=0)
    replaced = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "synchronize": nothing,
        "empty_cache": nothing,
        "set_sync_debug_mode": nothing,
        "reset_peak_memory_stats": nothing,
        "set_per_process_memory_fraction": nothing,
        "max_memory_allocated": lambda *_: 10**9,
        "memory_reserved": lambda *_: 10**9,
        "mem_get_info": lambda *_: (MEMORY // 2, MEMORY),
        "get_device_properties": lambda *_: properties,
        "get_device_capability": lambda *_: (9, 0),
        "get_device_name": lambda *_: "a CPU that reports as a GPU",
        "default_generators": (torch.default_generator,),
        "Event": _Event,
    }
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch.object(torch.cuda, name, value))
        stream = SimpleNamespace(is_capturing=lambda: False)
        stack.enter_context(patch.object(torch.accelerator, "current_stream", lambda: stream))
        stack.enter_context(patch.object(torch, "compile", lambda function, **_: function))
        from kancore.layers import local_support, on_chip, products

        stack.enter_context(patch.object(on_chip, "ENABLED", False))
        for module in (local_support, products):  # on a GPU there are none of these
            stack.enter_context(patch.object(module, "LIBRARY", None))
        stack.enter_context(_OnTheCpu())
        yield


def pytest_configure(config):
    config.stash["pretended"] = ExitStack()
    config.stash["pretended"].enter_context(pretend())


def pytest_unconfigure(config):
    config.stash["pretended"].close()


def pytest_collection_modifyitems(items):
    """Leave out what only a GPU can run, and the cases that test_triton.py runs but one of each."""
    left, seen = [], set()
    for item in items:
        again = item.function.__module__ == "kernel_checks" and item.originalname in seen
        if item.originalname not in ONLY_A_GPU and not again:
            left.append(item)
        seen.add(item.originalname)
    items[:] = left
