"""Make the prepared form of a data set."""

from pathlib import Path

from kancore.data import dataset as prepared
from kancore.data import dataset_module
from kancore.machine.files import write_json
from kancore.machine.interruption import repeatable
from kancore.machine.last_words import last_words
from kancore.machine.memory import usable_mb
from kancore.machine.program import program


def main(dataset: str, options: dict, out: Path, summary: Path, raw: Path | None = None) -> None:
    """Read raw files, write the prepared form and its summary.

    Parameters
    ----------
    dataset
        Name of the data set, or own.
    raw
        Folder of its raw files, or the user's own file.
    """
    with repeatable(), last_words(usable_mb()):
        try:
            made = dataset_module(dataset).prepare(raw, **options)
        except ValueError as error:
            raise SystemExit(f"{error}") from error
        prepared.save(out, made)
        write_json(summary, prepared.summary(made))


if __name__ == "__main__":
    program(main, lambda dataset: [f"kancore.data.{dataset}"])
