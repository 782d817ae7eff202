"""Checksums of what users' files hold, kept so that a large file is read once."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from kancore.machine.files import read_kept, write_json

# Bytes from which on reading a file again would be felt at every start.
LARGE = 2**24


@cache
def content_digest(path: Path, kept: Path, files: Callable[[Path], list[Path]]) -> str:
    """Digest of what a file, or the files of a folder, hold; time stamps do not count.

    Parameters
    ----------
    path
        The file or folder.
    kept
        JSON file for the digests of large files. One holds for as long as the file's size and
        times are the same: those of its content, and of any change of the file itself.
    files
        Lists the files that are read where `path` is; a `ValueError` says that it is refused.

    Returns
    -------
    str
        16 hexadecimal digits, ``missing``, or ``refused``.
    """
    if not path.exists():
        return "missing"
    try:
        paths = files(path)
    except ValueError:  # told when it is prepared
        return "refused"
    found = [(file.relative_to(path).as_posix(), _digest(file, kept)) for file in paths]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]


def _digest(file: Path, kept: Path) -> str:
    status = file.stat()
    if status.st_size < LARGE:
        return _read(file)
    name = str(file.resolve())
    stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    known = read_kept(kept)
    match known.get(name):
        case {"stamp": before, "digest": str(digest)} if before == stamp:
            return digest
    known[name] = {"stamp": stamp, "digest": _read(file)}
    with suppress(OSError):  # it is read again next time
        write_json(kept, known)
    return known[name]["digest"]


def _read(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
