"""How large a data set of the user's own is, from the first bytes of its files."""

import zipfile
from pathlib import Path

import numpy as np

from kancore.data.own_files import data_files

# Of a table without parts, the share of the rows that is drawn for testing.
TEST_SHARE = 0.2
_FIRST_BYTES = 2**20


def own_size(path: Path) -> tuple[int, int, int, int] | None:
    """Estimate the size of a data set before it is prepared.

    Parameters
    ----------
    path
        The ``.npz``, ``.csv`` or Parquet file, or the folder of Parquet files.

    Returns
    -------
    features, train, test, bytes : int
        Inputs, examples of both parts, and the bytes that store an input. Those of an ``.npz`` file
        are exact; a table counts as one without a column of parts, which is not read here. ``None``
        of what cannot be read: what is wrong with it is told when it is prepared.
    """
    try:
        if path.suffix == ".npz":
            return _of_arrays(path)
        rows, columns = _of_csv(path) if path.suffix == ".csv" else _of_parquet(path)
    except Exception:  # whatever damage makes of the readers
        return None
    test = round(TEST_SHARE * rows)
    return max(1, columns), max(1, rows - test), max(1, test), 4


def _of_arrays(path: Path) -> tuple[int, int, int, int]:
    (train, kind), (test, _) = (_header(path, name) for name in ("x_train", "x_test"))
    itemsize = 1 if kind == np.uint8 and len(train) > 2 else 4
    return int(np.prod(train[1:])), train[0], test[0], itemsize


def _header(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, kind = read[version[0]](stream)
    return shape, kind


def _of_csv(path: Path) -> tuple[int, int]:
    with path.open("rb") as stream:
        first = stream.read(_FIRST_BYTES)
    heading, *lines = first.splitlines(keepends=True)
    whole = path.stat().st_size - len(heading)
    mean = (len(first) - len(heading)) / len(lines)
    names = heading.decode().strip().split(",")
    return round(whole / mean), _features([name.strip('"') for name in names])


def _of_parquet(path: Path) -> tuple[int, int]:
    import pyarrow.parquet as pq  # takes a third of a second, which other studies need not

    found = [pq.read_metadata(file) for file in data_files(path)]
    return sum(each.num_rows for each in found), _features(found[0].schema.names)


def _features(columns: list[str]) -> int:
    return len([name for name in columns if name not in ("label", "split", "")])
