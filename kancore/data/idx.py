"""Images and labels in the IDX format: MNIST, and data sets made after it."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch

from kancore.data.dataset import Dataset
from kancore.data.preparation import make_dataset
from kancore.data.raw_files import RawFile, describe

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
        If the file is cut, damaged, or not of this format.
    """
    try:
        with gzip.open(path) as stream:
            data = stream.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from error
    if len(data) < 4 or data[:3] != bytes((0, 0, _UNSIGNED_BYTE)):
        raise ValueError(f"{path}: begins with {data[:4].hex()}, expected IDX of unsigned bytes")
    header = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:header], ">u4").tolist()
    if len(data) != header + math.prod(shape):
        raise ValueError(f"{path}: {len(data) - header} bytes, expected an array {shape}")
    return np.frombuffer(bytearray(data), np.uint8, offset=header).reshape(shape)


def dataset_from_idx(
    name: str, raw: Path, files: tuple[RawFile, ...], class_names: tuple[str, ...]
) -> Dataset:
    """Make a data set from the four files (`STEMS`, in this order) of a relative of MNIST.

    Raises
    ------
    ValueError
        If a file is damaged, or images and labels do not belong together.
    """
    x_train, y_train, x_test, y_test = (read_idx(Path(raw) / file.name) for file in files)
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
