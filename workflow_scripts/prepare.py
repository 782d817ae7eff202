"""Make the prepared form of a data set."""

import zlib
from gzip import BadGzipFile
from importlib import import_module
from pathlib import Path

from kancore.data import dataset as prepared
from kancore.data.raw_files import mismatch
from kancore.machine.files import AGAIN, write_json
from kancore.machine.interruption import repeatable
from kancore.machine.last_words import last_words
from kancore.machine.memory import usable_mb
from kancore.machine.program import program

DOWNLOAD = f"{AGAIN} to download it"


def main(
    dataset: str,
    options: dict,
    out: Path,
    summary: Path,
    raw: Path | None = None,
    verify: bool = True,
) -> None:
    """Read raw files, write the prepared form and its summary.

    Parameters
    ----------
    dataset
        Name of the data set, or own.
    raw
        Folder of its raw files, or the user's own file.
    verify
        Whether a wrong checksum of a raw file is an error.
    """
    module = import_module(f"kancore.data.{dataset}")
    with repeatable(), last_words(usable_mb()):
        files = getattr(module, "FILES", ())
        for path, file in [(raw / file.name, file) for file in files if raw and file.md5]:
            if verify and (difference := mismatch(path, file)):
                raise SystemExit(f"{path}: {difference}; {DOWNLOAD}")
        try:
            made = module.prepare(raw, **options)
        except (ValueError, EOFError, zlib.error, BadGzipFile) as error:
            raise SystemExit(f"{error}; {DOWNLOAD}" if files else f"{error}") from error
        prepared.save(out, made)
        write_json(summary, prepared.summary(made))


if __name__ == "__main__":
    program(main, lambda dataset: [f"kancore.data.{dataset}"])
