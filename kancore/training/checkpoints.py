"""Checkpoints of a sweep: written whole, read without pickle, refused when of another sweep.

The checkpoint before the last one stays beside it, in case the last one is damaged.
"""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from kancore.machine.files import write_atomically
from kancore.machine.messages import reason, tell


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save(path: str | os.PathLike, identity: str, state: Any) -> None:
    """Write a checkpoint of tensors and plain values.

    Parameters
    ----------
    path
        The checkpoint's file. What it held is kept beside it.
    identity
        What the state belongs to; `load` gives it to nothing else.
    state
        Tensors, numbers, strings, and lists and dicts of them.
    """
    path = Path(path)

    def write(part: Path) -> None:
        # With an open file, an error says what the system said.
        with open(part, "wb") as file:
            torch.save({"identity": identity, "state": state}, file)

    write_atomically(path, write, keep=_previous(path))


def load(path: str | os.PathLike, identity: str) -> Any:
    """Read the last undamaged state that `save` wrote under the same identity.

    Damaged files are removed, so that they never take the place of a good one.

    Returns
    -------
    object or None
        The state, its tensors on the CPU and read when they are used. ``None``, with a line on
        standard error that says why unless there is no file, if there is nothing to go on from.
    """
    path = Path(path)
    for file in (path, _previous(path)):
        if not file.exists():
            continue
        try:
            _verify(file)
            checkpoint = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
            found, state = checkpoint["identity"], checkpoint["state"]
        except Exception as error:  # a damaged file fails in ways that torch does not enumerate
            tell(f"{file}: unreadable checkpoint, removed ({reason(error)})")
            file.unlink()
            continue
        if found == identity:
            return state
        tell(f"{file}: checkpoint of another sweep or code, not used")
    return None


def remove(path: str | os.PathLike) -> None:
    """Remove the checkpoints of a sweep that has ended."""
    for file in (Path(path), _previous(Path(path))):
        file.unlink(missing_ok=True)


def _verify(path: Path) -> None:
    """Compare what the file holds with its checksums, which torch leaves unread."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} does not have its checksum")
