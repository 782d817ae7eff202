"""Protocols: how a study trains and measures - cleanly, or as the published code does.

Each departure of the published code from the paper's text is a switch of its own: a name, and the
settings that it changes. A protocol is the departures that it makes: ``clean`` makes none and
``published`` all of them.
"""

from collections.abc import Collection

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
