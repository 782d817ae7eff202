"""What messages say of files, addresses and errors: no secrets, nothing that terminals obey."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_LONGEST = 1000  # characters of an error
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_address(source: str) -> bool:
    """Whether `source` is a URL, of whatever scheme, and no path."""
    return _ADDRESS.match(source) is not None


def shown(source: str | os.PathLike) -> str:
    """Name a URL or path for everybody to read.

    Logs and reports are shared. Of a URL that leaves out user, password, query and fragment, any of
    which may be a secret; of a path outside the working folder, the folders above it.
    """
    text = os.fspath(source)
    if is_address(text):
        return plain(_without_secrets(text))
    path = Path(text)
    if path.is_absolute():
        here = Path.cwd()
        path = path.relative_to(here) if path.is_relative_to(here) else Path("...", path.name)
    return plain(str(path))


def _without_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port  # of a password that holds a slash, a part would be taken for it
    except ValueError:
        return url.partition("://")[0] + "://..."
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def told(value: Any) -> Any:
    """Give a value of a configuration as a message may show it: each URL and path by `shown`."""
    if isinstance(value, Mapping):
        return {told(key): told(part) for key, part in value.items()}
    if isinstance(value, list):
        return [told(part) for part in value]
    hidden = isinstance(value, str) and (is_address(value) or os.path.isabs(value))
    return shown(value) if hidden else value


def plain(text: str) -> str:
    r"""Write all but printable characters, newlines and tabs as escapes, such as ``\x1b``.

    Text of files and servers may hold sequences that terminals obey.
    """
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def reason(error: BaseException) -> str:
    """Say in one line why something failed; of an error of the system, without the path."""
    if isinstance(error, OSError) and error.strerror:
        return plain(error.strerror)
    text = plain(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def first_line(error: BaseException) -> str:
    """Say why something failed, where compilers and drivers go on for pages."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def tell(text: str) -> None:
    """Print a line on standard error, by `plain`."""
    print(plain(text), file=sys.stderr)
