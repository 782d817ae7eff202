"""A data set of one's own, from an ``.npz`` file, a ``.csv`` file or from Parquet."""

from pathlib import Path

import numpy as np
import torch

from kancore.data.dataset import PARTS, Dataset
from kancore.data.labels import encode, listed
from kancore.data.limits import TooLargeError, check_memory
from kancore.data.own_columns import LABEL, SPLIT
from kancore.data.own_files import data_files
from kancore.data.own_tables import read_columns
from kancore.data.preparation import make_dataset
from kancore.data.single_precision import to_float32, to_float64
from kancore.machine.messages import reason, shown, tell

FILES = ()
_NEEDED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("class_names", "channels")
# Images have at most so many channels where their shape tells which axis holds these.
_MOST_CHANNELS = 4
# Bytes that a number of a table takes meanwhile: in float64, and a copy of that.
_BYTES = 16


def prepare(raw: Path, name: str | None = None, label: str = LABEL, split: str = SPLIT) -> Dataset:
    """Make the data set from the file `raw`.

    An ``.npz`` file holds x_train, y_train, x_test and y_test. Features are numbers
    ``[examples, features]``, or uint8 images ``[examples, height, width]`` or
    ``[examples, channels, height, width]``. Labels are whole numbers, text or booleans; classes are
    the distinct training labels in ascending order. It may hold class_names, of which labels are
    then the places from 0 or, where they are text, the names; and channels, ``first`` or ``last``,
    which says where images ``[examples, ., ., .]`` have their channels.

    A CSV or Parquet file, or a folder of Parquet files, holds a column of labels, a column of
    numbers for each feature, and a column that says ``train`` or ``test``; without that the test
    part is drawn.

    Parameters
    ----------
    raw
        The file or folder.
    name
        Name of the data set; by default the name of the file without its suffix.
    label, split
        Names of the columns of labels and of parts in a table.

    Returns
    -------
    Dataset
        Tables are float32. What that cannot tell apart is a warning, which `source` repeats.

    Raises
    ------
    FileNotFoundError
        If there is no file `raw`.
    ValueError
        If the file is damaged, not of these formats or too large for the memory, lacks something,
        or its arrays do not fit together.
    """
    raw = Path(raw)
    if not raw.exists():
        what = "no such file; expected a data set as .csv, .npz or .parquet"
        raise FileNotFoundError(f"{shown(raw)}: {what}")
    try:
        labels, class_names, features, image_shape, offset, columns, warnings = _read(
            raw, label, split, name or raw.stem
        )
    except ValueError as error:
        raise ValueError(f"{shown(raw)}: {reason(error)}") from error
    except MemoryError as error:
        raise ValueError(f"{shown(raw)}: takes more memory than there is") from error
    for warning in warnings:
        tell(f"warning: {shown(raw)}: {warning}")
    return make_dataset(
        name or raw.stem,
        features[0],
        labels[0],
        features[1],
        labels[1],
        class_names=class_names,
        source=f"{raw.name} ({'; '.join(warnings)})" if warnings else raw.name,
        image_shape=image_shape,
        offset=offset,
        feature_names=columns,
    )


def _read(
    path: Path, label: str, split: str, name: str
) -> tuple[
    list[torch.Tensor],
    tuple[str, ...],
    list[torch.Tensor],
    tuple[int, ...] | None,
    torch.Tensor | None,
    tuple[str, ...] | None,
    list[str],
]:
    """Labels of both parts, classes, features, shape of images, offset, columns, warnings."""
    files = data_files(path)
    columns: list[str] | None = None
    counted, notes = np.zeros(1, bool), list[str]()
    if path.is_dir() or path.suffix in (".parquet", ".csv"):
        x, y, columns, counted, notes = read_columns(path, files, label, split, name)
        given, channels = None, None
    elif path.suffix == ".npz":
        x, y, given, channels = _read_npz(path)
    else:
        raise ValueError(f"suffix {path.suffix!r}, expected .csv, .npz or .parquet")
    labels, class_names = encode({f"y_{part}": y[part] for part in PARTS}, given)
    if x["train"].ndim in (3, 4) and x["train"].dtype == np.uint8:
        features, image_shape = _images(x, channels)
        return labels, class_names, features, image_shape, None, None, notes
    names = columns and [f"column {each}" for each in columns]
    features, offset, warnings = _tables(x, names, counted)
    kept = tuple(columns) if columns else None
    return labels, class_names, features, None, offset, kept, [*notes, *warnings]


