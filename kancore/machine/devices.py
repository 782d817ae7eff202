"""Which device a training job gets: a GPU of its own where there are any."""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from kancore.machine.locks import first_free


def visible_gpus() -> list[str]:
    """Give the names, numbers or UUIDs, of the GPUs that this process may use."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return listed.split(",")[:count] if listed else [str(number) for number in range(count)]


@contextmanager
def lease(device: str, check: Callable[[], object] = lambda: None) -> Iterator[torch.device]:
    """Hold a device that no other training job of this user on this machine has.

    Under Slurm that is the GPU that the job was given.

    Parameters
    ----------
    device
        ``cpu``, ``cuda``, or ``auto``: a GPU where there is one.
    check
        Called again and again while none is free; what it raises ends the wait.

    Yields
    ------
    torch.device
        The device. Waits until one is free.

    Raises
    ------
    ValueError
        If `device` is ``cuda`` and there is no GPU.
    """
    gpus = [] if device == "cpu" else visible_gpus()
    if not gpus:
        if device == "cuda":
            raise ValueError("device is cuda, but PyTorch finds no GPU here; expected cpu or auto")
        yield torch.device("cpu")
    elif "SLURM_JOB_ID" in os.environ:
        yield torch.device("cuda", 0)
    else:
        folder = _private_folder("gpus")
        files = [folder / gpu.replace("/", "-") for gpu in gpus]
        waiting = f"waiting for one of {len(gpus)} GPUs to be free"
        with first_free(files, waiting, check) as index:
            yield torch.device("cuda", index)


def _private_folder(name: str) -> Path:
    """Make a folder that only this user can enter, the same for all of this machine's processes.

    That in the temporary folder anybody may have made before, with anything in it; then there is
    one among the user's own files.

    Raises
    ------
    OSError
        If there can be none.
    """
    cache = os.path.expanduser(f"~/.cache/kancore/{name}-{platform.node()}")
    for folder in (Path(tempfile.gettempdir(), f"kancore-{name}-{os.getuid()}"), Path(cache)):
        with suppress(OSError):
            folder.mkdir(0o700, parents=True, exist_ok=True)
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(opened).st_uid == os.getuid():
                    os.fchmod(opened, 0o700)
                    return folder
            finally:
                os.close(opened)
    raise OSError("no folder for locks that is this user's alone, in TMPDIR or ~/.cache")


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor from the CPU's memory to a device, without waiting for what it is at."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
