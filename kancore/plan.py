"""What a study will take, before it runs: ``python -m kancore.plan study=paper``.

Counts jobs and networks of each experiment, and estimates time, memory and disk. Time comes from
steps that are timed on this machine, a few seconds for each model and objective on each data set,
of the smallest networks and of those of middle size, scaled by the floating-point operations that
the study's own networks take.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from kancore.data.own import prepare
from kancore.data.preparation import make_dataset
from kancore.machine import memory
from kancore.machine.files import run_command
from kancore.machine.messages import reason, told
from kancore.machine.processor import prepare_process
from kancore.machine.provenance import ROOT
from kancore.schemes import Sweep
from kancore.status import duration
from kancore.studies import trials
from kancore.studies.config import ConfigError, resolve
from kancore.studies.experiments import jobs
from kancore.studies.jobs import Job
from kancore.studies.study import Study, merge
from kancore.training import resources
from kancore.training.loop import Training
from kancore.training.resources import Shape

# Seconds for which steps of a sweep are timed; weights of a stack that is timed, and its examples.
_SECONDS, _WEIGHTS, _EXAMPLES = 0.5, 5e6, 1024
# Numbers of a network, or of what it makes of a batch, that are timed at most.
_MOST = 2e8
# Seconds in which a job starts, reads its data and writes its tables.
_START = 3.0
_COUNTS = "jobs", "networks"
# What is said of jobs that this machine has too little memory for.
_TOLD = {
    "train their networks in parts, one after the other, for lack of memory here": "in_parts",
    "have a network that is too large for the memory here": "too_large",
}


@dataclass(frozen=True)
class Part:
    """What one experiment will take.

    Attributes
    ----------
    jobs, networks : int
        Training jobs, and networks that they train.
    seconds : float
        Of one core, or of the GPU.
    memory_mb : int
        The most that a job takes.
    in_parts, too_large : list of str
        Jobs whose stacks this machine trains in parts, one after the other; and jobs of which one
        network is too large for it.
    """

    jobs: int
    networks: int
    seconds: float
    memory_mb: int
    in_parts: list[str]
    too_large: list[str]


def rate(sweep: Sweep, size: Shape, device: str) -> float:
    """Time steps of a sweep, or of some of its schemes where that are many weights.

    Parameters
    ----------
    sweep, size
        What a study trains, and on how much. The numbers are made up.
    device
        ``cpu`` or ``cuda``.

    Returns
    -------
    float
        Floating-point operations a second, by `resources.work`.
    """
    batch = min(sweep.batch_size, sweep.train_examples or size.train, _EXAMPLES)
    once = {"epochs": 1, "evaluate_every": 1, "warmup_epochs": 0, "warm_start": False}
    whole = {"train_examples": None, "test_examples": None, "validation_fraction": 0.0}
    small = replace(sweep, batch_size=batch, **once, **whole)  # type: ignore[arg-type]
    weights = resources.parameters(sweep, size)
    for axis in ("initializations", "learning_rates", "optimizers"):
        if weights * len(small.schemes) > _WEIGHTS:
            small = replace(small, **{axis: getattr(small, axis)[:1]})  # type: ignore[arg-type]
    small, size = _narrowed(small, size)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * batch, size.features, generator=generator)
    y = torch.arange(2 * batch) % size.classes
    names = tuple(map(str, range(size.classes)))
    data = make_dataset(sweep.dataset, x, y, x, y, class_names=names, source="made up")
    training = Training(small, data, device)
    batches = list(training.splits.training_batches(0))
    training.step(*batches[0])
    begun, steps = time.perf_counter(), 0
    while time.perf_counter() - begun < _SECONDS:
        training.step(*batches[steps % len(batches)])
        steps += 1
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = (time.perf_counter() - begun) / steps
    return resources.work_of_step(small, replace(size, train=batch)) / seconds


def _narrowed(sweep: Sweep, size: Shape) -> tuple[Sweep, Shape]:
    """Give networks of the same speed that memory has room for, narrower if need be."""
    most = 1024
    while not sweep.architecture.own:
        widths = sweep.architecture.widths(size.features, size.classes)
        batches = 2 * sweep.batch_size * max(widths)
        if max(resources.parameters(sweep, size), batches) <= _MOST:
            break
        narrow: dict[str, Any] = {"hidden_widths": tuple(min(each, most) for each in widths[1:-1])}
        if sweep.architecture.outputs is not None:
            narrow["outputs"] = max(size.classes, min(sweep.architecture.outputs, most))
        sweep = replace(sweep, architecture=replace(sweep.architecture, **narrow))
        size = replace(size, features=min(size.features, most))
        most //= 2
    return sweep, size


def parts(study: Study, planned: Mapping[str, Job], device: str) -> dict[str, Part]:
    """Estimate what each experiment of a study takes.

    Parameters
    ----------
    study, planned
        The study, and its training jobs.
    device
        ``cpu`` or ``cuda``, where steps are timed.
    """
    data = study.settings["data"]
    kept = Path(".snakemake", "own_models.json")
    own = trials.own_networks(study, planned.values(), Path("results", "data"), kept)
    sizes = own_sizes(study)
    found: dict[str, Part] = {}
    usable = memory.usable_mb()

    def sized(sweep: Sweep) -> Shape:
        known = sizes.get(sweep.dataset) or resources.shape(sweep.dataset, data)
        return own.get((sweep.dataset, sweep.architecture), known)

    alike = _alike(planned.values())
    rates = {key: _rates(sweeps, sized, device) for key, sweeps in alike.items()}
    for job in planned.values():
        needs = [(sweep, sized(sweep)) for sweep in job.sweeps]
        seconds = _START + sum(
            resources.work(*each) / rates[_key(each[0])](each[0]) for each in needs
        )
        most = max(resources.memory_mb(*each, cuda=device == "cuda") for each in needs)
        alone = max(resources.memory_mb(*each, each[0].schemes[:1]) for each in needs)
        before = found.get(job.experiment, Part(0, 0, 0.0, 0, [], []))
        found[job.experiment] = Part(
            before.jobs + 1,
            before.networks + sum(len(sweep.schemes) for sweep in job.sweeps),
            before.seconds + seconds,
            max(before.memory_mb, most),
            before.in_parts + [job.path] * (alone <= usable < most),
            before.too_large + [job.path] * (alone > usable),
        )
    return found


def _rates(
    sweeps: Sequence[Sweep], sized: Callable[[Sweep], Shape], device: str
) -> Callable[[Sweep], float]:
    """Time the smallest and the middle ones of sweeps, and go by the size for the rates of all.

    Small networks do fewer operations a second: splines and activations take their time.
    """

    def of_a_network(sweep: Sweep) -> float:
        return resources.work_of_step(sweep, sized(sweep)) / len(sweep.schemes)

    most = max(len(sweep.schemes) for sweep in sweeps)  # side by side
    stacks = sorted((each for each in sweeps if len(each.schemes) == most), key=of_a_network)
    timed = {
        of_a_network(each): rate(each, sized(each), device)
        for each in (stacks[0], stacks[len(stacks) // 2])
    }
    works, rates = np.log([*timed]), np.log([*timed.values()])
    return lambda sweep: float(np.exp(np.interp(np.log(of_a_network(sweep)), works, rates)))


def own_sizes(study: Study) -> dict[str, Shape]:
    """Read the sizes of the data sets of the user's own that a study trains on.

    Raises
    ------
    ConfigError
        If one cannot be read.
    """
    own = study.settings["data"]["own"]
    return {name: _own_size(name, own[name]) for name in study.settings["datasets"] if name in own}


@cache
def _own_size(name: str, file: str) -> Shape:
    try:
        made = prepare(Path(file), name)
    except (OSError, ValueError) as error:
        raise ConfigError(f"config: data.own.{name}: {reason(error)}") from error
    examples = len(made.y_train), len(made.y_test)
    return Shape(made.features, made.classes, *examples, made.x_train.itemsize)


def _key(sweep: Sweep) -> tuple:
    return sweep.dataset, sweep.architecture.model, sweep.objective, sweep.batch_size


def _alike(planned: Iterable[Job]) -> dict[tuple, list[Sweep]]:
    """Sweeps of one data set, model, objective and batch size, whose speed goes by their size."""
    found: dict[tuple, list[Sweep]] = defaultdict(list)
    for sweep in (sweep for job in planned for sweep in job.sweeps):
        found[_key(sweep)].append(sweep)
    return found


def kept_bytes(study: Study, planned: Mapping[str, Job]) -> float:
    """Bytes of the networks that a study keeps: in the folders of its jobs, and put together."""
    settings, sizes = study.settings, own_sizes(study)
    if settings["keep"] == "none":
        return 0.0
    found: dict[tuple, list[float]] = defaultdict(list)
    for job in planned.values():
        if job.experiment != "grid":
            continue
        for sweep in job.sweeps:
            size = sizes.get(sweep.dataset) or resources.shape(sweep.dataset, settings["data"])
            networks = len(sweep.schemes) if settings["keep"] == "all" else 1
            place = sweep.dataset, sweep.objective, sweep.architecture
            found[place].append(4.0 * networks * resources.parameters(sweep, size))
    together = sum if settings["keep"] == "all" else max
    return sum(sum(each) + together(each) for each in found.values())


def lines(study: Study, found: Mapping[str, Part], kept: float, cores: int) -> Iterator[str]:
    """Write a plan as text."""
    jobs, networks = (sum(getattr(each, name) for each in found.values()) for name in _COUNTS)
    yield f"{study.name}: {jobs:,} training jobs, {networks:,} networks"
    rows = [("", "jobs", "networks", "time of a core", "MB a job")]
    rows += [
        (
            name,
            f"{each.jobs:,}",
            f"{each.networks:,}",
            duration(each.seconds),
            f"{each.memory_mb:,}",
        )
        for name, each in found.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([f"  {first.ljust(widths[0])}", *cells])
    seconds = sum(each.seconds for each in found.values())
    digits = 0 if kept > 1e7 else 1
    yield (
        f"in all {duration(seconds)} of a core, so {duration(seconds / cores)} on {cores}, beside "
        f"landscapes and figures; networks that are kept take {kept / 1e6:,.{digits}f} MB"
    )
    for words, name in _TOLD.items():
        paths = [path for each in found.values() for path in getattr(each, name)]
        if paths:
            yield f"{len(paths)} jobs {words}, such as {paths[0]}"


def configured(files: Sequence[Path], changes: Sequence[str]) -> dict[str, Any]:
    """Read the project's configuration, then files over it, then changes such as ``epochs=3``.

    Raises
    ------
    ConfigError
        If a file or a change cannot be read.
    """
    config = _mapping("config.yaml", (ROOT / "config.yaml").read_text(encoding="utf-8"))
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"config: {file}: {reason(error)}") from error
        config = merge(config, _mapping(str(file), text))
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"config: {told(change)!r}; expected KEY=VALUE, such as study=paper")
        config = merge(config, {key: _yaml(key, value)})
    return config


def _mapping(name: str, text: str) -> dict[str, Any]:
    """Read the keys of a file; an empty one has none."""
    found = _yaml(name, text)
    if not isinstance(found, dict | None):
        raise ConfigError(f"config: {name} holds {type(found).__name__}, expected keys of a study")
    return found or {}


def _yaml(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:  # without the line, which may hold a password
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"config: {name} is not YAML{line}: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"config: {name} is not YAML: {reason(error)}") from error


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m kancore.plan", description=__doc__)
    parser.add_argument("changes", nargs="*", default=[], metavar="KEY=VALUE", help="of the study")
    parser.add_argument(
        "--config", nargs="+", default=[], metavar="KEY=VALUE", help="the same, as Snakemake has it"
    )
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="files of keys")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="default: all")
    given = parser.parse_intermixed_args()
    if given.cores < 1:
        parser.error(f"--cores is {given.cores}, expected at least 1")
    try:
        # What follows --configfile may be a change, too.
        files = [file for file in given.configfile if "=" not in str(file) or file.exists()]
        changes = [str(file) for file in given.configfile if file not in files]
        study = resolve(configured(files, [*given.config, *given.changes, *changes]))
        planned = jobs(study)
        gpu = study.settings["device"] != "cpu" and torch.cuda.is_available()
        prepare_process(study.settings["threads"])  # as jobs do
        found = parts(study, planned, "cuda" if gpu else "cpu")
    except ConfigError as error:
        raise SystemExit(str(error)) from error
    except RecursionError as error:
        raise SystemExit("config: its values hold one another without end") from error
    print(*lines(study, found, kept_bytes(study, planned), given.cores), sep="\n")


if __name__ == "__main__":
    run_command(main)
