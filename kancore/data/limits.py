"""What a file that is read may take of the memory that there is."""

from kancore.machine.memory import usable_mb


class TooLargeError(ValueError):
    """What is to be read would not fit into memory."""


def check_memory(needed: float) -> None:
    """Refuse what would not fit, before it is read.

    Parameters
    ----------
    needed
        Bytes that it takes in memory.

    Raises
    ------
    TooLargeError
        If this process may not take so many.
    """
    usable = usable_mb()
    if needed > usable * 1e6:
        raise TooLargeError(
            f"takes {needed / 1e6:,.0f} MB unpacked, of {usable:,} MB of memory that there are"
        )
