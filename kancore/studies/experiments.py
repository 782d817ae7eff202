"""The experiments of a study: each is a list of training jobs.

One more experiment is one more function in `EXPERIMENTS`. Its jobs are then planned, trained,
watched and merged as all others, and their rows put into tables of the experiment's name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from kancore.schemes import AXES, COMBINED, Architecture, Scheme, Sweep
from kancore.studies.changes import (
    audit_plan,
    audited,
    changed_by,
    stability_plan,
    varied,
)
from kancore.studies.jobs import Job, by_job
from kancore.studies.study import ConfigError, Study, choose, depths_of

# Snakemake plans some 300 jobs a second.
MOST_JOBS = 20_000
# Rates of all sweeps of a job, which is told on a command line: Linux gives an argument 128 KiB.
_MOST_RATES = 3000
# What follow-ups vary.
FOLLOW_UPS = ("activation", "width_degree", "grid_size")
# Files of what jobs wait for, below the folder of a study.
BEST_SCHEME, HELPFUL_FACTORS = "chosen/scheme/{dataset}.json", "chosen/factors.json"


def grid(study: Study) -> Iterator[Job]:
    """Train every scheme of every architecture (paper, section 4)."""
    for name, sweeps in by_job(study.sweeps(), study.settings["depths_in_turn"]).items():
        yield Job("grid", name, "grid", study.protocol, sweeps)


def follow_ups(study: Study) -> Iterator[Job]:
    """Vary KANs, trained by the best scheme of their data set (paper, section 5).

    Base activations; widths and degrees of one and two hidden layers, and the widths by which the
    least degree has as many parameters as others; grid sizes. None unless the grid has KANs under
    backpropagation.
    """
    settings = study.settings["follow_ups"]
    if "kan" not in study.settings["models"] or "backprop" not in study.settings["objectives"]:
        return
    for experiment, dataset in product(FOLLOW_UPS, study.settings["datasets"]):
        if experiment not in choose(settings["experiments"], "kan", dataset):
            continue
        architectures = _varied(study, experiment, dataset)
        for seed in settings[experiment]["seeds"]:
            sweeps = tuple(
                _by_any_scheme(study.sweep(dataset, "backprop", architecture, seed))
                for architecture in architectures
            )
            name = f"{experiment}/{dataset}/seed{seed}"
            choice = BEST_SCHEME.format(dataset=dataset)
            yield Job("follow_ups", name, experiment, study.protocol, sweeps, choice)


def _varied(study: Study, experiment: str, dataset: str) -> tuple[Architecture, ...]:
    """Vary what a follow-up varies in the first KAN that the grid has of each depth."""
    axes = study.settings["follow_ups"][experiment]
    found = reversed([*study.architectures(dataset)])
    by_depth = {kan.depth: kan for kan in found if kan.degree}
    kans = [by_depth[depth] for depth in depths_of(study.settings, "kan", dataset)]
    if experiment == "width_degree":
        built = [*product((1, 2), axes["widths"], axes["degrees"])]
        built += [(1, width, min(axes["degrees"])) for width in _matching_widths(kans[0], **axes)]
        return tuple(
            replace(kans[0], hidden_widths=(width,) * layers, degree=degree)
            for layers, width, degree in built
        )
    values = axes["activations"] if experiment == "activation" else axes["grid_sizes"]
    return tuple(replace(kan, **{experiment: value}) for kan, value in product(kans, values))


def _matching_widths(
    kan: Architecture, widths: Sequence[int], degrees: Sequence[int], **_: Any
) -> list[int]:
    """Further widths by which the least degree has as many parameters as each width and degree.

    With one hidden layer a KAN's parameters are in proportion to its width. Where that is no whole
    number the two beside it are there, between which accuracies are interpolated.
    """
    # The base branch has a weight, splines their coefficients and a scale, if that is trained.
    rest = (kan.grid_size or 0) + 1 + (kan.spline_scale == "trained")
    least = rest + min(degrees)
    sizes = [width * (rest + degree) for width, degree in product(widths, degrees)]
    found = {beside for size in sizes for beside in (size // least, -(-size // least))}
    return sorted(found - set(widths))


def _by_any_scheme(sweep: Sweep) -> Sweep:
    """Give a sweep of one scheme, which is chosen later, from new weights.

    It is the same for all grids: with another the job would be another, though the choice may not.
    """
    scheme = Scheme("adam", 0.001, "kaiming_normal")  # no optimizer takes more memory
    axes: dict[str, Any] = {axis: (getattr(scheme, field),) for field, axis in AXES.items()}
    return replace(sweep, warm_start=False, **axes)


def audit(study: Study) -> Iterator[Job]:
    """Train a clean study again under the published protocol and each departure.

    A sweep that a protocol leaves as it was is trained once.
    """
    yield from _of_a_plan("audit", audit_plan(study), lambda protocol: audited(study, protocol))


def stability(study: Study) -> Iterator[Job]:
    """Train KANs under each factor that may make them stable, and without any."""
    yield from _of_a_plan("stability", stability_plan(study), lambda name: varied(study, name))


def combined(study: Study) -> Iterator[Job]:
    """Train KANs under all factors together that help; the baseline's jobs, in its names."""
    if not study.settings["stability"]["train"]:
        return
    baseline = changed_by(study, [])
    for name, sweeps in by_job(baseline.sweeps(), baseline.settings["depths_in_turn"]).items():
        yield Job("combined", name, "stability", COMBINED, sweeps, HELPFUL_FACTORS)


