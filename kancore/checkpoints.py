"""Checkpoints of a sweep: written whole, read without pickle, refused when of another sweep."""

import os
import sys
from pathlib import Path

import torch

from kancore.files import write_atomically


def save(path: str | os.PathLike, identity: str, state: dict) -> None:
    """Write a checkpoint of tensors and plain values.

    Parameters
    ----------
    path
        The checkpoint's file.
    identity
        What the state belongs to; `load` gives it to nothing else.
    state
        Tensors, numbers, strings, and lists and dicts of them.
    """
    write_atomically(path, lambda part: torch.save({"identity": identity, "state": state}, part))


def load(path: str | os.PathLike, identity: str, device: torch.device) -> dict | None:
    """Read the state that `save` wrote under the same identity.

    Returns
    -------
    dict or None
        ``None``, with a line on standard error that says why unless the file is simply missing, if
        there is nothing to go on from.
    """
    if not Path(path).exists():
        return None
    try:
        checkpoint = torch.load(path, map_location=device, weights_only=True)
        found, state = checkpoint["identity"], checkpoint["state"]
    except Exception as error:  # a damaged file fails in ways that torch does not enumerate
        print(f"{path}: unreadable checkpoint, starting again ({error})", file=sys.stderr)
        return None
    if found != identity:
        print(f"{path}: checkpoint of another sweep or code, starting again", file=sys.stderr)
        return None
    return state
