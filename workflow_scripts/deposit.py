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
    if not Path("results", study, "jobs").is_dir():
        raise SystemExit(
            f"study {study}: no jobs in results/{study}; expected a study that has run"
        )
    written = write(Path(), study, out)
    size = sum(path.stat().st_size for path in written)
    print(f"{out}: {len(written)} files, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    program(main, planned=False)
