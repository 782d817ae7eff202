"""Locks on files that the kernel frees when their process ends, however it ends.

Some file systems of clusters have no such locks. There a file beside the locked one names the
process and the machine that have it, and shows by its time stamp that they live.
"""

import errno
import fcntl
import json
import os
import platform
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kancore.machine.files import read_kept

POLL_SECONDS = 0.2
# What file systems without locks answer.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
# Seconds between two signs of life, and after which a process of another machine counts as dead.
_SIGN, _SILENCE = 10, 120
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class _Owned:
    """A lock by a file that names its owner, for as long as that is not closed."""

    def __init__(self, path: Path):
        self._path, self._closed = path, threading.Event()
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self) -> None:
        while not self._closed.wait(_SIGN):
            with suppress(OSError):
                os.utime(self._path)

    def close(self) -> None:
        """Free the lock."""
        self._closed.set()
        self._path.unlink(missing_ok=True)


def _boot() -> str:
    """Identify the time from a start of this machine to its next."""
    return _BOOT.read_text().strip() if _BOOT.exists() else ""


def _owner_file(path: str | os.PathLike) -> Path:
    return Path(path).with_name(f"{Path(path).name}.owner")


def _own(path: str | os.PathLike) -> _Owned | None:
    """Lock a file by a file that names its owner; ``None`` if another process has."""
    owner = _owner_file(path)
    # Nobody can have put a link there, to a file that would be written in its place.
    own = owner.with_name(f".{owner.name}.{secrets.token_hex(6)}")
    with open(own, "x") as file:
        json.dump({"host": platform.node(), "boot": _boot(), "pid": os.getpid()}, file)
    try:
        for _ in range(2):
            with suppress(FileExistsError):
                os.link(own, owner)  # whole, and for one process only, on NFS too
                return _Owned(owner)
            # By the clock of the machine that has the files.
            if _lives(owner, own.stat().st_mtime):
                break
            _remove_dead(owner, own)
    finally:
        own.unlink()
    return None


def _lives(owner: Path, now: float) -> bool:
    """Whether the process that a file names lives."""
    try:
        age = now - owner.stat().st_mtime
    except FileNotFoundError:
        return False
    named = read_kept(owner)
    if named.get("host") == platform.node():
        if named.get("boot") != _boot():
            return False
        try:
            os.kill(named["pid"], 0)
        except ProcessLookupError:
            return False
        except (PermissionError, KeyError, TypeError, OverflowError):  # of another user, or damaged
            pass
    return age < _SILENCE


def _remove_dead(owner: Path, own: Path) -> None:
    """Remove the file of a dead owner, and not that of who may have done so in the meantime."""
    taken = own.with_name(f"{own.name}.taken")
    with suppress(FileNotFoundError):
        os.rename(owner, taken)
        if _lives(taken, own.stat().st_mtime):
            with suppress(FileExistsError):
                os.link(taken, owner)
        taken.unlink()


def lock(path: str | os.PathLike) -> IO | _Owned | None:
    """Lock a file, for as long as what is returned stays open.

    Parameters
    ----------
    path
        The file; it is made, with the folders above it, where it is missing.

    Returns
    -------
    object or None
        One to close; ``None`` if another process has locked the file.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a", opener=_unlinked)  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last owner may have removed it since it was opened.
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        file.close()
        return _own(path)
    file.close()
    return None


def _unlinked(path: str, flags: int) -> int:
    """Open a file, but no link, which might lead to a file of anybody's, nor wait at a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    try:
        with open(path, opener=_unlinked) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return _lives(_owner_file(path), time.time())
    return False


@contextmanager
def first_free(
    paths: Sequence[Path], waiting: str, check: Callable[[], object] = lambda: None
) -> Iterator[int]:
    """Lock the first of some files that no other process has locked, and remove it at the end.

    Parameters
    ----------
    paths
        The files.
    waiting
        What to say on standard error while all of them are locked.
    check
        Called again and again meanwhile; what it raises ends the wait.

    Yields
    ------
    int
        Which one is locked.
    """
    while (found := _first(paths)) is None:
        if waiting:
            print(waiting, file=sys.stderr, flush=True)
            waiting = ""
        check()
        time.sleep(POLL_SECONDS)
    index, file = found
    try:
        yield index
    finally:
        paths[index].unlink(missing_ok=True)
        file.close()


def _first(paths: Sequence[Path]) -> tuple[int, IO | _Owned] | None:
    for index, path in enumerate(paths):
        if (file := lock(path)) is not None:
            return index, file
    return None
