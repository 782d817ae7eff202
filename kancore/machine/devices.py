"""Which device a training job gets: a GPU of its own where there are any."""

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

from kancore.machine.locks import first_free
from kancore.machine.messages import first_line

# Share of a GPU's free memory that networks are planned into; the rest goes to libraries' own
# memory and to pieces between what is used.
PLANNED_SHARE = 0.9
# What a GPU raises that does not work; the last where it is another one of several.
_FAULTS = AssertionError, RuntimeError, torch.cuda.DeferredCudaCallError


def visible_gpus() -> list[str]:
    """Name the GPUs that this process may use, each by what is its own on this machine."""
    if not torch.cuda.is_available():
        return []
    count = torch.cuda.device_count()
    listed = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return [_name(number, listed[number : number + 1]) for number in range(count)]


def _name(number: int, listed: list[str]) -> str:
    """Name a GPU by its UUID: jobs of Slurm and of containers each have a number 0."""
    if listed and listed[0].startswith("MIG-"):  # a part, of which the whole has the UUID
        return listed[0]
    with suppress(AttributeError, *_FAULTS):
        return f"GPU-{torch.cuda.get_device_properties(number).uuid}"
    return listed[0] if listed and listed[0] else str(number)


def unable(device: torch.device) -> str | None:
    """Say why a device cannot multiply matrices; ``None`` if it can."""
    try:
        ones = torch.ones(16, 16, device=device)
        if float((ones @ ones).sum()) == 16**3:
            return None
    except _FAULTS as error:  # no kernels for it, an old driver, no memory
        return first_line(error)
    return "a product of matrices is wrong on it"


@cache
def cannot_compile(device: torch.device) -> str | None:
    """Say why `torch.compile` makes no programs for a device; ``None`` if it does."""
    try:
        torch.compile(lambda x: 2 * x + 1)(torch.ones(4, device=device))
    except Exception as error:  # of a compiler, of headers, of Triton: there are many kinds
        return first_line(error)
    return None


@contextmanager
def lease(device: str, check: Callable[[], object] = lambda: None) -> Iterator[torch.device]:
    """Hold a device that no other training job of this user on this machine has.

    Parameters
    ----------
    device
        ``cpu``, ``cuda``, or ``auto``: a GPU that works, where there is one; on standard error
        it says why it is the CPU where there is something else.
    check
        Called again and again while none is free; what it raises ends the wait.

    Yields
    ------
    torch.device
        The device. Waits until one is free.

    Raises
    ------
    ValueError
        If `device` is ``cuda`` and there is no GPU that works.
    """
    left = dict(enumerate([] if device == "cpu" else visible_gpus()))
    reasons = [] if left or device == "cpu" else list(_others())
    folder = _private_folder("gpus") if left else Path()
    while left:
        files = [folder / gpu.replace("/", "-") for gpu in left.values()]
        waiting = f"waiting for one of {len(left)} GPUs to be free"
        with first_free(files, waiting, check) as place:
            found = torch.device("cuda", list(left)[place])
            reason = unable(found)
            if reason is None:
                yield found
                return
        del left[found.index]
        reasons.append(f"{found}: {reason}")
    if device == "cuda":
        why = "; ".join(reasons) or "PyTorch finds no GPU here"
        raise ValueError(f"device is cuda, but {why}; expected cpu or auto")
    for reason in reasons:
        print(f"training on the CPU: {reason}", file=sys.stderr)
    yield torch.device("cpu")


def _others() -> Iterator[str]:
    """Say what there is beside CPUs that is not used."""
    if count := torch.cuda.device_count():  # which asks the driver, where PyTorch cannot use it
        yield (
            f"there are {count} GPUs that PyTorch cannot use; its CUDA, {torch.version.cuda}, may "
            "need a newer driver"
        )
    for name, there in (("mps", torch.backends.mps.is_available), ("xpu", torch.xpu.is_available)):
        if there():
            yield f"PyTorch has the device {name} here, which has not been tried with this project"


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


def free_bytes(gpu: torch.device) -> int:
    """Give the memory of a GPU that is free, or that PyTorch holds and does not use."""
    free, _ = torch.cuda.mem_get_info(gpu)
    return free + torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor from the CPU's memory to a device, without waiting for what it is at."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
