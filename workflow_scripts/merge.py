"""Take over what parts of a study trained in other working folders, or what a deposit holds of it.

Afterwards snakemake makes the tables of the whole study, and trains what is still missing.
"""

import shutil
from filecmp import cmp
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from kancore.machine.files import write_atomically
from kancore.machine.program import program
from kancore.studies import deposit

# Prepared data, what jobs have made, and Snakemake's records of what made them.
KINDS = (
    "results/data/**/*",
    "results/manifolds/**/*",
    "results/*/jobs/**/*.parquet",
    "results/*/jobs/**/*.safetensors",
    "results/*/logs/jobs/**/*.log",
    "results/*/benchmarks/jobs/**/*.tsv",
    f"{deposit.RECORDS}/**/*",
)
# Files that are the same wherever they are made.
RESULTS = ("history.parquet", "landscape.parquet", ".safetensors")


def found(folder: Path) -> list[Path]:
    """Paths of all that can be taken over from a folder, relative to it."""
    paths = [path for kind in KINDS for path in folder.glob(kind) if path.is_file()]
    return sorted(path.relative_to(folder) for path in paths)


def main(*folders: Path) -> None:
    """Take over what is not here yet from each folder.

    Parameters
    ----------
    folders
        Working folders to take over from, or deposits.
    """
    for folder in folders:
        if (folder / "results").is_dir():
            _merge(folder, folder)
        elif (folder / "jobs").is_dir():
            with TemporaryDirectory() as working:
                deposit.unpack(folder, Path(working))
                _merge(Path(working), folder)
        else:
            raise SystemExit(
                f"{folder}: no results here; expected a working folder of snakemake, or a deposit"
            )


def _merge(folder: Path, told: Path) -> None:
    """Take over what is not here yet from a working folder; messages tell another name of it."""
    paths = found(folder)
    differing = [
        path
        for path in paths
        if path.name.endswith(RESULTS) and path.exists() and not cmp(folder / path, path, False)
    ]
    if differing:
        raise SystemExit(f"{told}: {differing[0]} differs from the one here; nothing taken")
    missing = [path for path in paths if not path.exists()]
    # With a file goes its record: one of a file that was here before tells of that.
    taken = {path.as_posix() for path in missing}
    missing += [path for path in paths if path.exists() and _recorded(path) in taken]
    for path in missing:
        # With their times: snakemake makes again what is older than its input.
        write_atomically(path, partial(shutil.copy2, folder / path))
    jobs = sum(path.name in ("history.parquet", "landscape.parquet") for path in missing)
    print(f"{told}: took over {jobs} jobs")


def _recorded(path: Path) -> str:
    """Path of what a record of Snakemake is of; "" for other files."""
    folder = deposit.RECORDS
    return deposit.recorded(str(path.relative_to(folder))) if folder in path.parents else ""


if __name__ == "__main__":
    program(main, planned=False)
