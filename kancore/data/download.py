"""Download raw files: mirrors in order, retries, resume, progress, checksum before a name."""

import gzip
import hashlib
import io
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from kancore.data.known import dataset_module
from kancore.data.raw_files import (
    LONGEST_ROW,
    RawFile,
    checked_rows,
    known_rows,
    mismatch,
    rows_name,
    write_known_rows,
)
from kancore.data.transport import CHUNK, SourceError, UntrustedError, join, stream
from kancore.machine.locks import first_free
from kancore.machine.messages import reason, shown, tell

# The same data, compressed by someone else, take at most so many times as much; MNIST that is only
# stored takes 4.7 times as much. And so much may any file have that is not to be verified.
_COMPRESSED_WORSE = 8
_SMALL = 1 << 20


class DownloadError(OSError):
    """No source gave the file; says which were tried, why each failed, and how to help."""


class _SpoiltError(SourceError):
    """A download is complete and is not the file that it should be."""


def fetch(
    dataset: str,
    folder: str | os.PathLike,
    *,
    mirror: str | None = None,
    rows: int | None = None,
    verify: bool = True,
    name: str | None = None,
) -> list[Path]:
    """Get the raw files of a data set; files that are there already are kept.

    Parameters
    ----------
    dataset
        Name of the data set.
    folder
        Folder for the files. Its partial downloads, ``*.part``, are resumed.
    mirror
        Folder or http(s) URL that holds each file as ``mirror/dataset/name``; it is then the only
        source. By default the publishers are asked.
    rows
        Get only the first `rows` rows of each file, a gzip-compressed table.
    verify
        Check the published checksums, where there are any. Without, a warning names what differs.
    name
        Get only the file that has this name in `folder`.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    DownloadError
        If a file cannot be had.
    ValueError
        If there is no such data set, or a file that is there already fails its checksum.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    # Two that write to one partial file would spoil it.
    with first_free([folder / ".lock"], f"waiting for another download into {shown(folder)}"):
        for file in dataset_module(dataset).FILES:
            if name not in (None, file.name if rows is None else rows_name(file.name, rows)):
                continue
            sources = [join(mirror, dataset, file.name)] if mirror else list(file.urls)
            if rows is None:
                paths.append(_fetch_file(file, folder / file.name, sources, verify))
            else:
                paths.append(_fetch_rows(file, folder, sources, rows))
    return paths


def _fetch_file(file: RawFile, path: Path, sources: list[str], verify: bool) -> Path:
    if path.exists():
        if difference := _check(path, file, verify):
            raise ValueError(f"{shown(path)}: {difference}; remove it to download it again")
        return path
    partial = path.with_name(path.name + ".part")
    if not verify or partial.is_symlink():
        # Only a checksum would notice that the rest comes from another file.
        partial.unlink(missing_ok=True)

    def attempt(source: str) -> None:
        resumed = partial.exists()
        try:
            _complete(source, partial, file, verify)
        except _SpoiltError:
            if not resumed:
                raise
            # What an earlier download had left may be at fault, not this source.
            _complete(source, partial, file, verify)
        os.replace(partial, path)

    _try_each(sources, attempt, file, path)
    return path


def _fetch_rows(file: RawFile, folder: Path, sources: list[str], rows: int) -> Path:
    path = folder / rows_name(file.name, rows)
    partial = path.with_name(path.name + ".part")
    known = known_rows(folder, file)
    if path.exists():
        if str(rows) not in known:
            with open(path, "rb") as stored:
                known[str(rows)] = _digest(checked_rows(stored, rows, known), shown(path))
            write_known_rows(folder, file, known)
        return path
    if (whole := folder / file.name).exists():
        sources = [str(whole)]

    def attempt(source: str) -> None:
        partial.unlink(missing_ok=True)
        try:
            found = {str(rows): _transfer_rows(source, file.name, partial, rows, known)}
            write_known_rows(folder, file, known | found)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    _try_each(sources, attempt, file, folder / file.name)
    return path


def _digest(lines: Iterator[bytes], where: str) -> str:
    digest = hashlib.sha256()
    try:
        for line in lines:
            digest.update(line)
    except ValueError as error:
        raise ValueError(f"{where}: {error}; remove it to download it again") from error
    return digest.hexdigest()


def _try_each(
    sources: list[str], attempt: Callable[[str], None], file: RawFile, by_hand: Path
) -> None:
    """Call `attempt` with each of `sources` until one of them succeeds."""
    failures = []
    for source in sources:
        try:
            with _naming(by_hand):
                return attempt(source)
        except SourceError as error:
            failures.append(f"  {shown(source)}: {error}")
            tell(f"{shown(source)}: {error}")
            if isinstance(error, UntrustedError):
                break  # whoever stands between may stand before the next source too
    tried = "\n".join(failures)
    proof = f" (md5 {file.md5})" if file.md5 else ""
    raise DownloadError(
        f"cannot get {file.name}; tried\n{tried}\nTo provide it by hand, put it{proof} at {by_hand}"
    )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say of errors of the system here, which are no source's, what file was to be written."""
    try:
        yield
    except SourceError:
        raise
    except OSError as error:
        raise DownloadError(error.errno, f"{shown(path)}: {reason(error)}") from error


