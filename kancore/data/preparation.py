"""From arrays to a data set: checks, standardisation, and smaller parts of it."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from kancore.data.dataset import PARTS, Dataset, rows, subset
from kancore.data.labels import doubled, listed
from kancore.schemes import derive_seed


def make_dataset(
    name: str,
    x_train: torch.Tensor,
    y_train: torch.Tensor,
    x_test: torch.Tensor,
    y_test: torch.Tensor,
    *,
    class_names: tuple[str, ...],
    source: str,
    image_shape: tuple[int, ...] | None = None,
    offset: torch.Tensor | None = None,
    feature_names: tuple[str, ...] | None = None,
) -> Dataset:
    """Fit the standardisation on the training part, check the arrays and put them together.

    Raises
    ------
    ValueError
        If the arrays are not those of a `Dataset`; see `checks`.
    """
    dataset = Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        mean=torch.zeros(x_train.shape[1:]),
        std=torch.ones(x_train.shape[1:]),
        image_shape=image_shape,
        class_names=tuple(class_names),
        source=source,
        offset=offset,
        feature_names=feature_names,
    )
    checks(dataset)
    mean, std = _moments(x_train, image_shape)
    return replace(dataset, mean=mean, std=std)


def _moments(
    x: torch.Tensor, image_shape: tuple[int, ...] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (1 where it is 0) that standardise `x`, float32 [features]."""
    if x.layout == torch.sparse_csr:
        # Centred features would no longer be sparse.
        return torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    if image_shape is None:
        std, mean = torch.std_mean(x.double(), dim=0, correction=0)
        # Rounding must not make a spread of a constant.
        std[(x == x[0]).all(0)] = 0
    else:
        channels = x.view(len(x), image_shape[0], -1)
        moments = [_image_moments(channels[:, c]) for c in range(image_shape[0])]
        mean, std = torch.tensor(moments, dtype=torch.float64).T
        mean = mean.repeat_interleave(channels.shape[2])
        std = std.repeat_interleave(channels.shape[2])
    mean, std = mean.float(), std.float()
    return mean, torch.where(std > 0, std, 1.0)


def _image_moments(pixels: torch.Tensor) -> tuple[float, float]:
    """Exact mean and standard deviation of uint8 pixels, without a copy in floating point."""
    counts = torch.bincount(pixels.reshape(-1), minlength=256).double()
    values = torch.arange(256, dtype=torch.float64)
    mean = (counts @ values / counts.sum()).item()
    variance = (counts @ (values - mean) ** 2 / counts.sum()).item()
    return mean, variance**0.5


def checks(dataset: Dataset) -> None:
    """Check shapes, dtypes, finite features, the range of labels, and for classes without example.

    Raises
    ------
    ValueError
        For the first thing wrong, naming the data set, the array, what it holds and what was
        expected.
    """
    if dataset.classes < 2:
        raise ValueError(f"{dataset.name}: {dataset.classes} classes, expected at least 2")
    if twice := doubled(dataset.class_names):
        raise ValueError(f"{dataset.name}: class_names has {listed(twice)} twice")
    for part in PARTS:
        x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        _check_features(f"{dataset.name}: x_{part}", x, dataset)
        _check_labels(f"{dataset.name}: y_{part}", y, len(x), dataset.classes)
    if missing := missing_classes(dataset.y_train, dataset.class_names):
        raise ValueError(f"{dataset.name}: no training example of classes {missing}")


def scaled(dataset: Dataset, scaling: str) -> Dataset:
    """Choose how images become inputs: ``standardize``, ``unit`` or ``symmetric``.

    Training pixels are then in [0, 1], or in [-1, 1]. Tables and texts stay as they are.
    """
    if scaling == "standardize" or dataset.image_shape is None:
        return dataset
    brightest = max(1, int(dataset.x_train.max()))  # 255, but of images of fewer bits
    middle, half = (0, brightest) if scaling == "unit" else (brightest / 2, brightest / 2)
    mean, std = torch.full_like(dataset.mean, middle), torch.full_like(dataset.std, half)
    return replace(dataset, mean=mean, std=std)


def missing_classes(y: torch.Tensor, class_names: tuple[str, ...]) -> str:
    """Names of the classes that no label of `y` is of: joined by commas, of many the outer two."""
    counts = torch.bincount(y, minlength=len(class_names))
    return listed(class_names[label] for label in torch.where(counts == 0)[0])


def _check_features(what: str, x: torch.Tensor, dataset: Dataset) -> None:
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{what} has shape {tuple(x.shape)}, expected [examples, features]")
    if x.dtype not in (torch.uint8, torch.float32) or (dataset.sparse and x.dtype == torch.uint8):
        raise ValueError(f"{what} is {x.dtype}, expected uint8 or float32, float32 where sparse")
    like = dataset.x_train
    if (x.shape[1], x.dtype, x.layout) != (like.shape[1], like.dtype, like.layout):
        raise ValueError(
            f"{what} has {x.shape[1]} features, {x.dtype}, {x.layout}; x_train has "
            f"{like.shape[1]}, {like.dtype}, {like.layout}"
        )
    image_shape = dataset.image_shape
    if image_shape is not None and (
        len(image_shape) != 3 or np.prod(image_shape) != x.shape[1] or x.dtype != torch.uint8
    ):
        raise ValueError(
            f"{what} has {x.shape[1]} features of {x.dtype}, expected images "
            f"(channels, height, width) = {image_shape} of uint8"
        )
    values = x.values() if dataset.sparse else x
    if values.is_floating_point() and (bad := int((~values.isfinite()).sum())):
        raise ValueError(f"{what} has {bad} values that are NaN or infinite, expected none")


def _check_labels(what: str, y: torch.Tensor, examples: int, classes: int) -> None:
    if y.dtype != torch.int64 or y.shape != (examples,):
        raise ValueError(
            f"{what} is {y.dtype} {tuple(y.shape)}, expected int64 ({examples},): a label each"
        )
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(
            f"{what} has labels {int(y.min())} to {int(y.max())}, expected 0 to {classes - 1}"
        )


def take(
    dataset: Dataset,
    train_examples: int | None = None,
    test_examples: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Keep a stratified part of `dataset`, for small studies; ``None`` keeps all examples.

    Each seed draws examples of its own, so that seeds differ by what examples there are, too. The
    standardisation is fitted again, on the training examples kept.
    """
    kept: dict[str, Any] = {}
    for part, n in (("train", train_examples), ("test", test_examples)):
        x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        if n is not None:
            index = subset(y, n, derive_seed("subset", dataset.name, part, seed))
            x, y = rows(x, index), y[index]
        kept |= {f"x_{part}": x, f"y_{part}": y}
    return make_dataset(
        dataset.name,
        **kept,
        class_names=dataset.class_names,
        source=dataset.source,
        image_shape=dataset.image_shape,
        offset=dataset.offset,
        feature_names=dataset.feature_names,
    )
