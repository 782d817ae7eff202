"""MNIST: 60,000 and 10,000 handwritten digits of 28 x 28 pixels (LeCun et al. 1998)."""

from pathlib import Path

from kancore.data.dataset import Dataset
from kancore.data.idx import STEMS, dataset_from_idx
from kancore.data.raw_files import RawFile

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# Bytes, md5 of the file, md5 of its content.
_PROOFS = (
    (9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    (28881, "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    (1648877, "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    (4542, "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
)
FILES = tuple(
    RawFile(f"{stem}.gz", tuple(f"{url}{stem}.gz" for url in _MIRRORS), *proof)
    for stem, proof in zip(STEMS, _PROOFS, strict=True)
)


def prepare(raw: Path) -> Dataset:
    """Make the data set from the folder `raw` of its four files.

    Returns
    -------
    Dataset
        60,000 training and 10,000 test images, ``(1, 28, 28)`` uint8.
    """
    return dataset_from_idx("mnist", raw, FILES, tuple("0123456789"))
