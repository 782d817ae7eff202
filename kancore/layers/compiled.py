"""Compiled kernels for the CPU: their libraries, and the updates of weights that they do.

The source beside a module, ``<module>_cpp``, is compiled, where there is a compiler, when the
package is installed: once for each width of vectors, of which this processor's widest is loaded.
What all kernels share is beside this module.
"""

import ctypes
import importlib.machinery
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from kancore.machine.cpp import source_digest

# Compiled forms, widest first, by what PyTorch calls the processors that can run them.
FORMS = {"AVX512": ("avx512", "avx2", "generic"), "AVX2": ("avx2", "generic")}
# In the order of their numbers in the source.
OPTIMIZERS = ("sgd", "sgd_momentum", "adam")
_HERE = Path(__file__).parent

# A layer's parameters, or what belongs to them, such as gradients; null where there is none.
Pointers = ctypes.c_void_p * 3


class Update(ctypes.Structure):
    """How one network's parameters are updated; mirrors that of ``updates.h``."""

    _fields_ = (
        ("optimizer", ctypes.c_int32),
        *(
            (name, ctypes.c_float)
            for name in ("rate", "momentum", "second_momentum", "epsilon", "decay")
        ),
        ("first", Pointers),
        ("second", Pointers),
    )


def source_files(module: str) -> list[Path]:
    """Give the files that a module's kernels are compiled from."""
    folders = (_HERE / f"{each}_cpp" for each in ("compiled", module))
    return [file for folder in folders for file in sorted(folder.iterdir())]


def load(module: str, form: str) -> ctypes.CDLL:
    """Load one compiled form of a module's kernels, whether or not this processor can run it.

    Raises
    ------
    OSError
        If it is not there, or was compiled from another version of its source.
    """
    path = _HERE / f"_{module}_{form}{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    if not path.is_file():
        raise OSError("not compiled at installation")
    library = ctypes.CDLL(str(path))
    library.kancore_source.restype = ctypes.c_char_p
    if library.kancore_source().decode() != source_digest(source_files(module)):
        raise OSError("compiled from another version of its source: install the package again")
    return library


def widest(load_form: Callable[[str], ctypes.CDLL]) -> tuple[ctypes.CDLL | None, str]:
    """Load the widest form that this processor runs.

    Parameters
    ----------
    load_form
        Loads a form, as `load` does.

    Returns
    -------
    library : ctypes.CDLL or None
        ``None`` where there is none.
    form : str
        Its name, or why there is none, for people to read.
    """
    for form in FORMS.get(torch.backends.cpu.get_cpu_capability(), ("generic",)):
        try:
            return load_form(form), form
        except OSError as error:
            reason = str(error)
    return None, f"none ({reason})"


def pointer(tensor: Tensor | None) -> int | None:
    """Address of a tensor's numbers."""
    return None if tensor is None else tensor.data_ptr()


def pointers(tensors: Iterable[Tensor | None]) -> ctypes.Array:
    """Addresses of a layer's parameters, or of what belongs to them, in their order."""
    return Pointers(*map(pointer, tensors))


@dataclass(frozen=True, eq=False)
class Fused:
    """How the weights of each network of a stack are updated, instead of getting a gradient."""

    updates: ctypes.Array
    steps: Tensor
    described: list[dict]  # with the buffers that `updates` points to

    def scale_rates(self, factor: float) -> None:
        """Multiply the learning rates, as they were described, by `factor`."""
        for update, described in zip(self.updates, self.described, strict=True):
            update.rate = factor * described["rate"]

    def part(self, start: int, size: int) -> "Fused":
        """Give those of some networks; their rates are scaled with those of the whole."""
        described = self.described[start : start + size]
        offset = start * ctypes.sizeof(Update)
        updates = (Update * len(described)).from_buffer(self.updates, offset)
        return Fused(updates, self.steps, described)


def suit(x: Tensor, *parameters: Tensor) -> bool:
    """Whether inputs, of some, and parameters have the device and the type that kernels are for."""
    return x.numel() > 0 and all(
        tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in (x, *parameters)
    )


def fused(updates: list[dict], steps: Tensor) -> Fused:
    """Let kernels update weights in the backward pass, which saves writing and reading gradients.

    Parameters
    ----------
    updates
        For each network: ``optimizer`` (``sgd``, ``sgd_momentum`` or ``adam``), ``rate``,
        ``momentum``, ``second_momentum``, ``epsilon``, ``decay``; and its buffers ``first`` and
        ``second``, each for one network and all of the layer's parameters, or ``None``.
    steps
        Number of the current step, from 1, at the time of the backward pass; a scalar.
    """
    described = [
        Update(
            **u
            | {"optimizer": OPTIMIZERS.index(u["optimizer"])}
            | {name: pointers(u[name] or ()) for name in ("first", "second")}
        )
        for u in updates
    ]
    return Fused((Update * len(updates))(*described), steps, updates)


class KernelLayer(nn.Module):
    """A layer that updates its parameters in the backward pass, where it has kernels for it."""

    update: Fused | None = None

    def has_kernels(self) -> bool:
        """Whether there are kernels for the parameters as they are."""
        raise NotImplementedError

    def fuse(self, updates: list[dict], steps: Tensor) -> Fused | None:
        """Update the parameters in the backward pass from now on, where there are kernels for it.

        Parameters
        ----------
        updates, steps
            As for `fused`.

        Returns
        -------
        Fused or None
            What the backward pass reads; ``None`` where there are no kernels.
        """
        if self.has_kernels():
            self.update = fused(updates, steps)
        return self.update
