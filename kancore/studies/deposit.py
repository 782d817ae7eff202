"""A deposit: what a repository holds of a study, in files that are small enough for one.

Report, figures and tables are copies of the study's. Evaluations and times are those of all jobs
that have ended, also where others have not, in tables of many jobs, with Snakemake's records of
what made them: a working folder that takes them over goes on as from results of its own.
"""

import os
import shutil
from base64 import urlsafe_b64decode
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from kancore.machine.files import write_atomically
from kancore.tables import HISTORY, LANDSCAPES, TIMINGS, column, read_table, write_table

# Bytes of a file at most.
LARGEST = 1 << 20
# What is copied as it is. What tables of experiments say of evaluations and times, jobs say too.
_COPIED = (
    *("report.md", "claims.json", "audit_claims.json", "figures/*.svg"),
    *("tables/*.csv", "tables/*.parquet", "tables/*/runs.*"),
)
# What jobs write, by name.
_SCHEMAS = {"history": HISTORY, "timings": TIMINGS, "landscape": LANDSCAPES}
_JOB = column("job", pa.string(), "path of the job below the folder of all jobs")
_RECORDS = pa.schema(
    [
        column("file", pa.string(), "path below the folder of Snakemake's records"),
        column("record", pa.string(), "the record, as JSON"),
    ]
)
_METADATA = Path(".snakemake", "metadata")


def with_job(schema: pa.Schema) -> pa.Schema:
    """Give the columns of a table of many jobs."""
    return pa.schema([_JOB, *schema])


def write(folder: Path, study: str, out: Path) -> list[Path]:
    """Write what there is of a study; other files of the deposit stay.

    Parameters
    ----------
    folder
        A working folder of snakemake.
    study
        Name of the study.
    out
        Folder of the deposit.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    ValueError
        If one is too large for a deposit.
    """
    results = folder / "results" / study
    found = [path for kind in _COPIED for path in sorted(results.glob(kind))]
    written = [out / path.relative_to(results) for path in found]
    for path, target in zip(found, written, strict=True):
        write_atomically(target, partial(shutil.copyfile, path))
    for name, schema in _SCHEMAS.items():
        rows = _of_jobs(results / "jobs", name, schema)
        for part, each in rows.groupby(_part(rows, name), sort=True):
            written.append(out / "jobs" / f"{part}.parquet")
            write_table(written[-1], each, with_job(schema))
    if records := _records(folder / _METADATA, f"results/{study}/jobs/"):
        written.append(out / "jobs" / "records.parquet")
        write_table(written[-1], records, _RECORDS)
    for path in written:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path}: {path.stat().st_size:,} bytes; expected at most {LARGEST:,}")
    return written


def _of_jobs(jobs: Path, name: str, schema: pa.Schema) -> pd.DataFrame:
    """Rows of all tables of one name, with the job of each."""
    tables = [
        read_table(path, schema).assign(job=path.parent.relative_to(jobs).as_posix())
        for path in sorted(jobs.rglob(f"{name}.parquet"))
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"job": []})


def _part(rows: pd.DataFrame, name: str) -> pd.Series:
    """Name of the file of each row; evaluations are many, so they are in several."""
    if name != "history" or rows.empty:
        return pd.Series(name, index=rows.index)
    experiment = rows.job.str.partition("/")[0]
    return "history-" + experiment + "-" + rows.dataset + "-" + rows.objective


def _records(folder: Path, below: str) -> list[dict[str, str]]:
    """Snakemake's records of all files of jobs: of a job that lacks one it believes none."""
    found = []
    for path in sorted(folder.rglob("*")):
        # Of a long name there are folders, of names that begin with @.
        file = path.relative_to(folder).as_posix()
        if path.is_file() and _made(file).startswith(below):
            found.append({"file": file, "record": path.read_text(encoding="utf-8")})
    return found


def _made(file: str) -> str:
    """Path of what a record is of."""
    return urlsafe_b64decode(file.replace("/", "").replace("@", "")).decode()


def unpack(deposit: Path, folder: Path) -> None:
    """Write the tables of jobs that a deposit holds, with Snakemake's records, as jobs did.

    Parameters
    ----------
    deposit
        Folder of the deposit.
    folder
        Folder for them: then a working folder of snakemake.

    Raises
    ------
    ValueError
        If a table of the deposit is not whole, or a job of it has a path out of its folder.
    """
    jobs = deposit / "jobs"
    for name, schema in _SCHEMAS.items():
        for path in sorted(jobs.glob(f"{name}*.parquet")):
            rows = read_table(path, with_job(schema))
            for (study, job), each in rows.groupby(["study", "job"], sort=False):
                target = _below(folder / "results", f"{study}/jobs/{job}/{name}.parquet")
                write_table(target, each.drop(columns="job"), schema)
    for path in jobs.glob("records.parquet"):
        for file, record in read_table(path, _RECORDS).itertuples(index=False):
            target = _below(folder / _METADATA, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(record, encoding="utf-8")


def _below(folder: Path, path: str) -> Path:
    """Path of a file below a folder; a deposit is a file from someone else."""
    target = Path(os.path.normpath(folder / path))
    if not target.is_relative_to(folder):
        raise ValueError(f"{path}: leads out of {folder.name}; expected a path below it")
    return target