def _read_npz(
    path: Path,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray | None, str | None]:
    """Features and labels by part, names of classes, and which axis holds channels."""
    arrays = _arrays(path)
    channels = arrays.get("channels")
    if channels is not None and channels.tolist() not in ("first", "last"):
        raise ValueError(f"channels is {channels.tolist()!r}, expected 'first' or 'last'")
    x, y = ({part: arrays[f"{kind}_{part}"] for part in PARTS} for kind in "xy")
    return x, y, arrays.get("class_names"), channels if channels is None else channels.item()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it is one array, as of .npy; numpy.savez writes several by name")
        with file:
            found = file.files
            wanted = [key for key in found if key in (*_NEEDED, *_OPTIONAL)]
            sizes = {info.filename: info.file_size for info in file.zip.infolist()}
            # Whatever their headers say, arrays are read from no more bytes than these.
            check_memory(sum(sizes.get(name, 0) for key in wanted for name in (key, f"{key}.npy")))
            arrays = {key: file[key] for key in wanted}
    except (MemoryError, TooLargeError):
        raise
    except Exception as error:  # whatever damage makes of the readers
        raise ValueError(f"not a whole .npz file of plain arrays ({reason(error)})") from error
    if missing := [key for key in _NEEDED if key not in arrays]:
        raise ValueError(f"lacks {listed(missing)}; it has {listed(found)}")
    if empty := [key for key, array in arrays.items() if not array.dtype.itemsize]:
        raise ValueError(f"{listed(empty)} holds values of no bytes")
    return arrays


def _tables(
    x: dict[str, np.ndarray], names: list[str] | None, counted: np.ndarray
) -> tuple[list[torch.Tensor], torch.Tensor | None, list[str]]:
    """Features of both parts, float32 ``[examples, features]``, offset, and what it merges."""
    for part, values in x.items():
        if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiub":
            raise ValueError(
                f"x_{part} is {values.dtype} {values.shape}, expected numbers "
                "[examples, features], or uint8 [examples, height, width] or "
                "[examples, channels, height, width]"
            )
    features = x["train"].shape[1]
    if x["test"].shape[1] != features:
        raise ValueError(f"x_test has {x['test'].shape[1]} features, x_train {features}")
    names = names or [f"feature {number}" for number in range(features)]
    check_memory(_BYTES * sum(values.size for values in x.values()))
    (train, test), counted_here = to_float64(*x.values())
    train, test, offset, warnings = to_float32(train, test, names)
    offset[counted | counted_here] = np.nan
    taken = torch.from_numpy(offset) if offset.any() else None
    return [torch.from_numpy(train), torch.from_numpy(test)], taken, warnings


def _images(
    x: dict[str, np.ndarray], channels: str | None
) -> tuple[list[torch.Tensor], tuple[int, ...]]:
    """Images of both parts, uint8 ``[examples, features]``, and the shape of one."""
    train, test = x.values()
    if train.shape[1:] != test.shape[1:] or test.dtype != train.dtype:
        raise ValueError(
            f"x_test is {test.dtype} {test.shape} and x_train is {train.dtype} "
            f"{train.shape}, expected images of one shape"
        )
    if train.ndim == 3:
        train, test = train[:, None], test[:, None]
    elif (channels or _channels(train.shape)) == "last":
        train, test = np.moveaxis(train, -1, 1), np.moveaxis(test, -1, 1)
    # Plain copies, channel by channel, whatever the order in the file.
    flat = [torch.from_numpy(np.ascontiguousarray(part)).flatten(1) for part in (train, test)]
    return flat, train.shape[1:]


def _channels(shape: tuple[int, ...]) -> str:
    """Ask which axis holds channels, unless the shape tells that the first does."""
    _, first, height, last = shape
    if (first <= _MOST_CHANNELS < last and height != first) or first != height == last:
        return "first"
    raise ValueError(
        f"x_train has shape {shape}, of which channels may be the last axis; expected "
        "[examples, channels, height, width], or an entry channels in the file that says first or "
        "last"
    )
