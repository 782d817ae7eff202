"""A data set of one's own, from an ``.npz`` or a Parquet file."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kancore.data import Dataset
from kancore.data.preparation import make_dataset

FILES = ()
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def prepare(
    raw: Path, name: str | None = None, label: str = "label", split: str = "split"
) -> Dataset:
    """Make the data set from the file `raw`.

    An ``.npz`` file holds x_train, y_train, x_test and y_test, and may hold class_names. Labels
    are the integers from 0. Features are ``[examples, features]`` numbers, or uint8 images
    ``[examples, height, width]`` or ``[examples, channels, height, width]``.

    A Parquet file holds a column of labels (integers or strings), a column that says ``train`` or
    ``test``, and a column of numbers for each feature.

    Parameters
    ----------
    raw
        The file.
    name
        Name of the data set; by default the name of the file without its suffix.
    label, split
        Names of the columns of labels and of parts in a Parquet file.

    Raises
    ------
    FileNotFoundError
        If there is no file `raw`.
    ValueError
        If the file is not of these formats, or lacks something, or its arrays do not fit together.
    """
    raw = Path(raw)
    if not raw.is_file():
        raise FileNotFoundError(f"{raw}: no such file; expected a data set as .npz or .parquet")
    if raw.suffix == ".npz":
        arrays, class_names = _read_npz(raw)
    elif raw.suffix == ".parquet":
        arrays, class_names = _read_parquet(raw, label, split)
    else:
        raise ValueError(f"{raw}: suffix {raw.suffix!r}, expected .npz or .parquet")
    x_train, image_shape = _to_features(f"{raw}: x_train", arrays["x_train"])
    x_test, _ = _to_features(f"{raw}: x_test", arrays["x_test"])
    return make_dataset(
        name or raw.stem,
        x_train,
        _to_labels(f"{raw}: y_train", arrays["y_train"]),
        x_test,
        _to_labels(f"{raw}: y_test", arrays["y_test"]),
        class_names=class_names,
        source=raw.name,
        image_shape=image_shape,
    )


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path}: not a whole .npz file of plain arrays ({error})") from error
    if missing := [key for key in _ARRAYS if key not in arrays]:
        raise ValueError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(arrays)}")
    if "class_names" in arrays:
        return arrays, tuple(map(str, arrays["class_names"]))
    labels = _to_labels(f"{path}: y_train", arrays["y_train"])
    return arrays, tuple(map(str, range(int(labels.max()) + 1 if len(labels) else 0)))


def _read_parquet(
    path: Path, label: str, split: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a whole Parquet file ({error})") from error
    if missing := {label, split} - set(table.columns):
        raise ValueError(f"{path}: lacks the columns {', '.join(sorted(missing))}")
    if unknown := set(table[split].unique()) - {"train", "test"}:
        raise ValueError(f"{path}: {split} holds {unknown}, expected 'train' and 'test'")
    if table[label].isna().any():
        raise ValueError(f"{path}: {label} has {table[label].isna().sum()} missing values")
    in_train = (table[split] == "train").to_numpy()
    classes = sorted(table[label].unique())
    y = pd.Categorical(table[label], categories=classes).codes.astype(np.int64)
    features = table.drop(columns=[label, split])
    if strings := list(features.select_dtypes(exclude=["number", "bool"]).columns):
        raise ValueError(f"{path}: the columns {', '.join(strings)} are not numbers")
    x = features.to_numpy(np.float32, na_value=np.nan)
    arrays = {
        "x_train": x[in_train],
        "y_train": y[in_train],
        "x_test": x[~in_train],
        "y_test": y[~in_train],
    }
    return arrays, tuple(map(str, classes))


def _to_features(what: str, x: np.ndarray) -> tuple[torch.Tensor, tuple[int, ...] | None]:
    """Features [examples, features], and the shape of an image where the examples are images."""
    if x.ndim in (3, 4) and x.dtype == np.uint8:
        shape = (1, *x.shape[1:]) if x.ndim == 3 else x.shape[1:]
        return torch.from_numpy(x.reshape(len(x), -1)), shape
    if x.ndim != 2 or x.dtype.kind not in "fiub":
        raise ValueError(
            f"{what} is {x.dtype} {x.shape}, expected numbers [examples, features], or uint8 "
            "[examples, height, width] or [examples, channels, height, width]"
        )
    return torch.from_numpy(x.astype(np.float32)), None


def _to_labels(what: str, y: np.ndarray) -> torch.Tensor:
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(f"{what} is {y.dtype} {y.shape}, expected integers [examples]")
    return torch.from_numpy(y.astype(np.int64))
