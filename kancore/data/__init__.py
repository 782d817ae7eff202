"""The data sets by name. Each is a module, imported only when it is asked for.

A module of a data set has ``FILES``, the `kancore.data.raw_files.RawFile` objects that it needs
(none for data that come with a library), and ``prepare(raw, **options)``, which makes the
`kancore.data.dataset.Dataset` from the folder that holds them.
"""

from importlib import import_module
from types import ModuleType

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
