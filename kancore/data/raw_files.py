"""What a data set's raw files are called, where they come from, and what proves them genuine."""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kancore.data.limits import TooLargeError, check_memory
from kancore.machine.files import read_json, write_json
from kancore.machine.messages import reason, shown

# Bytes of a row of a table, at most; those of HIGGS have some 750.
LONGEST_ROW = 1 << 12


@dataclass(frozen=True)
class RawFile:
    """One file as its publisher serves it.

    Attributes
    ----------
    name : str
        Its usual name; a mirror holds it under this name in a folder named as the data set.
    urls : tuple of str
        Where to download it, in order of preference.
    size : int
        Its bytes.
    md5 : str or None
        Checksum of the file, where one is published.
    content_md5 : str or None
        Checksum of what a ``.gz`` file holds: the same data compressed by someone else, as
        distributions do, have another `md5` and this one.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    md5: str | None = None
    content_md5: str | None = None


def mismatch(path: Path, file: RawFile) -> str | None:
    """How `path` differs from the genuine `file`; ``None`` where no checksum speaks against it."""
    if file.md5 is None:
        return None
    with open(path, "rb") as stream:
        md5 = _md5(stream)
    if md5 == file.md5 or (file.content_md5 and _content_md5(path) == file.content_md5):
        return None
    return f"md5 {md5}, expected {file.md5}"


def _md5(stream) -> str:
    return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _content_md5(path: Path) -> str | None:
    try:
        with gzip.open(path) as stream:
            return _md5(stream)
    except (OSError, EOFError, zlib.error):  # not gzip, cut or damaged
        return None


def describe(folder: Path, files: Iterable[RawFile]) -> str:
    """Say which files a data set was made from, and which of them are not the published ones."""
    return "; ".join(
        f"{file.urls[0]} ({mismatch(folder / file.name, file) or f'md5 {file.md5}'})"
        for file in files
    )


def rows_name(name: str, rows: int) -> str:
    """Name of the file that holds the first `rows` rows of the table `name`."""
    stem, suffixes = name.split(".", 1)
    return f"{stem}-{rows}.{suffixes}"


def known_rows(folder: Path, file: RawFile) -> dict[str, str]:
    """Give the sha256 of the first rows of a table, by their number, as they were first got here.

    Raises
    ------
    ValueError
        If the file in `folder` that holds them is damaged.
    """
    path = _rows_file(folder, file)
    try:
        known = read_json(path) if path.exists() else {}
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise ValueError(f"{shown(path)}: damaged, expected checksums by number of rows")
    return known


def write_known_rows(folder: Path, file: RawFile, known: dict[str, str]) -> None:
    """Write what `known_rows` reads."""
    write_json(_rows_file(folder, file), known)


def _rows_file(folder: Path, file: RawFile) -> Path:
    return folder / f"{file.name}.rows.json"


def checked_rows(stream: BinaryIO, rows: int, known: dict[str, str]) -> Iterator[bytes]:
    """Yield the first `rows` lines of a gzip-compressed table.

    Parameters
    ----------
    stream
        The compressed table.
    rows
        How many.
    known
        The sha256 of the first rows, by their number; those of at most `rows` are compared.

    Raises
    ------
    ValueError
        If the table is damaged, has fewer rows, longer ones, or others than are known.
    """
    digest = hashlib.sha256()
    table = gzip.GzipFile(fileobj=stream)
    for number in range(1, rows + 1):
        try:
            line = table.readline(LONGEST_ROW + 1)
        except (gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"not gzip, or damaged ({reason(error)})") from error
        except EOFError:
            line = b""
        if len(line) > LONGEST_ROW:
            raise ValueError(f"row {number} has more than {LONGEST_ROW:,} bytes")
        if not line.endswith(b"\n"):
            raise ValueError(f"ends after {number - 1} rows of {rows}")
        digest.update(line)
        expected = known.get(str(number))
        if expected is not None and expected != digest.hexdigest():
            raise ValueError(
                f"its first {number} rows have sha256 {digest.hexdigest()}, those first got here "
                f"had {expected}"
            )
        yield line


def read_tar(path: Path, wanted: Callable[[str], object]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the `wanted` files of an archive, without writing any to disk.

    Raises
    ------
    ValueError
        If the archive is cut or damaged, a name in it leads outside of its own folder, or what is
        wanted is too large for the memory.
    """
    size = 0
    try:
        # 'r|': one pass through the archive, so that memory holds one member at a time.
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise _RefusedError(f"refused, {member.name!r} is outside the archive")
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and wanted(member.name):
                    size += member.size
                    check_memory(size)
                    yield member.name, content.read()
    except (_RefusedError, TooLargeError) as error:
        raise ValueError(f"{shown(path)}: {reason(error)}") from error
    except Exception as error:  # whatever damage makes of the readers
        raise ValueError(f"{shown(path)}: not a whole tar archive ({reason(error)})") from error


class _RefusedError(ValueError):
    """An archive is whole, and means harm."""
