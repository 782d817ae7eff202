"""Files that appear whole or not at all, and errors of the system as a user reads them."""

import gc
import json
import os
import secrets
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from kancore.machine import slurm
from kancore.machine.messages import plain

# Ends the log of a program that would fail again, so that nobody waits for it to try.
HOPELESS = "not tried again: it would fail again"
# What mends a damaged file that a job makes.
AGAIN = "remove it, and call snakemake again"


class DamagedFileError(ValueError):
    """A file is not what it was when it was written; says which, and what to do."""


class MayPass(SystemExit):
    """End of a program for what may be better at another time: a disk, or memory."""


def write_atomically(
    path: str | os.PathLike, write: Callable[[Path], object], keep: Path | None = None
) -> None:
    """Let `write(temporary_path)` make a file beside `path`, then rename it to `path`.

    A reader, or a process started after a crash, sees the whole file or none.

    Parameters
    ----------
    path
        The file to make; folders above it are made where they are missing.
    write
        Writes the file whose path it is given; that path keeps the suffix of `path`.
    keep
        Where the file goes that is replaced; ``None`` for nowhere.

    Raises
    ------
    OSError
        Naming `path`, if it cannot be written. What was there before is still there.
    """
    path = Path(path)
    # Nobody can have put a link there, to a file that would be written in its place.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(6)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o666))
        write(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(temporary, path)
    except Exception as error:
        if (number := _system_error(error)) is None:
            raise
        raise OSError(number, f"{path}: {os.strerror(number)}") from error
    finally:
        with suppress(OSError):  # nothing to remove, or a file system that has become read-only
            temporary.unlink()


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file.

    Raises
    ------
    DamagedFileError
        If it is none, or half of one.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path}: not a whole JSON file ({error}); {AGAIN}") from error


def read_kept(path: str | os.PathLike) -> dict[str, Any]:
    """Read a mapping that was kept for another time; an empty one if it is not there or damaged."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a JSON file, by `write_atomically`.

    Raises
    ------
    ValueError
        If a number is infinite or not one.
    """
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def remove_unfinished(folder: Path) -> None:
    """Remove what `write_atomically` leaves in a folder if its process is killed as it writes."""
    for path in folder.glob(".*.tmp*"):
        path.unlink(missing_ok=True)


def _system_error(error: BaseException | None) -> int | None:
    """Find the number of the system's error behind those that libraries make of it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def run_plainly(main: Callable[[], None]) -> None:
    """Run a program; end it with one line where a file or the memory is the matter.

    Raises
    ------
    SystemExit
        With the message of a `DamagedFileError` in place of its traceback; a `MayPass` with that of
        an `OSError` or `MemoryError`. Its words have no character that terminals obey.
    """
    try:
        _run_plainly(main)
    except SystemExit as end:
        if isinstance(end.code, str):
            end.code = plain(end.code)
        raise


def run_command(main: Callable[[], None]) -> None:
    """Run a program that people call, as `run_plainly` does; it ends in silence where a pipe does.

    So other commands end, of ``| head -1`` for example.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    run_plainly(main)


def _run_plainly(main: Callable[[], None]) -> None:
    gc.freeze()  # what was imported is no garbage
    gc.enable()  # which workflow_scripts/run.py puts off until here
    try:
        return main()
    except MemoryError as error:
        given = slurm.allocated_mb()
        message = f"{error}" + (f" (Slurm gave {given:,.0f})" if given < float("inf") else "")
    except DamagedFileError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        message = str(error)
    # Out here, what the error held open is closed: on a full disk, the message's log has room.
    raise MayPass(message)
