"""The row of a training job in the table of timings: all that differs between two machines."""

import platform

import torch

import kancore
from kancore.provenance import git_revision
from kancore.training import Training


def timing(training: Training, study: str, threads: int) -> dict[str, object]:
    """Describe a job that has ended, in the columns of `kancore.tables.TIMINGS`.

    Parameters
    ----------
    training
        The sweep, trained to its end.
    study
        Name of the study.
    threads
        Threads of the process.
    """
    clock, step = training.state.clock, training.state.step
    return {
        "study": study,
        "sweep": training.sweep.name,
        "schemes": len(training.sweep.schemes),
        "steps": step,
        "epochs": step // training.steps_per_epoch,
        "seconds": clock.total,
        "training_seconds": clock.training,
        "evaluation_seconds": clock.evaluation,
        "resumes": clock.resumes,
        "device": _device_name(training.device),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "kancore": kancore.__version__,
        "git_revision": git_revision(),
    }


def _device_name(device: torch.device) -> str:
    """Name of the GPU, or the CPU's kind and widest vectors."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
