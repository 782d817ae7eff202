"""Images and labels in the IDX format: MNIST, and data sets made after it."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch

from kancore.data.dataset import Dataset
from kancore.data.limits import check_memory
from kancore.data.preparation import make_dataset
from kancore.data.raw_files import RawFile, describe
from kancore.machine.messages import reason, shown

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_UNSIGNED_BYTE = 8  # the type code in the third byte


def read_idx(path: Path) -> np.ndarray:
    """Read a gzip-compressed IDX file of unsigned bytes.

    Returns
    -------
    numpy.ndarray
        uint8, of the shape that the file states.

    Raises
    ------
    ValueError
        If the file is cut, damaged, not of this format, or too large for the memory.
    """
    try:
        with gzip.open(path) as stream:
            return _read(stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{shown(path)}: not a whole gzip file ({reason(error)})") from error
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {error}") from error


def _read(stream: gzip.GzipFile) -> np.ndarray:
    begin = stream.read(4)
    if len(begin) < 4 or begin[:3] != bytes((0, 0, _UNSIGNED_BYTE)):
        raise ValueError(f"begins with {begin.hex()}, expected IDX of unsigned bytes")
    sizes = stream.read(4 * begin[3])
    if len(sizes) < 4 * begin[3]:
        raise ValueError(f"ends before the {begin[3]} sizes of its array")
    shape = np.frombuffer(sizes, ">u4").tolist()
    size = math.prod(shape)
    check_memory(2 * size)
    # No more than is expected: what is compressed may unpack to any size.
    data = stream.read(size)
    if len(data) < size or stream.read(1):
        found = f"{len(data)} bytes" if len(data) < size else f"more than {size} bytes"
        raise ValueError(f"{found}, expected an array {shape}")
    return np.frombuffer(bytearray(data), np.uint8).reshape(shape)


def dataset_from_idx(
    name: str, raw: Path, files: tuple[RawFile, ...], class_names: tuple[str, ...]
) -> Dataset:
    """Make a data set from the four files (`STEMS`, in this order) of a relative of MNIST.

    Raises
    ------
    ValueError
        If a file is damaged, or images and labels do not belong together.
    """
    arrays = [read_idx(Path(raw) / file.name) for file in files]
    for file, array, axes in zip(files, arrays, (3, 1, 3, 1), strict=True):
        if array.ndim != axes or 0 in array.shape:
            expected = "images [examples, height, width]" if axes == 3 else "labels [examples]"
            where = shown(Path(raw) / file.name)
            raise ValueError(f"{where}: an array {[*array.shape]}, expected {expected}")
    x_train, y_train, x_test, y_test = arrays
    if x_test.shape[1:] != x_train.shape[1:]:
        raise ValueError(
            f"{name}: test images {x_test.shape[1:]}, expected {x_train.shape[1:]} as in training"
        )
    return make_dataset(
        name,
        torch.from_numpy(x_train.reshape(len(x_train), -1)),
        torch.from_numpy(y_train).long(),
        torch.from_numpy(x_test.reshape(len(x_test), -1)),
        torch.from_numpy(y_test).long(),
        class_names=class_names,
        source=describe(Path(raw), files),
        image_shape=(1, *x_train.shape[1:]),
    )
