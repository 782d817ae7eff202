"""Locks on files that the kernel frees when their process ends, however it ends."""

import errno
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.2
# Some file systems of clusters have no locks. There, starting a job twice is up to the user.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


def lock(path: str | os.PathLike) -> IO | None:
    """Lock a file, for as long as what is returned stays open.

    Parameters
    ----------
    path
        The file; it is made, with the folders above it, where it is missing.

    Returns
    -------
    file object or None
        ``None`` if another process has locked it.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a")  # noqa: SIM115
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
        return file
    file.close()
    return None


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock of a file; ``None`` where the file system has no locks."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
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


def _first(paths: Sequence[Path]) -> tuple[int, IO] | None:
    for index, path in enumerate(paths):
        if (file := lock(path)) is not None:
            return index, file
    return None
