"""Digests of the code that a program really reaches, so that results follow code.

A digest covers the syntax trees, without docstrings and the texts below fields, of a script and of
every kancore module that it imports, directly or not, and the tokens of the C++ source of the same
name beside a module. Comments, layout and time stamps do not count. Modules that a program chooses
by name (a model, a figure) are named beside the script; so are functions of the user's own,
``module:function``.

Modules that only say how a job runs are left out (`_HOW`), and where a study is for CPUs, so are
those that only GPUs run (`_ON_GPUS`). What a job computes must not depend on them: all that changes
a digit of a table belongs elsewhere.
"""

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from kancore.machine import cpp, own_code
from kancore.machine.files import read_kept, write_json

PACKAGE = "kancore"
_PLAN = "KANCORE_PLANNED_DIGESTS"
_KEPT = "KANCORE_CODE_READ"
ROOT = Path(__file__).resolve().parents[2]
# Modules and packages that say how a job runs, not what it gives.
_HOW = (
    # Devices, memory, locks, files, interruption.
    "kancore.machine",
    # Estimates that a scheduler asks for.
    "kancore.training.resources",
    # A job gives the same if it is stopped and goes on; what of it is kept, `training.state` says.
    "kancore.training.checkpoints",
    # What a person is shown meanwhile.
    "kancore.training.progress",
)
# Modules whose functions no CPU runs; `layers.on_chip`, which tells that, is none of them.
_ON_GPUS = tuple(
    f"kancore.layers.{each}" for each in ("tiles", "triton_operators", "triton_kernels")
)


@cache
def _module_file(name: str) -> Path | None:
    """File of a module of the package, or ``None`` if `name` is no module (an attribute, say)."""
    base = ROOT.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _imported(tree: ast.Module, path: Path, name: str) -> Iterator[str]:
    """Names that `tree` may import from the package; some of them attributes, not modules."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Give the tree and all statements below it: a tenth of what `ast.walk` gives."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, field, None)
            todo += below if isinstance(below, list) else []


def _write(node: Any, words: list[str]) -> None:
    """Write what `ast.dump` says, in words of less sugar and half the time."""
    if isinstance(node, list):
        words.append("[")
        for each in node:
            _write(each, words)
        words.append("]")
    elif isinstance(node, ast.AST):
        words.append(type(node).__name__)
        for field in node._fields:
            _write(getattr(node, field, None), words)
    else:
        words.append(repr(node))


def _without_texts(tree: ast.Module) -> ast.Module:
    """Leave out statements that are a text alone: docstrings, and what is said below a field."""
    for node in _statements(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
    return tree


def _is_text(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Constant(str())):
            return True
    return False


@cache
def _read(path: Path, name: str) -> tuple[str, tuple[str, ...]]:
    """Digest of one file, and the names that it imports from the package."""
    content, compiled = path.read_bytes(), sorted(path.with_name(f"{path.stem}_cpp").glob("*"))
    all_read = (content, *(file.read_bytes() for file in compiled))
    key = _key(name, *all_read)
    place, kept = os.path.relpath(path, ROOT), _kept()
    match kept.get(place):
        case {"key": before, "digest": str(digest), "imports": list(names)} if before == key:
            return digest, tuple(names)
    tree = ast.parse(content, filename=str(path))
    names = sorted({n for n in _imported(tree, path, name) if n.split(".")[0] == PACKAGE})
    words: list[str] = []
    _write(_without_texts(tree), words)
    if compiled:
        words.append(cpp.source_digest(compiled))
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()
    kept[place] = {"key": key, "digest": digest, "imports": names}
    return digest, tuple(names)


@cache
def _kept() -> dict[str, Any]:
    """Give what has been read of each file, before too: to parse all is a third of planning."""
    return read_kept(os.environ[_KEPT]) if _KEPT in os.environ else {}


def keep_what_was_read() -> None:
    """Keep it for the next plan and for jobs, in the file that `set_environment` was given."""
    if read_kept(os.environ[_KEPT]) != _kept():
        with suppress(OSError):  # it is read again next time
            write_json(os.environ[_KEPT], _kept())


def _key(name: str, *contents: bytes) -> str:
    """Digest of all that `_read` depends on."""
    parts = (name.encode(), sys.version.encode(), *_reader(), *contents)
    return hashlib.sha256(repr([*map(_sha256, parts)]).encode()).hexdigest()


@cache
def _reader() -> tuple[bytes, ...]:
    """Give the code that reads code."""
    return tuple(Path(file).read_bytes() for file in (__file__, cpp.__file__))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_own(model: str) -> tuple[str, tuple[str, ...]]:
    """Digest of the code of a function of the user's, and the names that it imports from here."""
    found: list[tuple[str, str]] = []
    imported: list[str] = []
    for file in own_code.code_files(model):
        try:
            digest, names = _read(file, file.stem)
        except (SyntaxError, ValueError):  # told when it is imported
            digest, names = own_code.content(file), ()
        found.append((file.name, digest))
        imported += names
    return hashlib.sha256(repr(found).encode()).hexdigest(), tuple(imported)


