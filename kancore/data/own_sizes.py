"""How large a data set of the user's own is, from a part of its files."""

import csv
import math
import zipfile
from codecs import BOM_UTF8
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kancore.data.own_columns import TEST_SHARE, feature_columns, index_columns, open_parquet
from kancore.data.own_files import data_files

# Bytes of a CSV file that are read, its heading among them, and places of a larger one that these
# are taken from: lines may grow towards its end.
_READ, _PLACES = 2**24, 32
# Bytes that the header of an array has at most, as NumPy reads it.
_HEADER = 2**14


def own_size(path: Path) -> tuple[int, int, int, int] | None:
    """Estimate the size of a data set before it is prepared.

    Parameters
    ----------
    path
        The ``.npz``, ``.csv`` or Parquet file, or the folder of Parquet files.

    Returns
    -------
    features, train, test, bytes : int
        Inputs, examples of both parts, and the bytes that store an input. A table counts as one
        without a column of parts, which is not read here, and a large CSV file has about as many
        rows; all else is exact. ``None`` of what cannot be read, or is no data set: what is wrong
        with it is told when it is prepared.
    """
    try:
        files = data_files(path)
        if path.suffix == ".npz":
            return _of_arrays(path)
        of_csv = path.suffix == ".csv" and not path.is_dir()
        rows, features = _of_csv(path) if of_csv else _of_parquet(path, files)
    except Exception:  # whatever damage makes of the readers
        return None
    test = round(TEST_SHARE * rows)
    found = features, rows - test, test, 4
    return found if min(found) > 0 else None


def _of_arrays(path: Path) -> tuple[int, int, int, int] | None:
    with zipfile.ZipFile(path) as archive:
        (train, kind), (test, _) = (_header(archive, f"x_{part}.npy") for part in ("train", "test"))
    images = len(train) in (3, 4) and kind == np.uint8
    if not (images or len(train) == 2) or min(*train, *test) < 1 or kind.kind not in "fiub":
        return None
    return math.prod(train[1:]), train[0], test[0], 1 if images else 4


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array that is there as a whole."""
    with archive.open(name) as stream:
        first = BytesIO(stream.read(_HEADER))
    version = np.lib.format.read_magic(first)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    shape, _, kind = read[version[0]](first)
    if archive.getinfo(name).file_size != first.tell() + math.prod(shape) * kind.itemsize:
        raise ValueError("the array has other bytes than its header says")
    return shape, kind


def _of_csv(path: Path) -> tuple[int, int]:
    """Rows and features of a table."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        first = stream.read(_READ).removeprefix(BOM_UTF8).replace(b"\r", b"\n")
        if b"\n" not in first:
            raise ValueError("no end of the heading")
        lines = (line for line in BytesIO(first) if line != b"\n")
        (names,) = csv.reader([next(lines).decode()])
        rows = sum(1 for _ in lines) if size <= _READ else _ends(stream, size) - 1
    return rows, len(feature_columns(names))


def _ends(stream: BinaryIO, size: int) -> int:
    """Estimate how many ends of lines there are, from places all over a file."""
    ends = 0
    for place in range(_PLACES):
        stream.seek(place * size // _PLACES)
        part = stream.read(_READ // _PLACES)
        ends += max(part.count(b"\n"), part.count(b"\r"))
    return round(ends * size / _READ)


def _of_parquet(path: Path, files: list[Path]) -> tuple[int, int]:
    """Rows and features of a table."""
    parts = open_parquet(path, files, [])
    return parts.count_rows(), len(feature_columns(parts.schema.names, index_columns(parts.schema)))
