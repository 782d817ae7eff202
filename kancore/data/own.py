"""A data set of one's own, from an ``.npz`` file or from Parquet."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

from kancore.data.dataset import PARTS, Dataset
from kancore.data.labels import encode, listed
from kancore.data.parquet import read_parquet
from kancore.data.preparation import make_dataset
from kancore.data.single_precision import to_float32, to_float64

FILES = ()
_NEEDED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("class_names", "channels")
# Images have at most so many channels where their shape tells which axis holds these.
_MOST_CHANNELS = 4


def prepare(
    raw: Path, name: str | None = None, label: str = "label", split: str = "split"
) -> Dataset:
    """Make the data set from the file `raw`.

    An ``.npz`` file holds x_train, y_train, x_test and y_test. Features are numbers
    ``[examples, features]``, or uint8 images ``[examples, height, width]`` or
    ``[examples, channels, height, width]``. Labels are whole numbers, text or booleans; classes are
    the distinct training labels in ascending order. It may hold class_names, of which labels are
    then the places from 0 or, where they are text, the names; and channels, ``first`` or ``last``,
    which says where images ``[examples, ., ., .]`` have their channels.

    A Parquet file, or a folder of such files, holds a column of labels, a column that says
    ``train`` or ``test``, and a column of numbers for each feature.

    Parameters
    ----------
    raw
        The file or folder.
    name
        Name of the data set; by default the name of the file without its suffix.
    label, split
        Names of the columns of labels and of parts in a Parquet file.

    Returns
    -------
    Dataset
        Tables are float32. What that cannot tell apart is a warning, which `source` repeats.

    Raises
    ------
    FileNotFoundError
        If there is no file `raw`.
    ValueError
        If the file is not of these formats, or lacks something, or its arrays do not fit together.
    """
    raw = Path(raw)
    if not raw.exists():
        raise FileNotFoundError(f"{raw}: no such file; expected a data set as .npz or .parquet")
    if raw.is_dir() or raw.suffix == ".parquet":
        x, y, columns = read_parquet(raw, label, split)
        names, given, channels = [f"column {each}" for each in columns], None, None
    elif raw.suffix == ".npz":
        x, y, given, channels = _read_npz(raw)
        names = None
    else:
        raise ValueError(f"{raw}: suffix {raw.suffix!r}, expected .npz or .parquet")
    labels, class_names = encode({f"{raw}: y_{part}": y[part] for part in PARTS}, given)
    image_shape: tuple[int, ...] | None = None
    warnings: list[str] = []
    if x["train"].ndim in (3, 4) and x["train"].dtype == np.uint8:
        features, image_shape = _images(raw, x, channels)
    else:
        features, warnings = _tables(raw, x, names)
    for warning in warnings:
        print(f"warning: {raw}: {warning}", file=sys.stderr)
    return make_dataset(
        name or raw.stem,
        features[0],
        labels[0],
        features[1],
        labels[1],
        class_names=class_names,
        source=f"{raw.name} ({'; '.join(warnings)})" if warnings else raw.name,
        image_shape=image_shape,
    )


def _read_npz(
    path: Path,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray | None, str | None]:
    """Features and labels by part, names of classes, and which axis holds channels."""
    arrays = _arrays(path)
    channels = arrays.get("channels")
    if channels is not None and channels.tolist() not in ("first", "last"):
        raise ValueError(f"{path}: channels is {channels.tolist()!r}, expected 'first' or 'last'")
    x, y = ({part: arrays[f"{kind}_{part}"] for part in PARTS} for kind in "xy")
    return x, y, arrays.get("class_names"), channels if channels is None else channels.item()


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("it is one array, as of .npy; numpy.savez writes several by name")
        with file:
            arrays = {key: file[key] for key in file.files if key in (*_NEEDED, *_OPTIONAL)}
            found = file.files
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path}: not a whole .npz file of plain arrays ({error})") from error
    if missing := [key for key in _NEEDED if key not in arrays]:
        raise ValueError(f"{path}: lacks {listed(missing)}; it has {listed(found)}")
    return arrays


def _tables(
    path: Path, x: dict[str, np.ndarray], names: list[str] | None
) -> tuple[list[torch.Tensor], list[str]]:
    """Features of both parts, float32 ``[examples, features]``, and what that cannot tell apart."""
    for part, values in x.items():
        if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiub":
            raise ValueError(
                f"{path}: x_{part} is {values.dtype} {values.shape}, expected numbers "
                "[examples, features], or uint8 [examples, height, width] or "
                "[examples, channels, height, width]"
            )
    features = x["train"].shape[1]
    if x["test"].shape[1] != features:
        raise ValueError(f"{path}: x_test has {x['test'].shape[1]} features, x_train {features}")
    names = names or [f"feature {number}" for number in range(features)]
    try:
        train, test = to_float64(*x.values())
        train, test, warnings = to_float32(train, test, names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return [torch.from_numpy(train), torch.from_numpy(test)], warnings


def _images(
    path: Path, x: dict[str, np.ndarray], channels: str | None
) -> tuple[list[torch.Tensor], tuple[int, ...]]:
    """Images of both parts, uint8 ``[examples, features]``, and the shape of one."""
    train, test = x.values()
    if train.shape[1:] != test.shape[1:] or test.dtype != train.dtype:
        raise ValueError(
            f"{path}: x_test is {test.dtype} {test.shape} and x_train is {train.dtype} "
            f"{train.shape}, expected images of one shape"
        )
    if train.ndim == 3:
        train, test = train[:, None], test[:, None]
    elif (channels or _channels(path, train.shape)) == "last":
        train, test = np.moveaxis(train, -1, 1), np.moveaxis(test, -1, 1)
    # Plain copies, channel by channel, whatever the order in the file.
    flat = [torch.from_numpy(np.ascontiguousarray(part)).flatten(1) for part in (train, test)]
    return flat, train.shape[1:]


def _channels(path: Path, shape: tuple[int, ...]) -> str:
    """Ask which axis holds channels, unless the shape tells that the first does."""
    _, first, height, last = shape
    if (first <= _MOST_CHANNELS < last and height != first) or first != height == last:
        return "first"
    raise ValueError(
        f"{path}: x_train has shape {shape}, of which channels may be the last axis; expected "
        "[examples, channels, height, width], or an entry channels in the file that says first or "
        "last"
    )
