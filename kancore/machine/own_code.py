"""Networks of the user's own: functions named ``module:function``, and where their code is.

The module is a file of the working folder, or of the project's, found by its path, as files there
may be named as modules of Python and are never imported by name; else it is installed.
"""

import hashlib
import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def folders() -> tuple[Path, Path]:
    """Folders in which modules of the user's are looked for, in order."""
    return Path.cwd(), ROOT


def source(model: str) -> Path | None:
    """File of the function's module in the working folder or the project's, where it is there."""
    module, _, _ = model.partition(":")
    if "." in module:
        return None
    candidates = (folder / f"{module}.py" for folder in folders())
    return next((path for path in candidates if path.is_file()), None)


def code_files(model: str) -> list[Path]:
    """Files that hold the function's code: its own file, or all of an installed package.

    Nothing is imported; none are found where there is no such module.
    """
    if (file := source(model)) is not None:
        return [file]
    package = model.partition(":")[0].partition(".")[0]
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # of a module that has no specification, such as __main__
        return []
    if found is None:
        return []
    if found.submodule_search_locations is None:
        return [Path(found.origin)] if found.origin and found.has_location else []
    folders = map(Path, found.submodule_search_locations)
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def content(file: Path) -> str:
    """Digest of a file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
