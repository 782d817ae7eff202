"""Download raw files: mirrors in order, retries, resume, progress, checksum before a name."""

import gzip
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Generator
from pathlib import Path, PurePath
from typing import BinaryIO

from kancore.data import dataset_module
from kancore.data.raw_files import RawFile, mismatch, rows_name
from kancore.machine.files import write_atomically

_CHUNK = 1 << 16  # bytes; also how much a stream reads beyond the last row it needs
_ATTEMPTS = 5  # in a row without a byte of progress
_PAUSE = 1.0  # seconds before the first retry; each further one waits twice as long
_TIMEOUT = 30  # seconds without a byte from the server
_TRANSFER_ERRORS = (OSError, http.client.HTTPException)


class DownloadError(OSError):
    """No source gave the file; says which were tried, why each failed, and how to help."""


class _SpoiltError(OSError):
    """A download is complete and is not the file that it should be."""


def fetch(
    dataset: str,
    folder: str | os.PathLike,
    *,
    mirror: str | None = None,
    rows: int | None = None,
    verify: bool = True,
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
    for file in dataset_module(dataset).FILES:
        sources = [f"{mirror.rstrip('/')}/{dataset}/{file.name}"] if mirror else list(file.urls)
        if rows is None:
            paths.append(_fetch_file(file, folder / file.name, sources, verify))
        else:
            paths.append(_fetch_rows(file, folder, sources, rows))
    return paths


def _fetch_file(file: RawFile, path: Path, sources: list[str], verify: bool) -> Path:
    if path.exists():
        if difference := _check(path, file, verify):
            raise ValueError(f"{path}: {difference}; remove it to download it again")
        return path
    partial = path.with_name(path.name + ".part")
    if not verify:
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
    path = folder / rows_name(file, rows)
    if path.exists():
        return path
    if (whole := folder / file.name).exists():
        sources = [str(whole)]

    def attempt(source: str) -> None:
        write_atomically(path, lambda temporary: _transfer_rows(source, temporary, rows))

    _try_each(sources, attempt, file, folder / file.name)
    return path


def _try_each(
    sources: list[str], attempt: Callable[[str], None], file: RawFile, by_hand: Path
) -> None:
    """Call `attempt` with each of `sources` until one of them succeeds."""
    failures = []
    for source in sources:
        try:
            return attempt(source)
        except _TRANSFER_ERRORS as error:
            failures.append(f"  {source}: {error}")
            print(f"{source}: {error}", file=sys.stderr)
    tried = "\n".join(failures)
    proof = f" (md5 {file.md5})" if file.md5 else ""
    raise DownloadError(
        f"cannot get {file.name}; tried\n{tried}\nTo provide it by hand, put it{proof} at {by_hand}"
    )


def _check(path: Path, file: RawFile, verify: bool) -> str | None:
    """Say what is wrong with `path`; without `verify` that is only a warning."""
    difference = mismatch(path, file)
    if difference and not verify:
        print(f"warning: {path}: {difference}", file=sys.stderr)
        return None
    return difference


def _complete(source: str, partial: Path, file: RawFile, verify: bool) -> None:
    """Make `partial` a copy of `source`; what it has already is not sent again."""
    start = partial.stat().st_size if partial.exists() else 0
    progress = _Progress(file.name, start, file.size, "bytes")
    try:
        with open(partial, "ab") as out:
            for chunk in _stream(source, start):
                out.write(chunk)
                progress.add(len(chunk))
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        partial.unlink()
        raise _SpoiltError(f"has fewer than the {start} bytes already here") from error
    if difference := _check(partial, file, verify):
        partial.unlink()
        raise _SpoiltError(difference)


def _transfer_rows(source: str, path: Path, rows: int) -> None:
    """Write the first `rows` lines of the gzip-compressed `source`, reading no more than needed."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    progress = _Progress(PurePath(source).name, 0, rows, "rows")
    missing = rows
    chunks = _stream(source, 0)
    # Level 1, no time stamp: quick to write, and the same rows give the same bytes.
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as out:
        for chunk in chunks:
            try:
                text = decompressor.decompress(chunk)
            except zlib.error as error:
                raise OSError(f"not gzip, or damaged ({error})") from error
            lines = text.count(b"\n")
            if lines >= missing:
                out.write(b"".join(text.splitlines(keepends=True)[:missing]))
                chunks.close()
                return
            out.write(text)
            missing -= lines
            progress.add(lines)
    raise OSError(f"ends after {rows - missing} rows of {rows}")


def _stream(source: str, start: int) -> Generator[bytes, None, None]:
    """Yield the bytes of `source` from `start` on; a broken connection is taken up where it broke.

    Raises
    ------
    OSError, http.client.HTTPException
        If the source refuses, or no attempt in a row of several brings another byte.
    """
    failures = 0
    while True:
        try:
            with _open(source, start) as response:
                while chunk := response.read(_CHUNK):
                    failures = 0
                    start += len(chunk)
                    yield chunk
                # http.client gives a short body without an error where it is read in pieces.
                if missing := getattr(response, "length", None):
                    raise ConnectionError(f"connection closed with {missing} bytes to come")
                return
        except _TRANSFER_ERRORS as error:
            failures += 1
            if failures >= _ATTEMPTS or not _may_pass(error):
                raise
            time.sleep(_PAUSE * 2 ** (failures - 1))


def _may_pass(error: Exception) -> bool:
    """Whether trying again may help: the network failed, or the server said that it is busy."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (408, 429) or error.code >= 500
    return not isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError)


def _open(source: str, start: int) -> BinaryIO:
    """Open a path or URL for reading at byte `start`."""
    if not source.startswith(("http://", "https://")):
        file = open(source, "rb")  # noqa: SIM115
        file.seek(start)
        return file
    # A range that begins one byte early is never empty, so a whole partial file is no error.
    headers = {"Range": f"bytes={start - 1}-"} if start else {}
    request = urllib.request.Request(source, headers=headers)
    response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    # A server that knows no ranges sends everything again.
    skip = 0 if not start else 1 if response.status == 206 else start
    while skip and (skipped := len(response.read(min(skip, _CHUNK)))):
        skip -= skipped
    return response


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
