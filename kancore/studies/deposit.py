"""A deposit: what a repository holds of a study, in files that are small enough for one.

Report, figures and tables are copies of what the study has made of them so far. Evaluations and
times are those of all jobs that have ended, also where others have not, in tables of many jobs,
with Snakemake's records of what made them: a working folder that takes them over goes on as from
results of its own.
"""

import os
import shutil
from base64 import urlsafe_b64decode
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa

from kancore.machine.files import DamagedFileError, write_atomically
from kancore.studies.settings import SHARED
from kancore.tables import HISTORY, LANDSCAPES, TIMINGS, column, read_table, write_table

# Bytes of a file at most, and rows of evaluations in one: a row takes some 35.
LARGEST, _ROWS = 1 << 20, 15_000
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
RECORDS = Path(".snakemake", "metadata")


def with_job(schema: pa.Schema) -> pa.Schema:
    """Give the columns of a table of many jobs."""
    return pa.schema([_JOB, *schema])


def recorded(file: str) -> str:
    """Path of what one of Snakemake's records is of, by the record's own; "" if it is no record.

    A record's name is the path in Base64, where it is long in folders whose names begin with @.
    """
    try:
        return urlsafe_b64decode(file.replace("/", "").replace("@", "")).decode()
    except ValueError:
        return ""


def write(folder: Path, study: str, out: Path) -> list[Path]:
    """Write what there is of a study; jobs take the place of those of an earlier deposit.

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
        If there is no such study, a table has no record of what made it, a file would be too large,
        or the folder is one of results or holds the jobs of another study. Nothing is written then.
    """
    results = folder / "results" / study
    if Path(study).name != study or study in SHARED or not (results / "jobs").is_dir():
        raise ValueError(f"study {study}: no jobs of it; expected the name of a study that has run")
    if out.resolve().is_relative_to((folder / "results").resolve()):
        raise ValueError(f"{out}: a folder of results; expected one outside {folder / 'results'}")
    before = out / "jobs" / "timings.parquet"
    if before.exists() and {study} != {*_read(before, with_job(TIMINGS)).study}:
        raise ValueError(f"{out}: holds another study than {study}; expected a folder of its own")
    found = [path for kind in _COPIED for path in sorted(results.glob(kind))]
    written = [out / path.relative_to(results) for path in found]
    with TemporaryDirectory() as temporary:
        made = _pack(results / "jobs", folder / RECORDS, study, Path(temporary))
        for path in (*found, *made):
            if path.stat().st_size > LARGEST:
                size = f"{path.name}: {path.stat().st_size:,} bytes"
                raise ValueError(f"{size}; expected at most {LARGEST:,}")
        written += [out / "jobs" / path.name for path in made]
        for path, target in zip((*found, *made), written, strict=True):
            write_atomically(target, partial(shutil.copyfile, path))
    # Only now: what is stopped before has lost nothing.
    for path in {*out.glob("jobs/*.parquet")} - {*written}:
        path.unlink()
    return written


def _pack(jobs: Path, records: Path, study: str, out: Path) -> list[Path]:
    """Write tables of many jobs, and one of the records of what made them."""
    written = []
    held: set[str] = set()
    for name, schema in _SCHEMAS.items():
        files = sorted(jobs.rglob(f"{name}.parquet"))
        held |= {f"results/{study}/jobs/{path.relative_to(jobs).as_posix()}" for path in files}
        tables = [
            read_table(path, schema).assign(job=path.parent.relative_to(jobs).as_posix())
            for path in files
        ]
        if not tables:
            continue
        rows = pd.concat(tables, ignore_index=True)
        if {*rows.study} != {study}:
            raise ValueError(f"study {study}: has jobs of {', '.join({*rows.study} - {study})}")
        for part, each in rows.groupby(_part(rows, name), sort=True):
            written.append(out / f"{part}.parquet")
            write_table(written[-1], each, with_job(schema))
    known = _records(records, f"results/{study}/jobs/")
    if without := held - {recorded(row["file"]) for row in known}:
        raise ValueError(f"{min(without)}: no record of what made it in {records}")
    written.append(out / "records.parquet")
    write_table(written[-1], known, _RECORDS)
    return written


def _part(rows: pd.DataFrame, name: str) -> pd.Series:
    """Name of the file of each row; evaluations are many, so they are in several."""
    if name != "history":
        return pd.Series(name, index=rows.index)
    experiment = rows.job.str.partition("/")[0]
    whole = f"{name}-" + experiment + "-" + rows.dataset + "-" + rows.objective
    # Whole jobs: each is in the file of its first row.
    number = rows.groupby(whole).cumcount().groupby(rows.job).transform("min") // _ROWS
    return whole.where(number == 0, whole + "-" + (number + 1).astype(str))


def _records(folder: Path, below: str) -> list[dict[str, str]]:
    """Snakemake's records of all files of jobs: of a job that lacks one it believes none."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        {"file": file, "record": path.read_text(encoding="utf-8")}
        for path, file in ((path, path.relative_to(folder).as_posix()) for path in files)
        if recorded(file).startswith(below)
    ]


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
    DamagedFileError
        If a table of the deposit is not whole, or names what is no file of a job.
    """
    for name, schema in _SCHEMAS.items():
        for path in sorted((deposit / "jobs").glob(f"{name}*.parquet")):
            rows = _read(path, with_job(schema))
            for (study, job), each in rows.groupby(["study", "job"], sort=False, dropna=False):
                target = folder / _of_a_job(path, f"results/{study}/jobs/{job}/{name}.parquet")
                if target.exists():
                    raise DamagedFileError(f"{path}: has {job}, which another file has too")
                write_table(target, each.drop(columns="job"), schema)
    for path in (deposit / "jobs").glob("records.parquet"):
        for file, record in _read(path, _RECORDS).itertuples(index=False):
            _of_a_job(path, recorded(str(file)))
            target = folder / RECORDS / _normal(path, str(file))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(str(record), encoding="utf-8")


def _read(path: Path, schema: pa.Schema) -> pd.DataFrame:
    try:
        return read_table(path, schema)
    except DamagedFileError:
        raise DamagedFileError(f"{path}: no whole table of a deposit of this version") from None


def _of_a_job(table: Path, path: str) -> str:
    """Give the path of a job's file; a deposit is from someone else, and may name any other."""
    match _normal(table, path).split("/"):
        case ["results", study, "jobs", _, *_] if study not in SHARED:
            return path
    raise DamagedFileError(f"{table}: names {path!r}; expected a file of a job")


def _normal(table: Path, path: str) -> str:
    """Give a path below its folder; no other is written to."""
    parts = path.split("/")
    if "\0" in path or parts[0] == "" or ".." in parts or os.path.normpath(path) != path:
        raise DamagedFileError(f"{table}: names {path!r}; expected a path below the folder")
    return path