def _of_a_plan(
    experiment: str, plan: Iterator[tuple[str, str, Sweep]], changed: Callable[[str], Study]
) -> Iterator[Job]:
    """Put the sweeps of a plan into jobs, each under the first of its names."""
    trained: dict[str, list[Sweep]] = {}
    for name, first, sweep in plan:
        if name == first:
            trained.setdefault(name, []).append(sweep)
    for protocol, sweeps in trained.items():
        in_turn = changed(protocol).settings["depths_in_turn"]
        for name, each in by_job(sweeps, in_turn).items():
            yield Job(experiment, f"{protocol}/{name}", experiment, protocol, each)


EXPERIMENTS: dict[str, Callable[[Study], Iterator[Job]]] = {
    "grid": grid,
    "follow_ups": follow_ups,
    "audit": audit,
    "stability": stability,
    "combined": combined,
}


def jobs(study: Study) -> dict[str, Job]:
    """Every training job of a study by its path, in a fixed order.

    Raises
    ------
    ConfigError
        If they are more than Snakemake plans in a minute, or one trains so many schemes that a
        command has no room for it.
    ValueError
        If two jobs have one path, or one has nothing to train.
    """
    found: dict[str, Job] = {}
    for experiment in EXPERIMENTS.values():
        for job in experiment(study):
            if job.path in found or not job.sweeps:
                why = "of two jobs" if job.sweeps else "of a job without sweeps"
                raise ValueError(f"{job.path} is the path {why}; expected one job that trains")
            found[job.path] = job
    _check_size(study, found)
    return found


def _check_size(study: Study, jobs: Mapping[str, Job]) -> None:
    if len(jobs) > MOST_JOBS:
        stack = study.settings["stack"]
        raise ConfigError(
            f"config: stack is {stack} and there are {len(study.settings['seeds'])} seeds, which "
            f"make {len(jobs):,} jobs; expected at most {MOST_JOBS:,}, as more take minutes to plan"
        )
    for job in jobs.values():
        if sum(len(sweep.learning_rates) for sweep in job.sweeps) > _MOST_RATES:
            raise ConfigError(
                f"config: learning_rates are {len(study.settings['learning_rates']):,}, of "
                f"{len(job.sweeps)} sweeps in one job; expected at most {_MOST_RATES:,} together"
            )
