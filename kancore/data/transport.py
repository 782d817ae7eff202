"""Bytes from a path or an address, taken up where they break off, with limits to patience."""

import base64
import http.client
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

from kancore.machine.messages import is_address, reason, shown

CHUNK = 1 << 16  # bytes; also how much a stream reads beyond what is needed of it
_ATTEMPTS = 5  # in a row without a chunk of progress
_PAUSE = 1.0  # seconds before the first retry; each further one waits twice as long
_TIMEOUT = 30  # seconds without a byte from the server
_PATIENCE = 120  # seconds for an answer's head, and for each chunk
_ERRORS = (OSError, http.client.HTTPException, ValueError)  # the last of no valid address


class SourceError(OSError):
    """A source does not give the file; says why, without secrets."""


class UntrustedError(SourceError):
    """Nobody vouches for the server, so that it may be another one."""


class _RefusedError(OSError):
    """What a server asks for is not done; asking it again would not help."""


def join(mirror: str, *names: str) -> str:
    """Path or URL of a file below `mirror`, whose query stays the query.

    Raises
    ------
    ValueError
        If it is neither a path nor a URL.
    """
    if not is_address(mirror):
        return "/".join((mirror.rstrip("/"), *names))
    try:
        address = urlsplit(mirror)
    except ValueError:
        raise ValueError("the mirror is not a valid address") from None
    return urlunsplit(address._replace(path="/".join((address.path.rstrip("/"), *names))))


def stream(source: str, start: int = 0) -> Generator[bytes, None, None]:
    """Yield the bytes of `source` from `start` on; a broken connection is taken up where it broke.

    Raises
    ------
    SourceError
        If the source refuses, or no attempt in a row of several brings another chunk.
    UntrustedError
        If the server's certificate is not valid.
    """
    failures = 0
    while True:
        try:
            for chunk in _chunks(source, start):
                start += len(chunk)
                # A server that sends a byte and hangs up, again and again, gets nowhere.
                failures = 0 if len(chunk) == CHUNK else failures
                yield chunk
            return
        except _ERRORS as error:
            failures += 1
            if (refused := _certificate_error(error)) is not None:
                what = f"its certificate is not valid ({_why(refused)})"
                raise UntrustedError(what) from error
            if failures >= _ATTEMPTS or not _may_pass(error):
                raise SourceError(_why(error)) from error
            time.sleep(_PAUSE * 2 ** (failures - 1))


def _why(error: BaseException) -> str:
    """Say why a transfer failed, in no words of the server's or of the address."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP Error {error.code}: {http.client.responses.get(error.code, 'unknown')}"
    if isinstance(error, urllib.error.URLError):
        return _why(error.reason) if isinstance(error.reason, Exception) else "unknown error"
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, http.client.InvalidURL | ValueError):
        return "not a valid address"
    if isinstance(error, http.client.BadStatusLine):
        return "the answer is not HTTP"
    return reason(error)


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return cause if isinstance(cause, ssl.SSLCertVerificationError) else None


def _may_pass(error: Exception) -> bool:
    """Whether trying again may help: the network failed, or the server said that it is busy."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (408, 429) or error.code >= 500
    lasting = FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError
    senseless = http.client.InvalidURL | ValueError | _RefusedError
    return not isinstance(error, lasting | senseless)


def _chunks(source: str, start: int) -> Generator[bytes, None, None]:
    with _within(_PATIENCE, lambda: _open(source, start)) as response:
        # A range that begins one byte early is never empty, so a whole partial file is no error; a
        # server that knows no ranges sends everything again.
        status = getattr(response, "status", None)
        skip = 0 if status is None or not start else 1 if status == 206 else start
        # http.client gives a short body without an error where it is read in pieces.
        missing: int | None = getattr(response, "length", None)
        while chunk := _read(response, CHUNK if missing is None else min(CHUNK, missing)):
            missing = None if missing is None else missing - len(chunk)
            if skip < len(chunk):
                yield chunk[skip:]
            skip = max(skip - len(chunk), 0)
        if missing:
            raise ConnectionError(f"connection closed with {missing} bytes to come")


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """Call in a thread, which is left behind if it takes longer: a timeout is of each byte alone.

    Raises
    ------
    TimeoutError
        If it does.
    """
    found: Future[Any] = Future()

    def work() -> None:
        try:
            found.set_result(call())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no answer in {seconds} seconds") from error


def _read(response: Any, most: int) -> bytes:
    """Read `most` bytes, fewer at the end only.

    Raises
    ------
    TimeoutError
        If they take too long, each of them coming in time.
    """
    began, parts, size = time.monotonic(), [], 0
    while size < most and (part := response.read1(most - size)):
        parts.append(part)
        size += len(part)
        if size < most and time.monotonic() - began > _PATIENCE:
            raise TimeoutError(f"only {size} bytes in {_PATIENCE} seconds")
    return b"".join(parts)


def _open(source: str, start: int) -> BinaryIO | http.client.HTTPResponse:
    """Open a path or URL for reading at byte `start`; of a URL some bytes more may come first."""
    if not is_address(source):
        file = open(source, "rb")  # noqa: SIM115
        file.seek(start)
        return file
    address = urlsplit(source)
    if address.scheme not in ("http", "https"):
        raise _RefusedError("expected a folder, or an http(s) address")
    user, _, host = address.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(address._replace(netloc=host)))
    if user:
        # Not sent on to where a server redirects to.
        known = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {known}")
    if start:
        request.add_header("Range", f"bytes={start - 1}-")
    return urllib.request.build_opener(_Redirects).open(request, timeout=_TIMEOUT)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects that lose no protection: to https, or from http to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """See the base class."""
        new = urlsplit(newurl)
        if new.scheme not in ("https", req.type) or "@" in new.netloc:
            raise _RefusedError(f"redirects from {req.type} to {shown(newurl)}, which is refused")
        fp.close()  # or else all that comes with the redirect would be read, to whatever length
        return super().redirect_request(req, fp, code, msg, headers, newurl)
