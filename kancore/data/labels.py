"""Labels of any kind as whole numbers from 0."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

_KINDS = {"i": "whole numbers", "u": "whole numbers", "U": "text", "b": "booleans"}
_LISTED = 10
# So many numbers are classes, however few examples they have.
_FEW = 20


def encode(
    labels: dict[str, np.ndarray], class_names: np.ndarray | None = None
) -> tuple[list[torch.Tensor], tuple[str, ...]]:
    """Turn the labels of both parts into places from 0, and name the classes.

    Parameters
    ----------
    labels
        Labels ``[examples]`` of the training part and of the test part, by what messages call them:
        whole numbers, text, or booleans.
    class_names
        Names of the classes. Labels that are text are among them, others are their places, from 0.
        By default the classes are the distinct training labels, in ascending order.

    Returns
    -------
    labels : list of torch.Tensor
        int64 ``[examples]`` of both parts.
    class_names : tuple of str

    Raises
    ------
    ValueError
        If labels are of other kinds, of two kinds, or of no class.
    """
    kinds = {what: _kind(what, y) for what, y in labels.items()}
    (train, kind), (test, other) = kinds.items()
    if kind != other:
        raise ValueError(f"{train} holds {kind} and {test} {other}, expected labels of one kind")
    if class_names is None:
        check_classes(train, labels[train])
        classes = np.unique(labels[train])
        names = tuple(map(str, classes.tolist()))
    else:
        names = _checked_names(train, class_names)
        classes = np.array(names) if kind == "text" else np.arange(len(names))
        if kind == "booleans":
            labels = {what: y.astype(np.int64) for what, y in labels.items()}
    return [_number(what, y, classes) for what, y in labels.items()], names


def check_classes(what: str, y: np.ndarray) -> None:
    """Raise a ValueError where labels are numbers of which hardly two are the same."""
    different = len(np.unique(y))
    if y.dtype.kind in "iu" and different > max(_FEW, len(y) / 2):
        raise ValueError(
            f"{what} has {different:,} different numbers in {len(y):,} examples, expected classes: "
            "classification only"
        )


def listed(names: Iterable[str]) -> str:
    """Join names by commas; of many, give the first, the last and how many there are."""
    names = list(names)
    if len(names) <= _LISTED:
        return ", ".join(names)
    return f"{names[0]} to {names[-1]} ({len(names):,} in all)"


def doubled(names: Iterable[str]) -> list[str]:
    """Names that are there more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def _kind(what: str, y: np.ndarray) -> str:
    if y.ndim != 1 or not len(y) or y.dtype.kind not in _KINDS:
        raise ValueError(
            f"{what} is {y.dtype} {y.shape}, expected whole numbers, text or booleans [examples]"
        )
    return _KINDS[y.dtype.kind]


def _checked_names(what: str, class_names: np.ndarray) -> tuple[str, ...]:
    where = what.replace("y_train", "class_names")
    if class_names.ndim != 1 or not len(class_names) or class_names.dtype.kind not in "iuU":
        raise ValueError(
            f"{where} is {class_names.dtype} {class_names.shape}, expected text [classes]"
        )
    names = tuple(map(str, class_names.tolist()))
    if twice := doubled(names):
        raise ValueError(f"{where} has {listed(twice)} twice, expected different names")
    return names


def _number(what: str, y: np.ndarray, classes: np.ndarray) -> torch.Tensor:
    """Places of labels among the distinct `classes`."""
    places = pd.Index(_native(classes)).get_indexer(_native(y))
    unknown = np.unique(y[places < 0]).tolist()
    if not unknown:
        return torch.from_numpy(places.astype(np.int64))
    absent = f"no training example of classes {listed(map(str, unknown))}"
    if y.dtype.kind not in "iu":
        raise ValueError(f"{what}: {absent}; the classes are {listed(map(str, classes.tolist()))}")
    expected = f"expected {classes.min()} to {classes.max()}"
    raise ValueError(f"{what} has labels {unknown[0]} to {unknown[-1]}, {expected}: {absent}")


def _native(x: np.ndarray) -> np.ndarray:
    """Give `x` the byte order of this machine, which pandas insists on."""
    return x.astype(x.dtype.newbyteorder("="))
