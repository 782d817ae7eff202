"""The row of a sweep in the table of timings: all that differs between two machines."""

import os
import platform
import re
import sys
from pathlib import Path

import torch

import kancore
from kancore.machine.provenance import git_revision
from kancore.tables import sweep_key
from kancore.training.loop import Training


def timing(training: Training, threads: int, **origin: str) -> dict[str, object]:
    """Describe a sweep that has ended, in the columns of `kancore.tables.TIMINGS`.

    Parameters
    ----------
    training
        The sweep, trained to its end.
    threads
        Threads of the process.
    **origin
        Names of the study, of the experiment in it, and of the protocol.
    """
    state = training.state
    return {
        **origin,
        **sweep_key(training.sweep),
        "sweep": training.sweep.name,
        "parameters": state.network.num_parameters,
        "schemes": len(training.sweep.schemes),
        "steps": state.step,
        "epochs": state.step // training.steps_per_epoch,
        "seconds": state.clock.total,
        "training_seconds": state.clock.training,
        "evaluation_seconds": state.clock.evaluation,
        "resumes": state.clock.resumes,
        "device": _device_name(training.device),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "kancore": kancore.__version__,
        "git_revision": git_revision(),
    }


def _device_name(device: torch.device) -> str:
    """Name of the GPU, or of the processor with its cores, widest vectors and kernels."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = f"{_processor()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"
    # Not imported: the code of an MLP's job would then seem to hold the kernels of KANs.
    modules = (sys.modules.get(f"kancore.layers.{each}") for each in ("local_support", "products"))
    kernels = next(filter(None, modules), None)
    return f"{name}, kernels: {kernels.FORM}" if kernels else name


def _processor() -> str:
    """Model of the processor where the system tells it, else its kind."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return model[1] if model else platform.machine()
