"""Put what a repository holds of a study into a folder: report, tables, figures, ended jobs."""

from pathlib import Path

from kancore.machine.program import program
from kancore.studies.deposit import write


def main(study: str, out: Path) -> None:
    """Write the deposit of a study of this working folder; `merge` takes its jobs over.

    Parameters
    ----------
    study
        Name of the study.
    out
        Folder of the deposit.
    """
    try:
        written = write(Path(), study, out)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    size = sum(path.stat().st_size for path in written)
    print(f"{out}: {len(written)} files, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    program(main, planned=False)