@cache
def code_digest(script: str, *modules: str, device: str = "auto") -> str:
    """Digest of all code of the project that a script reaches, and that can change what it gives.

    Parameters
    ----------
    script
        Path of the script, relative to the project's root or absolute.
    *modules
        Modules that it chooses by name at run time, and functions of the user's. They count in any
        case.
    device
        What the study says: ``cpu``, ``cuda``, or ``auto``. Of ``cpu``, code for GPUs is left out.
        Which device there is does not count, as another machine may plan than trains.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    left_out = (*_HOW, *_ON_GPUS) if device == "cpu" else _HOW
    path = ROOT / script
    digest, names = _read(path, path.stem)
    found, todo = {path.name: digest}, [*_without(left_out, names), *modules]
    while todo:
        name = todo.pop()
        if ":" in name:
            found[name], names = _read_own(name)
            todo += _without(left_out, names)
            continue
        file = _module_file(name)
        if name in found or file is None:
            continue
        found[name], names = _read(file, name)
        # Importing a module runs the packages above it.
        above = [name.rpartition(".")[0]] if "." in name else []
        todo += _without(left_out, [*names, *above])
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]


def _without(left_out: Iterable[str], names: Iterable[str]) -> list[str]:
    """Names that are not of modules or packages which are left out, nor below them."""
    beginnings = tuple(f"{each}." for each in left_out)
    return [name for name in names if not f"{name}.".startswith(beginnings)]


def check_code(script: str, planned: str, *modules: str, device: str = "auto") -> None:
    """Refuse to run if the code is not what the job was planned with.

    Parameters
    ----------
    script, *modules, device
        As for `code_digest`.
    planned
        The digest that the plan holds.

    Raises
    ------
    SystemExit
        If the code has changed since.
    """
    if (found := code_digest(script, *modules, device=device)) != planned:
        raise SystemExit(
            f"{Path(script).name}: the code has changed since this job was planned "
            f"(digest {planned}, now {found}); run snakemake again"
        )


def planned_digest(script: str, *modules: str, device: str = "auto") -> str:
    """Digest of a script's code as it was when the running workflow was planned.

    The process that plans takes the digest and hands it to the processes that it starts, through
    their environment. Those of them that plan again, as jobs on a cluster do, thus find what the
    first one found, and `check_code` tells them if the code is no longer that.
    """
    key = " ".join([script, *sorted(modules), f"device={device}"])
    plan = json.loads(os.environ.get(_PLAN, "{}"))
    if key not in plan:
        plan[key] = code_digest(script, *modules, device=device)
        os.environ[_PLAN] = json.dumps(plan, sort_keys=True)
    return plan[key]


def set_environment(kept: Path, alone: bool = True) -> None:
    """Let child processes run this Python as ``python``, and find what runs the programs.

    None of them, jobs on a cluster included, looks for modules in the working folder, where files
    may be named as modules of Python. ``KANCORE_RUN`` is the path of what runs the programs: as a
    parameter of rules, it would make all again in another folder.

    Parameters
    ----------
    kept
        JSON file for what `code_digest` has read of each file of code, while that is the same.
    alone
        Whether no other workflow has this one as a module; the programs of one that has may well
        look for modules in the working folder.
    """
    first = str(Path(sys.executable).parent)
    others = os.environ.get("PATH", "").split(os.pathsep)
    rest = [other for other in others if other not in ("", first)]
    os.environ["PATH"] = os.pathsep.join([first, *rest])
    if alone:
        os.environ["PYTHONSAFEPATH"] = "1"
    os.environ[_KEPT] = str(kept.absolute())
    os.environ["KANCORE_RUN"] = str(ROOT / "workflow_scripts" / "run.py")


def git_revision() -> str:
    """Describe the revision of the project's files, ``+`` where modified; or ``unknown``.

    It is unknown, too, where they lie in a repository of something else.
    """
    here = Path(__file__).resolve().relative_to(ROOT).as_posix()
    # The path in the repository, which is the one here if it holds the project and nothing above.
    if _git("ls-files", "--full-name", f"./{here}") != here:
        return "unknown"
    return _git("describe", "--always", "--abbrev=12", "--dirty=+") or "unknown"


def _git(*arguments: str) -> str | None:
    """Ask git about the project's folder; ``None`` if it fails."""
    # Git sets some for programs that it starts, hooks say, and they may speak of another folder.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
