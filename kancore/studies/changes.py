"""A study under changed settings: under protocols, for the audit, and under factors of stability.

Apart from the experiments that train these, so that a further experiment changes no analysis.
"""

from collections.abc import Callable, Iterator, Sequence

from kancore.schemes import BASELINE, Sweep
from kancore.studies.jobs import by_job
from kancore.studies.protocols import CLEAN, PUBLISHED, departures
from kancore.studies.study import Study, merge


def audit_plan(study: Study) -> Iterator[tuple[str, str, Sweep]]:
    """Give every sweep of each protocol, and the protocol under which the audit trains it.

    None unless the study itself is clean.
    """
    alone = study.settings["audit"]["departures"]
    if alone and study.protocol == CLEAN:
        yield from _plan((CLEAN, PUBLISHED, *alone), lambda protocol: audited(study, protocol))


def audited(study: Study, protocol: str) -> Study:
    """Give what the audit trains under a protocol or a single departure."""
    settings = merge(study.settings, study.settings["audit"]["settings"])
    return Study(study.name, settings).under(departures(protocol, settings["departures"]))


def changed_by(study: Study, factors: Sequence[str]) -> Study:
    """Give what the experiment on stability trains with these factors changed, if any."""
    own = study.settings["stability"]
    settings = merge(study.settings, own["settings"])
    for factor in factors:
        settings = merge(settings, own["factors"][factor])
    return Study(study.name, settings)


def varied(study: Study, name: str) -> Study:
    """Give what the experiment on stability trains for the baseline or a single factor."""
    return changed_by(study, [] if name == BASELINE else [name])


def stability_plan(study: Study) -> Iterator[tuple[str, str, Sweep]]:
    """Give every sweep of the baseline and of each factor, and the one that it is trained for."""
    if factors := study.settings["stability"]["train"]:
        yield from _plan((BASELINE, *factors), lambda name: varied(study, name))


def combined_sweeps(study: Study, factors: Sequence[str]) -> dict[str, list[Sweep]]:
    """Give each job of the combination, by its name, its sweeps under the factors that help."""

    def place(sweep: Sweep) -> tuple:
        return sweep.dataset, sweep.architecture.depth, sweep.seed, sweep.part

    found = {place(sweep): sweep for sweep in changed_by(study, factors).sweeps()}
    baseline = changed_by(study, [])
    named = by_job(baseline.sweeps(), baseline.settings["depths_in_turn"])
    return {name: [found[place(sweep)] for sweep in sweeps] for name, sweeps in named.items()}


def _plan(
    names: Sequence[str], changed: Callable[[str], Study]
) -> Iterator[tuple[str, str, Sweep]]:
    """Give every sweep of each changed study, and the first name under which there is the same."""
    first: dict[Sweep, str] = {}
    for name in names:
        for sweep in changed(name).sweeps():
            yield name, first.setdefault(sweep, name), sweep
