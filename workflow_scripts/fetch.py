"""Download a raw file of a data set."""

import os
from pathlib import Path

from kancore.data import download
from kancore.machine.program import program


def main(
    dataset: str,
    out: Path,
    verify: bool = True,
    rows: int | None = None,
) -> None:
    """Download it into the folder of its data set, from KANCORE_MIRROR if that is set.

    Parameters
    ----------
    out
        The file.
    verify
        Whether a wrong checksum is an error, not a warning.
    rows
        Rows of a table that are enough.
    """
    mirror = os.environ.get("KANCORE_MIRROR")
    try:
        download.fetch(dataset, out.parent, mirror=mirror, rows=rows, verify=verify, name=out.name)
    except ValueError as error:
        raise SystemExit(f"{error}") from error


if __name__ == "__main__":
    program(main, lambda dataset: [f"kancore.data.{dataset}"])
