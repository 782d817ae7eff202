"""Trials of the user's own parts when a study is planned: do they train, and what do they need.

A trial takes PyTorch, which planning does without; so it is a process of its own, and what it found
is kept for as long as the code is the same.
"""

import json
import subprocess
import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kancore import networks
from kancore.data.known import prepared_name
from kancore.data.own_sizes import own_size
from kancore.machine.files import HOPELESS, read_json, read_kept, write_json
from kancore.machine.provenance import ROOT, code_digest
from kancore.networks.parts import Needs
from kancore.schemes import Architecture, Sweep
from kancore.studies.config import ConfigError
from kancore.studies.jobs import Job
from kancore.studies.study import Study
from kancore.training.resources import Shape, needs_of_unknown, shape

_SCRIPT = "workflow_scripts/try_own_parts.py"
# Inputs of networks that initializations are tried on, at most; but of those of the user's own.
_INPUTS = 64

# The key of a study that names a part, its name, and what else its trial takes.
_Part = tuple[Hashable, ...]


def own_networks(
    study: Study, jobs: Iterable[Job], data: Path, kept: Path
) -> dict[tuple[str, Architecture], Shape]:
    """Try all networks, optimizers and initializations of the user's own that a study trains.

    Parameters
    ----------
    study
        The study. One without such parts costs little.
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
        If one of them cannot be built or trained; see `kancore.networks.own.measure` and
        `check_initialization` there, and `kancore.training.own_optimizers.check`.
    """
    sweeps = [sweep for job in jobs for sweep in job.sweeps]
    trained = [
        (each.dataset, each.architecture)
        for each in (*sweeps, *study.landscapes())
        if each.architecture.own
    ]
    models = [*study.settings["models"], *(architecture.model for _, architecture in trained)]
    own = [model for model in dict.fromkeys(models) if ":" in model]
    schemes = [part for sweep in sweeps if sweep.own for part in _of_schemes(study, sweep, data)]
    if not own and not schemes:
        return {}
    sizes = {
        (dataset, architecture): size_of(study, dataset, data) for dataset, architecture in trained
    }
    wanted = {
        key: key[1].widths(size.features, size.classes) if known else None
        for key, (size, known) in sizes.items()
    }
    tried = [("models", key[1].model, widths) for key, widths in wanted.items() if widths]
    # Those that no data set is known for are imported, at least.
    alone = [("models", model, ()) for model in own if model not in {name for _, name, _ in tried}]
    found = _try(dict.fromkeys([*tried, *alone, *schemes]), kept)
    return {
        key: replace(size, own=_needs(found, key[1], wanted[key], size))
        for key, (size, _) in sizes.items()
    }


def _needs(found: dict, architecture: Architecture, widths: Sequence[int] | None, size: Shape):
    if widths is None:
        return needs_of_unknown(architecture.widths(size.features, size.classes))
    return Needs(**found["models", architecture.model, widths])


def _of_schemes(study: Study, sweep: Sweep, data: Path) -> Iterator[_Part]:
    """Give what is tried of the optimizers and initializations of a sweep."""
    for optimizer, rate in product(sweep.optimizers, sweep.learning_rates):
        if ":" in optimizer:
            yield "optimizers", optimizer, rate, sweep.weight_decay
    size, known = size_of(study, sweep.dataset, data)
    architecture = sweep.architecture
    if known or not architecture.own:
        inputs = size.features if architecture.own else min(size.features, _INPUTS)
        for initialization in sweep.initializations:
            if ":" in initialization:
                yield "initializations", initialization, architecture, inputs, size.classes


def size_of(study: Study, dataset: str, data: Path) -> tuple[Shape, bool]:
    """Give the size of a data set, and whether that is exact.

    Parameters
    ----------
    study, dataset
        The study, and the name of the data set.
    data
        Folder of the data sets that are prepared. One of the user's own that is not among them yet,
        or was of another size when it was prepared, is as large as its file says, if that can be
        read, and its classes are not known.
    """
    settings = study.settings["data"]
    size = shape(dataset, settings)
    if dataset not in settings["own"]:
        return size, True
    found = own_size(Path(settings["own"][dataset]))
    match read_kept(data / f"{prepared_name(dataset, settings)}.json"):
        case {
            "features": int(features),
            "class_names": [_, *_] as names,
            "train_counts": [*train],
            "test_counts": [*test],
            "image_shape": image_shape,
        } if _are_counts(train + test) and _is_of(found, features, sum(train + test)):
            stored = 4 if image_shape is None else 1
            return Shape(features, len(names), sum(train), sum(test), stored), True
    if found:
        features, examples, unseen, stored = found
        return Shape(features, size.classes, examples, unseen, stored), False
    return size, False


def _is_of(found: tuple[int, int, int, int] | None, features: int, examples: int) -> bool:
    """Whether what was prepared is of the size that the file has now, as far as that tells."""
    if found is None:
        return features > 0
    now = found[1] + found[2]  # of a large CSV file an estimate
    return features == found[0] and abs(examples - now) <= now / 4


def _are_counts(values: list) -> bool:
    return all(isinstance(value, int) and value >= 0 for value in values)


def _try(wanted: Iterable[_Part], kept: Path) -> dict[_Part, Any]:
    """Give what is known of parts, and try what is not."""
    known = {key: each for key, each in read_kept(kept).items() if _are_needs(each)}
    keys = {part: _key(part) for part in wanted}
    todo = [part for part, key in keys.items() if key not in known]
    if todo:
        found = _run(todo)
        known |= {keys[part]: each for part, each in zip(todo, found, strict=True)}
        with suppress(OSError):  # it is tried again next time
            write_json(kept, known)
    return {part: known[key] for part, key in keys.items()}


def _are_needs(value: Any) -> bool:
    """Whether what was kept is what a model needs, or nothing, as of parts that need nothing."""
    names = {each.name for each in fields(Needs)}
    return value is None or (isinstance(value, dict) and set(value) == names)


def _key(part: _Part) -> str:
    models = [each.model for each in part if isinstance(each, Architecture)]
    names = [each for each in part if isinstance(each, str) and ":" in each]
    modules = [module for model in models for module in networks.modules(model)]
    code = code_digest(_SCRIPT, networks.OWN, *names, *modules)
    return f"{json.dumps(part, default=asdict)} {code} torch {version('torch')}"


def _run(wanted: Sequence[_Part]) -> list[dict | None]:
    with TemporaryDirectory() as folder:
        out = Path(folder, "needs.json")
        command = [sys.executable, "-P", str(ROOT / "workflow_scripts" / "run.py"), _SCRIPT]
        done = subprocess.run(
            [*command, "--parts", json.dumps(wanted, default=asdict), "--out", out],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().removesuffix(HOPELESS).strip()
            *_, reason = ["functions of your own cannot be tried", *said.splitlines()]
            raise ConfigError(f"config: {reason}")
        return read_json(out)
