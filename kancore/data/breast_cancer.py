"""The Wisconsin breast cancer data that come with scikit-learn: 569 cases, 30 features."""

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
        455 training and 114 test cases, 30 float32 features; 0 is malignant, 1 benign.
    """
    cases = sklearn.datasets.load_breast_cancer()
    x = torch.from_numpy(cases.data).float()
    y = torch.from_numpy(cases.target).long()
    train, test = split(y, 0.2, derive_seed("test", "breast_cancer"))
    return make_dataset(
        "breast_cancer",
        x[train],
        y[train],
        x[test],
        y[test],
        class_names=tuple(map(str, cases.target_names)),
        source="scikit-learn, load_breast_cancer",
    )
