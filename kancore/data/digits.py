"""The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn."""

from pathlib import Path

import sklearn.datasets
import torch

from kancore.data.dataset import Dataset, split
from kancore.data.preparation import make_dataset
from kancore.schemes import derive_seed

FILES = ()


def prepare(raw: Path | None = None) -> Dataset:
    """Make the data set; its test part is a fixed stratified fifth.

    Parameters
    ----------
    raw
        Not used: the data come with scikit-learn.

    Returns
    -------
    Dataset
        1,438 training and 359 test images, ``(1, 8, 8)`` uint8, pixel values 0 to 16.
    """
    digits = sklearn.datasets.load_digits()
    x = torch.from_numpy(digits.data).to(torch.uint8)
    y = torch.from_numpy(digits.target).long()
    train, test = split(y, 0.2, derive_seed("test", "digits"))
    return make_dataset(
        "digits",
        x[train],
        y[train],
        x[test],
        y[test],
        class_names=tuple(map(str, digits.target_names)),
        source="scikit-learn, load_digits",
        image_shape=(1, 8, 8),
    )
