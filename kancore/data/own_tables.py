"""Features, labels and parts from the columns of a CSV or Parquet file, or of a folder of parts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import torch
from pyarrow.dataset import Dataset

from kancore.data.dataset import subset
from kancore.data.labels import check_classes, doubled, listed
from kancore.data.limits import TooLargeError, check_memory
from kancore.data.own_columns import TEST_SHARE, feature_columns, index_columns, open_parquet
from kancore.data.single_precision import EXACT, to_float64
from kancore.machine.messages import reason
from kancore.schemes import derive_seed

# Bytes that a value takes meanwhile: as it is read, and in float64.
_BYTES = 16
# Bytes that a letter of a label takes meanwhile, in some copies; and of a line of a CSV file.
_BYTES_OF_LETTERS, _LONGEST_LINE = 20, 1 << 26


def read_columns(
    path: Path, files: list[Path], label: str, split: str, name: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[str], np.ndarray, list[str]]:
    """Read a table of one's own.

    The index of a data frame is no feature; dictionaries stand for their values. Without a column
    of parts a fifth of the examples, drawn in proportion to the classes, are for testing.

    Parameters
    ----------
    path
        The file, or a folder of Parquet files with the same columns; parts of their paths such as
        ``year=2020`` are columns too.
    files
        The file itself, or those of the folder that are read.
    label, split
        Names of the columns of labels and of parts.
    name
        Name of the data set, which seeds the draw of the test part.

    Returns
    -------
    features : dict of ndarray
        float64 ``[examples, features]``, NaN where a value is missing, by part.
    labels : dict of ndarray
        ``[examples]``: whole numbers, text or booleans, by part.
    names : list of str
        Names of the features.
    counted : ndarray
        Whether each feature is counted from its lowest.
    notes : list of str
        What the user should know.

    Raises
    ------
    ValueError
        If it is no such file, lacks a column, has one twice, or a column holds something else.
    """
    if path.suffix == ".csv":
        table = _read_csv(path, label)
        if not len(table):
            raise ValueError("has no rows")
        names = _feature_names(table.schema, label, split)
    else:
        parts = _open(path, files, [label, split])
        names = _feature_names(parts.schema, label, split)
        # No text but these is read, as the same text in all rows takes no room in the file.
        texts = [each for each in (label, split) if each in parts.schema.names]
        table = _load(path, parts, [*names, *texts])
    if not len(table):
        raise ValueError("has no rows")
    y = _labels(label, _dense(table[label]))
    check_classes(label, y)
    notes = []
    if split in table.column_names:
        rows = _rows(split, _dense(table[split]))
    else:
        rows = _drawn(y, name)
        counts = " and ".join(f"{rows[part].sum():,} for {part}ing" for part in ("train", "test"))
        notes.append(f"there is no column {split}: of its rows {counts} are drawn at random")
    x, counted = _features(table.select(names))
    return (
        {part: x[chosen] for part, chosen in rows.items()},
        {part: y[chosen] for part, chosen in rows.items()},
        names,
        counted,
        notes,
    )


def _drawn(y: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Draw the test part, each class in its proportion."""
    classes, places = np.unique(y, return_inverse=True)
    examples = round(TEST_SHARE * len(y))
    if not len(classes) <= examples:
        raise ValueError(
            f"has {len(y)} rows of {len(classes)} classes, too few to draw a test part"
        )
    chosen = subset(torch.from_numpy(places), examples, derive_seed("test part", name)).numpy()
    test = np.zeros(len(y), bool)
    test[chosen] = True
    return {"train": ~test, "test": test}


def _read_csv(path: Path, label: str) -> pa.Table:
    try:
        check_memory(_BYTES * path.stat().st_size)
        options = csv.ReadOptions(block_size=_LONGEST_LINE)
        table = csv.read_csv(
            path, options, convert_options=csv.ConvertOptions(column_types={label: pa.binary()})
        )
    except (MemoryError, TooLargeError):
        raise
    except Exception as error:  # whatever damage makes of the reader
        raise ValueError(
            f"not a CSV table with a line of names and commas between them ({reason(error)})"
        ) from error
    if twice := doubled(table.column_names):
        raise ValueError(f"columns are there twice: {listed(twice)}")
    if label in table.column_names:
        place, texts = table.column_names.index(label), table[label]
        with suppress(pa.ArrowInvalid):
            table = table.set_column(place, label, _guessed(texts.cast(pa.string())))
    if other := [each.name for each in table.schema if pa.types.is_binary(each.type)]:
        raise ValueError(f"the columns {listed(other)} are not in UTF-8")
    return table


def _guessed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give labels that are written as numbers as such, unless two would be one, as 1 and 01."""
    absent = pc.is_in(texts, pa.array(csv.ConvertOptions().null_values))
    given = pc.if_else(absent, None, texts)
    for kind in (pa.int64(), pa.bool_(), pa.float64()):
        try:
            values = given.cast(kind)
        except pa.ArrowInvalid:
            continue
        alike = pc.count_distinct(values).as_py() < pc.count_distinct(given).as_py()
        return values if kind == pa.float64() or not alike else texts
    return texts


def _open(path: Path, files: list[Path], texts: list[str]) -> Dataset:
    """Open Parquet files as one table, of which `texts` are read as dictionaries."""
    with _naming(path):
        if twice := doubled(pq.read_schema(files[0]).names):
            raise ValueError(f"columns are there twice: {listed(twice)}")
        return open_parquet(path, files, texts)


def _load(path: Path, parts: Dataset, names: list[str]) -> pa.Table:
    with _naming(path):
        # The same number in all rows takes no room in the file.
        check_memory(_BYTES * parts.count_rows() * len(names))
        return parts.to_table(names)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say of whatever damage makes of the readers of Parquet what the files are not."""
    try:
        yield
    except (MemoryError, TooLargeError):
        raise
    except Exception as error:
        what = "folder of Parquet files" if path.is_dir() else "whole Parquet file"
        said = reason(error).replace(f"{path.absolute().parent}/", "")
        raise ValueError(f"not a {what} ({said})") from error


