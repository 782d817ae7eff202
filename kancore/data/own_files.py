"""Which files a data set of the user's own is: those that are digested, and those that are read."""

import os
from pathlib import Path


def data_files(path: Path) -> list[Path]:
    """List the files that hold a data set of the user's: `path` itself, or those of a folder.

    Of a folder, names that begin with ``.`` or ``_`` are left out, as all readers of Parquet do.
    Links to files are files.

    Raises
    ------
    ValueError
        If there is a link to a folder, which might lead anywhere, or what is neither a file nor a
        folder, or nothing.
    """
    if not path.is_dir():
        _check_file(path, path.name)
        return [path]
    found: list[Path] = []
    for folder, folders, names in os.walk(path):
        for each in (folders, names):
            each[:] = [name for name in each if not name.startswith((".", "_"))]
        for name in folders:
            if (link := Path(folder, name)).is_symlink():
                where = link.relative_to(path)
                raise ValueError(f"{where} is a link to a folder, expected files and folders")
        found += [Path(folder, name) for name in names]
    if not found:
        raise ValueError("is an empty folder, expected files in it")
    for file in found:
        _check_file(file, str(file.relative_to(path)))
    return sorted(found, key=Path.as_posix)


def _check_file(file: Path, name: str) -> None:
    if not file.is_file():
        raise ValueError(f"{name} is neither a file nor a folder")
