"""Trials of the user's own networks when a study is planned: do they train, and what do they need.

A trial takes PyTorch, which planning does without; so it is a process of its own, and what it found
is kept for as long as the code is the same.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kancore import networks
from kancore.machine.files import HOPELESS, read_json, read_kept, write_json
from kancore.machine.provenance import ROOT, code_digest
from kancore.networks.parts import Needs
from kancore.schemes import Architecture
from kancore.studies.config import ConfigError
from kancore.studies.jobs import Job
from kancore.studies.study import Study
from kancore.training.resources import Shape, needs_of_unknown, shape

_SCRIPT = "workflow_scripts/try_models.py"


def own_networks(
    study: Study, jobs: Iterable[Job], data: Path, kept: Path
) -> dict[tuple[str, Architecture], Shape]:
    """Try all networks of the user's own that a study trains.

    Parameters
    ----------
    study
        The study. One without such models costs little.
    jobs
        Its training jobs.
    data
        Folder of the data sets that are prepared, for the size of those of the user's own. On one
        that is not prepared yet networks are not tried, and what they need is guessed.
    kept
        JSON file for what was found.

    Returns
    -------
    dict
        By data set and architecture, the size of the data set with what the network needs.

    Raises
    ------
    ConfigError
        If one of them cannot be built or trained; see `kancore.networks.own.measure`.
    """
    sweeps = (sweep for job in jobs for sweep in job.sweeps)
    trained = [
        (each.dataset, each.architecture)
        for each in (*sweeps, *study.landscapes())
        if each.architecture.own
    ]
    models = [*study.settings["models"], *(architecture.model for _, architecture in trained)]
    own = [model for model in dict.fromkeys(models) if ":" in model]
    if not own:
        return {}
    sizes = {
        (dataset, architecture): _size(study, dataset, data) for dataset, architecture in trained
    }
    wanted = {
        key: key[1].widths(size.features, size.classes) if known else None
        for key, (size, known) in sizes.items()
    }
    tried = [(key[1].model, widths) for key, widths in wanted.items() if widths]
    # Those that no data set is known for are imported, at least.
    alone = [(model, ()) for model in own if model not in dict(tried)]
    found = _try([*dict.fromkeys(tried), *alone], kept)
    return {
        key: replace(size, own=_needs(found, key[1], wanted[key], size))
        for key, (size, _) in sizes.items()
    }


def _needs(found: dict, architecture: Architecture, widths: Sequence[int] | None, size: Shape):
    if widths is None:
        return needs_of_unknown(architecture.widths(size.features, size.classes))
    return found[architecture.model, widths]


def _size(study: Study, dataset: str, data: Path) -> tuple[Shape, bool]:
    """Size of a data set, and whether that is known."""
    size = shape(dataset, study.settings["data"])
    if dataset not in study.settings["data"]["own"]:
        return size, True
    summary = read_kept(data / f"{dataset}.json")
    features, names = summary.get("features"), summary.get("class_names")
    if not isinstance(features, int) or features < 1 or not isinstance(names, list):
        return size, False
    return replace(size, features=features, classes=len(names)), True


def _try(wanted: Iterable[tuple[str, tuple[int, ...]]], kept: Path) -> dict[tuple, Needs | None]:
    """Give what is known of models and widths, and try what is not."""
    known = {key: each for key, each in read_kept(kept).items() if _are_needs(each)}
    keys = {(model, widths): _key(model, widths) for model, widths in wanted}
    todo = [pair for pair, key in keys.items() if key not in known]
    if todo:
        found = _run(todo)
        known |= {keys[pair]: needs for pair, needs in zip(todo, found, strict=True)}
        with suppress(OSError):  # it is tried again next time
            write_json(kept, known)
    needs = {pair: known[key] for pair, key in keys.items()}
    return {pair: Needs(**each) if each else None for pair, each in needs.items()}


def _are_needs(value: Any) -> bool:
    """Whether what was kept is what a model needs, or nothing, of one that was imported alone."""
    names = {each.name for each in fields(Needs)}
    return value is None or (isinstance(value, dict) and set(value) == names)


def _key(model: str, widths: Sequence[int]) -> str:
    code = code_digest(_SCRIPT, *networks.modules(model))
    return f"{model} {'x'.join(map(str, widths))} {code} torch {version('torch')}"


def _run(wanted: Sequence[tuple[str, tuple[int, ...]]]) -> list[dict | None]:
    with TemporaryDirectory() as folder:
        out = Path(folder, "needs.json")
        command = [sys.executable, "-P", str(ROOT / "workflow_scripts" / "run.py"), _SCRIPT]
        done = subprocess.run(
            [*command, "--models", json.dumps(wanted), "--out", out],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().removesuffix(HOPELESS).strip()
            *_, reason = ["it cannot be tried", *said.splitlines()]
            raise ConfigError(f"config: models: {reason}")
        return read_json(out)
