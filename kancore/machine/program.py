"""Programs: functions whose typed arguments are the options of a command line."""

import argparse
import inspect
import json
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from kancore.machine.files import run_plainly
from kancore.machine.provenance import check_code


def program(
    main: Callable[..., None],
    modules: Callable[..., Iterable[str]] | None = None,
    planned: bool = True,
) -> None:
    """Run a function as a program, with arguments from the command line.

    An argument is an option, required where it has no default: a word (`str`, `int`, `float`,
    `Path` or `Literal`), several words (`list` or `Sequence`), a flag with its opposite ``--no-``
    (`bool`), or else a value in JSON; `main(*these)` are words without an option. Its help is what
    the docstring of `main` says of it.

    Parameters
    ----------
    main
        The function, with annotations.
    modules
        Gives the modules that the program chooses by name, for `check_code`. Its arguments are some
        of those of `main`.
    planned
        Whether jobs of the workflow run the program. They pass ``--code``, the digest of the code
        that they were planned with for their `device`. It is checked, and given to `main` as `code`
        if that asks.

    Raises
    ------
    SystemExit
        In one line, if an argument, the code, a file or the memory is the matter.
    """
    run_plainly(partial(_run, main, modules, planned))


def _run(
    main: Callable[..., None], modules: Callable[..., Iterable[str]] | None, planned: bool
) -> None:
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parameters = inspect.signature(main).parameters
    texts = _described(main)
    for name, parameter in parameters.items():
        alone = parameter.kind is parameter.VAR_POSITIONAL
        option = name if alone else f"--{name.replace('_', '-')}"
        parser.add_argument(option, **_reading(parameter), help=texts.get(name))
    if planned and "code" not in parameters:
        parser.add_argument("--code", required=True, help="digest of the code, as planned")
    given = OrderedDict(vars(parser.parse_args()))
    if planned:
        chosen = _call(modules, given) if modules else ()
        device = given.get("device", "auto")
        check_code(inspect.getfile(main), given["code"], *chosen, device=device)
    _call(main, given)


def _call(function: Callable, given: OrderedDict[str, Any]) -> Any:
    """Call a function with those of the arguments that it has."""
    bound = inspect.BoundArguments(inspect.signature(function), given)
    return function(*bound.args, **bound.kwargs)


def _described(main: Callable) -> dict[str, str]:
    """Find what a docstring in NumPy's style says of each argument."""
    found = re.findall(r"^(\S.*)\n((?: .*\n?)+)", inspect.getdoc(main) or "", re.MULTILINE)
    return {
        name: " ".join(text.split()).replace("%", "%%")
        for names, text in found
        for name in names.split(", ")
    }


def _reading(parameter: inspect.Parameter) -> dict[str, Any]:
    """How argparse reads an argument of this kind."""
    kind = parameter.annotation
    if parameter.kind is parameter.VAR_POSITIONAL:
        return {**_word(kind), "nargs": "+"}
    if parameter.default is parameter.empty:
        reading = {"required": True}
    else:
        reading = {"default": parameter.default}
    if isinstance(kind, UnionType):
        (kind,) = set(get_args(kind)) - {NoneType}
    if kind is bool:
        return reading | {"action": argparse.BooleanOptionalAction}
    if get_origin(kind) in (list, Sequence) and (word := _word(get_args(kind)[0])):
        return reading | word | {"nargs": "+"}
    return reading | (_word(kind) or {"type": json.loads, "metavar": "JSON"})


def _word(kind: Any) -> dict[str, Any]:
    """How argparse reads one word; nothing if it takes more."""
    if get_origin(kind) is Literal:
        return {"type": type(get_args(kind)[0]), "choices": get_args(kind)}
    return {"type": kind} if kind in (str, int, float, Path) else {}