def _feature_names(schema: pa.Schema, label: str, split: str) -> list[str]:
    """Name the columns of features, all of which hold numbers."""
    for name in schema.names:
        if name != name.strip() and name.strip() in (label, split):
            raise ValueError(f"the column {name!r} has spaces around its name, expected none")
    if label not in schema.names:
        raise ValueError(
            f"lacks the column {label}, whose values are the classes; it has {listed(schema.names)}"
        )
    features = feature_columns(schema.names, _index(schema), label, split)
    if not features:
        raise ValueError(f"has no column of features beside {label} and {split}")
    kinds = {name: _type_of_values(schema.field(name).type) for name in features}
    unlike = {name: kind for name, kind in kinds.items() if not _is_number(kind)}
    if unlike:
        types = listed(dict.fromkeys(map(str, unlike.values())))
        raise ValueError(f"the columns {listed(unlike)} are not numbers: {types}")
    return [*kinds]


def _index(schema: pa.Schema) -> list[str]:
    """Columns that were the index of a data frame, as pandas notes."""
    try:
        return index_columns(schema)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"pandas' notes on its columns are damaged ({reason(error)})") from error


def _dense(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give a column with its values in place of a dictionary, if memory has room for its text."""
    kind = _type_of_values(column.type)
    if _is_text(kind):
        texts = (getattr(chunk, "dictionary", chunk) for chunk in column.chunks)
        longest = max((pc.max(pc.binary_length(text)).as_py() or 0 for text in texts), default=0)
        # NumPy gives each as much room as the longest.
        check_memory(_BYTES_OF_LETTERS * longest * len(column))
    return column.cast(kind) if kind != column.type else column


def _rows(what: str, column: pa.ChunkedArray) -> dict[str, np.ndarray]:
    """Which rows are of each part."""
    if pa.types.is_nested(column.type):
        raise ValueError(f"{what} is {column.type}, expected 'train' and 'test'")
    found = set(column.unique().to_pylist())
    if unknown := found - {"train", "test"}:
        some = sorted(map(repr, unknown))
        raise ValueError(f"{what} holds {{{listed(some)}}}, expected 'train' and 'test'")
    if absent := {"train", "test"} - found:
        raise ValueError(f"{what} is never {', '.join(absent)}, expected 'train' and 'test'")
    values = np.array(column.to_pylist())
    return {part: values == part for part in ("train", "test")}


def _labels(what: str, column: pa.ChunkedArray) -> np.ndarray:
    if column.null_count:
        raise ValueError(f"{what} has {column.null_count:,} missing values")
    kind = column.type
    if _is_text(kind):
        if empty := pc.sum(pc.equal(pc.binary_length(column), 0)).as_py():
            raise ValueError(f"{what} has {empty:,} missing values")
        return np.array(column.to_pylist(), dtype=str)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column.to_numpy()
    if _is_real(kind):
        # Whole numbers beside missing values are real ones to pandas, and stay so.
        values = column.to_pylist()
        if all(isfinite(value) and value == int(value) and abs(value) < 2**63 for value in values):
            return np.array(list(map(int, values)))
    raise ValueError(
        f"{what} is {kind}, expected whole numbers, text or booleans: classification only"
    )


def _features(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Columns as float64, and whether each is counted from its lowest."""
    x, counted = np.empty((len(table), table.num_columns)), np.zeros(table.num_columns, bool)
    for place, column in enumerate(table.columns):
        x[:, place], counted[place] = _to_float64(column.cast(_type_of_values(column.type)))
    return x, counted


def _to_float64(column: pa.ChunkedArray) -> tuple[np.ndarray, bool]:
    if pa.types.is_decimal(column.type):
        return _from_decimal(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    (x,), counted = to_float64(column.to_numpy()[:, None])
    return x[:, 0], bool(counted[0])


def _from_decimal(column: pa.ChunkedArray) -> tuple[np.ndarray, bool]:
    """Decimal numbers as float64, counted from the lowest where they have more digits than that."""
    lowest, highest = (bound.as_py() for bound in pc.min_max(column).values())
    if lowest is None or max(-lowest, highest).scaleb(column.type.scale) <= EXACT:
        return column.cast(pa.float64()).to_numpy(), False
    values = column.to_pylist()
    return np.array([np.nan if v is None else float(v - lowest) for v in values]), True


def _type_of_values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    return _is_real(kind) or _any(kind, pa.types.is_integer, pa.types.is_boolean)


def _is_real(kind: pa.DataType) -> bool:
    return _any(kind, pa.types.is_floating, pa.types.is_decimal)


def _is_text(kind: pa.DataType) -> bool:
    return _any(kind, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def _any(kind: pa.DataType, *tests: Callable[[pa.DataType], bool]) -> bool:
    return any(test(kind) for test in tests)
