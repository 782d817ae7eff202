"""The prepared form of a data set: arrays in one safetensors file, and how they are divided.

Images stay uint8 and bags of words stay sparse, in the file and in memory. A network's input is
standardised on the device, with a mean and a standard deviation of the training part alone.
"""

import hashlib
import json
import os
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from kancore.machine.files import write_atomically

# What is used of it here has been stable for years.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")

PARTS = ("train", "test")
_METADATA = ("name", "image_shape", "class_names", "source")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set for classification, with its fixed division into training and test part.

    Attributes
    ----------
    name : str
        Name of the data set.
    x_train, x_test : torch.Tensor
        ``[examples, features]``: dense uint8 (images) or float32 (tables), or sparse CSR float32
        (text). Images are flattened channel first, each channel row by row.
    y_train, y_test : torch.Tensor
        int64 ``[examples]``, labels in ``[0, classes)``.
    mean, std : torch.Tensor
        float32 ``[features]``, in the units of `x_train`, of which they are the mean and the
        population standard deviation: for each channel of images, for each feature of tables.
        0 and 1 where the features are sparse; `std` is 1 where a feature is constant.
    image_shape : tuple of int or None
        ``(channels, height, width)``; ``None`` unless the examples are images.
    class_names : tuple of str
        Name of each label.
    source : str
        Where the data came from.
    offset : torch.Tensor or None
        float64 ``[features]``, what was taken from features before they were stored, as they vary
        little around a number far from 0; NaN where it is not known to the last digit. ``None`` for
        nothing.
    feature_names : tuple of str or None
        Names of the columns that the features are of a table of the user's own.
    """

    name: str
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    image_shape: tuple[int, ...] | None
    class_names: tuple[str, ...]
    source: str
    offset: torch.Tensor | None = None
    feature_names: tuple[str, ...] | None = None

    @property
    def features(self) -> int:
        """Number of features of an example: the inputs of a network."""
        return self.x_train.shape[1]

    @property
    def classes(self) -> int:
        """Number of labels: the outputs of a network."""
        return len(self.class_names)

    @property
    def sparse(self) -> bool:
        """Whether the features are a sparse CSR tensor."""
        return self.x_train.layout == torch.sparse_csr

    @cached_property
    def checksum(self) -> str:
        """sha256 of the arrays, which `save` writes and `load` verifies."""
        digest = hashlib.sha256()
        for name, array in sorted(_to_arrays(self).items()):
            digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
            digest.update(array.cpu().numpy().data)
        return digest.hexdigest()

    def standardize(self, x: torch.Tensor) -> torch.Tensor:
        """Turn ``[batch, features]`` of this data set into a network's input.

        Returns
        -------
        torch.Tensor
            float32 ``(x - mean) / std`` on the device of `x`; sparse `x` as it is.
        """
        if x.layout == torch.sparse_csr:
            return x
        mean, std = self.mean.to(x.device), self.std.to(x.device)
        return (x.to(mean.dtype) - mean).div_(std)

    def to(self, device: torch.device | str) -> "Dataset":
        """Copy of this data set with all its tensors on `device`."""
        tensors = {key: value for key, value in vars(self).items() if torch.is_tensor(value)}
        moved: dict[str, Any] = {key: value.to(device) for key, value in tensors.items()}
        return replace(self, **moved)


def _to_arrays(dataset: Dataset) -> dict[str, torch.Tensor]:
    """Dense tensors of the file, by name; a CSR tensor gives three."""
    arrays = {"mean": dataset.mean, "std": dataset.std}
    if dataset.offset is not None:
        arrays["offset"] = dataset.offset
    for part in PARTS:
        x = getattr(dataset, f"x_{part}")
        if dataset.sparse:
            arrays[f"x_{part}.crow_indices"] = x.crow_indices()
            arrays[f"x_{part}.col_indices"] = x.col_indices()
            arrays[f"x_{part}.values"] = x.values()
        else:
            arrays[f"x_{part}"] = x
        arrays[f"y_{part}"] = getattr(dataset, f"y_{part}")
    return {name: array.contiguous() for name, array in arrays.items()}


def _from_arrays(arrays: dict[str, torch.Tensor], part: str) -> torch.Tensor:
    """Features of `part`, the inverse of `_to_arrays`."""
    if f"x_{part}" in arrays:
        return arrays[f"x_{part}"]
    crow, col, values = (
        arrays[f"x_{part}.{name}"] for name in ("crow_indices", "col_indices", "values")
    )
    size = (len(crow) - 1, len(arrays["mean"]))
    return torch.sparse_csr_tensor(crow, col, values, size=size, check_invariants=True)


def summary(dataset: Dataset) -> dict[str, object]:
    """Describe a data set in plain values: what its file's header says of it."""
    values = {name: getattr(dataset, name) for name in (*_METADATA, "features", "checksum")}
    if dataset.feature_names is not None:
        values["feature_names"] = dataset.feature_names
    for part in PARTS:
        labels = getattr(dataset, f"y_{part}")
        values[f"{part}_counts"] = torch.bincount(labels, minlength=dataset.classes).tolist()
    return values


