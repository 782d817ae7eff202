"""Protocols: how a study trains and measures - cleanly, or as the published code does.

Each departure of the published code from the paper's text is a switch of its own: a name, and the
settings that it changes. A protocol is the departures that it makes: ``clean`` makes none and
``published`` all of them. What an experiment trains under changed settings is a `Variant`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from kancore.schemes import Series

CLEAN = "clean"
PUBLISHED = "published"


def departures(protocol: str | list[str], known: Collection[str]) -> list[str]:
    """List the departures of a protocol: ``clean``, ``published``, one of `known`, or a list."""
    if protocol == PUBLISHED:
        return list(known)
    if protocol == CLEAN:
        return []
    return [protocol] if isinstance(protocol, str) else protocol


def protocol_name(made: Collection[str], known: Collection[str]) -> str:
    """Name the protocol that makes some of the `known` departures."""
    if not made:
        return CLEAN
    return PUBLISHED if set(made) == set(known) else "+".join(made)


@dataclass(frozen=True)
class Variant:
    """A series under settings that an experiment changes: what one training job does.

    Attributes
    ----------
    changed : str
        What the settings make: of the audit a protocol, of the experiment on stability a factor.
    series : Series
        What is trained.
    """

    changed: str
    series: Series

    @property
    def name(self) -> str:
        """Path of the job below the folder of its experiment."""
        return f"{self.changed}/{self.series.name}"
