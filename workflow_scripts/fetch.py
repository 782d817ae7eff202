"""Download the raw files of a data set, and list them in a file when all are there."""

import os
from pathlib import Path

from kancore.data import download
from kancore.machine.files import write_atomically
from kancore.machine.program import program


def main(
    dataset: str,
    folder: Path,
    out: Path,
    mirror: str | None = None,
    verify: bool = True,
    rows: int | None = None,
) -> None:
    """Download what is missing in a folder.

    Parameters
    ----------
    out
        List of the files, written at the end.
    mirror
        The only source; without one, KANCORE_MIRROR, or else the publishers.
    verify
        Whether a wrong checksum is an error, not a warning.
    rows
        Rows of a table that are enough.
    """
    mirror = mirror or os.environ.get("KANCORE_MIRROR")
    try:
        files = download.fetch(dataset, folder, mirror=mirror, rows=rows, verify=verify)
    except ValueError as error:
        raise SystemExit(f"{error}") from error
    names = "".join(f"{file.name}\n" for file in files)
    write_atomically(out, lambda part: part.write_text(names))


if __name__ == "__main__":
    program(main, lambda dataset: [f"kancore.data.{dataset}"])