def _check(path: Path, file: RawFile, verify: bool) -> str | None:
    """Say what is wrong with `path`; without `verify` that is only a warning."""
    difference = mismatch(path, file)
    if difference and not verify:
        tell(f"warning: {shown(path)}: {difference}")
        return None
    return difference


def _complete(source: str, partial: Path, file: RawFile, verify: bool) -> None:
    """Make `partial` a copy of `source`; what it has already is not sent again."""
    most = file.size
    if file.content_md5 or not verify:
        most = max(_COMPRESSED_WORSE * file.size, _SMALL)
    start = partial.stat().st_size if partial.exists() else 0
    progress = _Progress(file.name, start, file.size, "bytes")
    try:
        with open(partial, "ab") as out:
            for chunk in stream(source, start):
                if out.tell() + len(chunk) > most:
                    raise _SpoiltError(f"has more than {most:,} bytes, expected {file.size:,}")
                out.write(chunk)
                progress.add(len(chunk))
    except SourceError as error:
        if getattr(error.__cause__, "code", None) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            error = _SpoiltError(f"has fewer than the {start} bytes already here")
        if isinstance(error, _SpoiltError):
            partial.unlink()
        raise error
    if difference := _check(partial, file, verify):
        partial.unlink()
        raise _SpoiltError(difference)


def _transfer_rows(source: str, name: str, path: Path, rows: int, known: dict[str, str]) -> str:
    """Write the first `rows` lines of the gzip-compressed `source`, reading no more than needed.

    Returns
    -------
    str
        Their sha256.
    """
    progress = _Progress(name, 0, rows, "rows")
    digest = hashlib.sha256()
    chunks = _Bounded(stream(source), rows * LONGEST_ROW + _SMALL)
    # Level 1, no time stamp: quick to write, and the same rows give the same bytes.
    with open(path, "xb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as out:
        try:
            for line in checked_rows(io.BufferedReader(chunks, CHUNK), rows, known):
                digest.update(line)
                out.write(line)
                progress.add(1)
        except ValueError as error:
            raise _SpoiltError(str(error)) from error
        finally:
            chunks.close()
    return digest.hexdigest()


class _Bounded(io.RawIOBase):
    """A stream as a file that has no more than some bytes."""

    def __init__(self, chunks: Generator[bytes, None, None], most: int) -> None:
        self.chunks, self.most, self.rest = chunks, most, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        self.rest = self.rest or next(self.chunks, b"")
        size = min(len(self.rest), len(buffer))
        buffer[:size], self.rest = self.rest[:size], self.rest[size:]
        self.most -= size
        if self.most < 0:
            raise _SpoiltError("has too many bytes for its rows")
        return size

    def close(self) -> None:
        self.chunks.close()
        super().close()


class _Progress:
    """Report on standard error, every few seconds, how far a transfer is."""

    def __init__(self, name: str, done: int, total: int, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self.started_with = done
        self.started = self.reported = time.monotonic()

    def add(self, amount: int) -> None:
        """Count `amount` more, and report if the last report was a while ago."""
        self.done += amount
        now = time.monotonic()
        if now - self.reported < 2:
            return
        self.reported = now
        rate = max(self.done - self.started_with, 1) / (now - self.started)
        print(
            f"{self.name}: {self.done:,} of {self.total:,} {self.unit}, {rate:,.0f} a second, "
            f"{max(self.total - self.done, 0) / rate:.0f} s left",
            file=sys.stderr,
        )
