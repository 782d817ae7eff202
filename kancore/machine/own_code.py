"""Parts of the user's own: functions named ``module:function``, and where their code is.

The module is a file of the working folder, or of the project's, found by its path, as files there
may be named as modules of Python and are never imported by name; else it is installed.
"""

import hashlib
import importlib.util
import traceback
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def folders() -> tuple[Path, Path]:
    """Folders in which modules of the user's are looked for, in order."""
    return Path.cwd(), ROOT


def source(name: str) -> Path | None:
    """File of the function's module in the working folder or the project's, where it is there."""
    module, _, _ = name.partition(":")
    if "." in module:
        return None
    candidates = (folder / f"{module}.py" for folder in folders())
    return next((path for path in candidates if path.is_file()), None)


def code_files(name: str) -> list[Path]:
    """Files that hold the function's code: its own file, or all of an installed package.

    Of PyTorch it is the file that holds its version. Nothing is imported; none are found where
    there is no such module.
    """
    if (file := source(name)) is not None:
        return [file]
    package = name.partition(":")[0].partition(".")[0]
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # of a module that has no specification, such as __main__
        return []
    if found is None:
        return []
    if found.submodule_search_locations is None:
        return [Path(found.origin)] if found.origin and found.has_location else []
    folders = [Path(folder) for folder in found.submodule_search_locations]
    if package == "torch":  # its version tells, and thousands of files take long to read
        return [folder / "version.py" for folder in folders]
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


def content(file: Path) -> str:
    """Digest of a file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def load(name: str) -> Callable:
    """Import the function ``module:function``.

    Raises
    ------
    ValueError
        If there is none, or its module cannot be imported.
    """
    module, _, function = name.partition(":")
    file = source(name)
    if file is None and not code_files(name):
        there = " or ".join(dict.fromkeys(map(str, folders())))
        files = "" if "." in module else f"{module}.py in {there}, and no "
        raise ValueError(f"{name}: there is no {files}installed module {module}")
    try:
        loaded = import_module(module) if file is None else _load_file(file)
    except (Exception, SystemExit) as error:
        why = reason(error, file)
        raise ValueError(f"{name}: {file or module} cannot be imported: {why}") from error
    found = getattr(loaded, function, None)
    if not callable(found):
        raise ValueError(f"{name}: {file or module} has no function {function}")
    return found


def _load_file(file: Path) -> ModuleType:
    # Under a name that no other module has: that of the file may be one of Python's.
    spec = spec_from_file_location(f"kancore_own_{file.stem}", file)
    assert spec is not None  # as of every file that ends in .py
    module = module_from_spec(spec)
    # Compiled anew: compiled files are known by their time and size, which two versions may share.
    exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)
    return module


def reason(error: BaseException, file: Path | None) -> str:
    """Say what went wrong, and in which line of the user's file."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file)
    ]
    place = f" ({file.name}, line {lines[-1]})" if file is not None and lines else ""
    return f"{type(error).__name__}: {error}{place}"
