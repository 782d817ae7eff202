"""Fashion-MNIST: 60,000 and 10,000 photos of clothes, 28 x 28 pixels (Xiao et al. 2017)."""

from pathlib import Path

from kancore.data.dataset import Dataset
from kancore.data.idx import STEMS, dataset_from_idx
from kancore.data.raw_files import RawFile

_MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
# Bytes, md5 of the file, md5 of its content.
_PROOFS = (
    (26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    (29515, "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
    (4422102, "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
    (5148, "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
)
FILES = tuple(
    RawFile(f"{stem}.gz", tuple(f"{url}{stem}.gz" for url in _MIRRORS), *proof)
    for stem, proof in zip(STEMS, _PROOFS, strict=True)
)
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def prepare(raw: Path) -> Dataset:
    """Make the data set from the folder `raw` of its four files.

    Returns
    -------
    Dataset
        60,000 training and 10,000 test images, ``(1, 28, 28)`` uint8.
    """
    return dataset_from_idx("fashion_mnist", raw, FILES, CLASS_NAMES)
