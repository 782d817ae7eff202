"""The data sets by name. Each is a module, imported only when it is asked for.

No job that prepares one or trains on it imports this, so a new name is no other code to them.

A module of a data set has ``FILES``, the `kancore.data.raw_files.RawFile` objects that it needs
(none for data that come with a library), and ``prepare(raw, **options)``, which makes the
`kancore.data.dataset.Dataset` from the folder that holds them.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from importlib import import_module
from types import ModuleType
from typing import Any

from kancore.machine.messages import shown

# Those whose raw files are downloaded, and those that come with a library.
# The names of the raw files are those of each module's ``FILES``, which imports PyTorch.
_IDX = tuple(
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
PUBLISHED: dict[str, tuple[str, ...]] = {
    "mnist": _IDX,
    "fashion_mnist": _IDX,
    "cifar10": ("cifar-10-binary.tar.gz",),
    "imdb": ("aclImdb_v1.tar.gz",),
    "higgs": ("HIGGS.csv.gz",),
}
BUNDLED = ("mnist_sample", "digits", "breast_cancer")
DATASETS: dict[str, str] = {name: f"kancore.data.{name}" for name in (*PUBLISHED, *BUNDLED, "own")}


def dataset_module(name: str) -> ModuleType:
    """Import the module of the data set `name`.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    if name not in DATASETS:
        raise ValueError(f"no data set {name!r}, expected one of {', '.join(DATASETS)}")
    return import_module(DATASETS[name])


def made_by(name: str, data: Mapping[str, Any]) -> Any:
    """Give what a study says of how a data set is made: a file's path, options, or ``None``.

    Parameters
    ----------
    name
        Name of the data set.
    data
        The study's settings of data.
    """
    return data["own"].get(name) or data.get(name)


def prepared_name(name: str, data: Mapping[str, Any]) -> str:
    """Name the file of a prepared data set, without its suffix.

    Studies share the folder of these files. So the name of one that settings make ends with their
    digest, lest two studies with other settings train each other's jobs again.

    Parameters
    ----------
    name, data
        As of `made_by`.
    """
    made = made_by(name, data)
    return name if made is None else f"{name}-{settings_digest(made)[:8]}"


def settings_digest(settings: Any) -> str:
    """Digest of plain values, in 16 hexadecimal digits."""
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def shareable(settings: Any) -> Any:
    """Give settings of a study, or a part of them, as a report may show them.

    Wherever a mirror or files of the user's own are named, `kancore.machine.messages.shown` takes
    the place of passwords and of the folders above.
    """
    if isinstance(settings, list):
        return [shareable(each) for each in settings]
    if not isinstance(settings, dict):
        return settings
    found = {key: shareable(value) for key, value in settings.items()}
    if isinstance(mirror := settings.get("mirror"), str):
        found["mirror"] = shown(mirror)
    if isinstance(own := settings.get("own"), dict):
        found["own"] = {name: shown(file) for name, file in own.items()}
    return found