def save(path: str | os.PathLike, dataset: Dataset) -> None:
    """Write `dataset` as one safetensors file; the same data set gives the same bytes.

    The header's entry ``dataset`` is its `summary` as JSON: name, image_shape, class_names, source,
    features, checksum, and the number of examples of each class in both parts.
    """
    # One entry, because safetensors writes several in an order of its own choice.
    header = {"dataset": json.dumps(summary(dataset))}
    arrays = {name: array.cpu().numpy() for name, array in _to_arrays(dataset).items()}
    content = to_bytes(arrays, metadata=header)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def load(path: str | os.PathLike) -> Dataset:
    """Read a data set that `save` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no file `path`.
    ValueError
        If the file is cut or changed, or is not a data set.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a prepared data set")
    again = "remove it and prepare it again"
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["dataset"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata.setdefault("feature_names", None)  # none but those of one's own tables
        for name in ("image_shape", "class_names", "feature_names"):
            metadata[name] = metadata[name] and tuple(metadata[name])
        dataset = Dataset(
            x_train=_from_arrays(arrays, "train"),
            x_test=_from_arrays(arrays, "test"),
            **{name: arrays[name] for name in ("y_train", "y_test", "mean", "std")},
            **{name: metadata[name] for name in _METADATA},
            offset=arrays.get("offset"),
            feature_names=metadata["feature_names"],
        )
        if dataset.checksum != metadata["checksum"]:
            raise ValueError("its arrays do not have the checksum in its header")
        return dataset
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error}); {again}") from error
    except KeyError as error:
        raise ValueError(f"{path}: not a prepared data set, it lacks {error}; {again}") from error
    except ValueError as error:
        raise ValueError(f"{path}: not a prepared data set: {error}; {again}") from error


def subset(y: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """Draw `n` examples at random, each class in its proportion.

    Parameters
    ----------
    y
        int64 ``[examples]``, labels.
    n
        Number of examples to draw; classes get their exact share, rounded by largest remainder.
    seed
        Seed of the draw, from `kancore.schemes.derive_seed`.

    Returns
    -------
    torch.Tensor
        int64 ``[n]``, indices in ascending order.

    Raises
    ------
    ValueError
        If there are not `n` examples.
    """
    if not 0 <= n <= len(y):
        raise ValueError(f"cannot draw {n} examples of {len(y)}")
    labels = y.cpu().numpy()
    counts = np.bincount(labels)
    # In whole numbers: shares * len(y), so that no rounding decides a tie.
    taken, remainder = np.divmod(counts * n, max(len(y), 1))
    taken[np.argsort(-remainder, kind="stable")[: n - taken.sum()]] += 1
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in enumerate(taken)
    ]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def split(y: torch.Tensor, fraction: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Divide examples into a training and a validation split, each class in its proportion.

    Parameters
    ----------
    y
        int64 ``[examples]``, labels.
    fraction
        Fraction of the examples that the validation split gets, in [0, 1).
    seed
        Seed of the draw, such as ``derive_seed("split", dataset.name, seed)``.

    Returns
    -------
    train_index, validation_index : torch.Tensor
        int64, each in ascending order; together every example once.

    Raises
    ------
    ValueError
        If `fraction` is outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"validation fraction is {fraction}, expected 0 <= fraction < 1")
    validation = subset(y, round(fraction * len(y)), seed)
    kept = torch.ones(len(y), dtype=torch.bool)
    kept[validation] = False
    return torch.where(kept)[0], validation


def rows(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows `index` (int64 ``[n]``) of `x` ``[examples, features]``, dense or sparse CSR."""
    if x.layout != torch.sparse_csr:
        return x[index]
    start = x.crow_indices()[index]
    length = x.crow_indices()[index + 1] - start
    crow = torch.nn.functional.pad(length.cumsum(0), (1, 0))
    # Where each kept element lies in x: its own row's start, and its place in that row.
    place = torch.arange(int(crow[-1]), device=x.device)
    place += (start - crow[:-1]).repeat_interleave(length)
    return torch.sparse_csr_tensor(
        crow,
        x.col_indices()[place],
        x.values()[place],
        size=(len(index), x.shape[1]),
        check_invariants=False,  # they are those of x, and this is done for every batch
    )


def longest_row(x: torch.Tensor) -> int:
    """Count the elements of the row of sparse CSR `x` that has most."""
    return int(x.crow_indices().diff().max()) if len(x) else 0


def dense_rows(x: torch.Tensor, index: torch.Tensor, longest: int) -> torch.Tensor:
    """Rows `index` of sparse CSR `x`, ``[n, features]`` and dense.

    Unlike ``rows(x, index).to_dense()`` it never waits for a GPU to say how many elements there
    are.

    Parameters
    ----------
    x
        ``[examples, features]``.
    index
        int64 ``[n]``.
    longest
        At least the number of elements of any of these rows, from `longest_row`.
    """
    start = x.crow_indices()[index].unsqueeze(1)
    place = start + torch.arange(longest, device=x.device)
    inside = place < x.crow_indices()[index + 1].unsqueeze(1)
    place.clamp_(max=max(x.values().numel() - 1, 0))
    values = torch.where(inside, x.values()[place], 0)
    dense = values.new_zeros(len(index), x.shape[1])
    return dense.scatter_add_(1, x.col_indices()[place], values)
