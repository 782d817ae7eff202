"""Digests of the code that a program really reaches, so that results follow code.

A digest covers the syntax trees, without docstrings, of a script and of every kancore module that
it imports, directly or not, and the C++ source of the same name beside a module. Python's comments,
layout and time stamps do not count. Modules that a program chooses by name (a model, a figure) are
named beside the script; so are functions of the user's own, ``module:function``.
"""

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from kancore.machine import own_code

PACKAGE = "kancore"
_PLAN = "KANCORE_PLANNED_DIGESTS"
ROOT = Path(__file__).resolve().parents[2]


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


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in _statements(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return tree


@cache
def _read(path: Path, name: str) -> tuple[str, tuple[str, ...]]:
    """Digest of one file, and the names that it imports from the package."""
    tree = ast.parse(path.read_bytes(), filename=str(path))
    names = {n for n in _imported(tree, path, name) if n.split(".")[0] == PACKAGE}
    words: list[str] = []
    _write(_without_docstrings(tree), words)
    content = "\n".join(words).encode()
    for compiled in sorted(path.with_name(f"{path.stem}_cpp").glob("*")):
        content += compiled.read_bytes()
    return hashlib.sha256(content).hexdigest(), tuple(sorted(names))


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
def code_digest(script: str, *modules: str) -> str:
    """Digest of all code of the project that a script reaches.

    Parameters
    ----------
    script
        Path of the script, relative to the project's root or absolute.
    *modules
        Modules that it chooses by name at run time, and functions of the user's.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    path = ROOT / script
    digest, names = _read(path, path.stem)
    found, todo = {path.name: digest}, [*names, *modules]
    while todo:
        name = todo.pop()
        if ":" in name:
            found[name], names = _read_own(name)
            todo += names
            continue
        file = _module_file(name)
        if name in found or file is None:
            continue
        found[name], names = _read(file, name)
        # Importing a module runs the packages above it.
        todo += [*names, *([name.rpartition(".")[0]] if "." in name else [])]
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]


def check_code(script: str, planned: str, *modules: str) -> None:
    """Refuse to run if the code is not what the job was planned with.

    Parameters
    ----------
    script, *modules
        As for `code_digest`.
    planned
        The digest that the plan holds.

    Raises
    ------
    SystemExit
        If the code has changed since.
    """
    if (found := code_digest(script, *modules)) != planned:
        raise SystemExit(
            f"{Path(script).name}: the code has changed since this job was planned "
            f"(digest {planned}, now {found}); run snakemake again"
        )


def planned_digest(script: str, *modules: str) -> str:
    """Digest of a script's code as it was when the running workflow was planned.

    The process that plans takes the digest and hands it to the processes that it starts, through
    their environment. Those of them that plan again, as jobs on a cluster do, thus find what the
    first one found, and `check_code` tells them if the code is no longer that.
    """
    key = " ".join([script, *sorted(modules)])
    plan = json.loads(os.environ.get(_PLAN, "{}"))
    if key not in plan:
        plan[key] = code_digest(script, *modules)
        os.environ[_PLAN] = json.dumps(plan, sort_keys=True)
    return plan[key]


def set_environment() -> None:
    """Let child processes run this Python as ``python``, and find what runs the programs.

    ``KANCORE_RUN`` is its path: as a parameter of rules, it would make all again in another folder.
    """
    first = str(Path(sys.executable).parent)
    others = os.environ.get("PATH", "").split(os.pathsep)
    kept = [other for other in others if other not in ("", first)]
    os.environ["PATH"] = os.pathsep.join([first, *kept])
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
