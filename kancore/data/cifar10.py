"""CIFAR-10: 50,000 and 10,000 colour photos of 32 x 32 pixels (Krizhevsky 2009).

The binary version, the same images and labels as the Python version without its pickles.
"""

import math
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from kancore.data.dataset import Dataset
from kancore.data.preparation import make_dataset
from kancore.data.raw_files import RawFile, describe, read_tar
from kancore.machine.messages import shown

FILES = (
    RawFile(
        "cifar-10-binary.tar.gz",
        (
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
        ),
        170052171,
        "c32a1d4ab5d03f1284b67883e8d87530",
    ),
)
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST = ("test_batch.bin",)
_SHAPE = (3, 32, 32)
_RECORD = 1 + math.prod(_SHAPE)  # bytes: label, then pixels


def prepare(raw: Path, image_size: int = 32) -> Dataset:
    """Make the data set from the folder `raw` of its archive.

    Parameters
    ----------
    raw
        Folder that holds the archive.
    image_size
        Height and width in pixels, cut from the middle; 28 gives the paper's 3 x 28 x 28.

    Returns
    -------
    Dataset
        50,000 training and 10,000 test images, ``(3, image_size, image_size)`` uint8.

    Raises
    ------
    ValueError
        If the archive is damaged or lacks a file, or `image_size` is not in 1 to 32.
    """
    if not 1 <= image_size <= _SHAPE[1]:
        raise ValueError(f"image_size is {image_size}, expected 1 to {_SHAPE[1]}")
    path = Path(raw) / FILES[0].name
    batches = {
        PurePosixPath(name).name: content
        for name, content in read_tar(path, lambda name: PurePosixPath(name).name in _TRAIN + _TEST)
    }
    if missing := set(_TRAIN + _TEST) - set(batches):
        raise ValueError(f"{shown(path)}: lacks {', '.join(sorted(missing))}")
    if any(len(batch) % _RECORD for batch in batches.values()):
        raise ValueError(f"{shown(path)}: a batch is not made of records of {_RECORD} bytes")
    x_train, y_train = _read_batches([batches.pop(name) for name in _TRAIN], image_size)
    x_test, y_test = _read_batches([batches.pop(name) for name in _TEST], image_size)
    return make_dataset(
        "cifar10",
        x_train,
        y_train,
        x_test,
        y_test,
        class_names=CLASS_NAMES,
        source=describe(Path(raw), FILES),
        image_shape=(_SHAPE[0], image_size, image_size),
    )


def _read_batches(batches: list[bytes], image_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 [n, 3 * image_size**2] and labels int64 [n] of records: label, then pixels."""
    records = np.concatenate([np.frombuffer(b, np.uint8).reshape(-1, _RECORD) for b in batches])
    margin = (_SHAPE[1] - image_size) // 2
    middle = slice(margin, margin + image_size)
    images = records[:, 1:].reshape(-1, *_SHAPE)[:, :, middle, middle]
    x = torch.from_numpy(images.reshape(len(images), -1).copy())
    return x, torch.from_numpy(records[:, 0].astype(np.int64))
