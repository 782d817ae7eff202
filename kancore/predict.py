"""Predict the classes of examples by a network that a study has kept.

``python -m kancore.predict FILE DATA`` prints one line an example: the class, and the probability
of each. DATA is a .csv or .parquet file with a column for each feature, or an .npz file with an
array x. Columns of a network that a table has trained are found by their names, whatever else there
is; those of others are in the order of the training data, beside any named label or split.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from kancore.data.labels import listed
from kancore.data.limits import check_memory
from kancore.data.own_columns import LABEL, SPLIT
from kancore.machine.files import run_command
from kancore.machine.messages import plain, reason
from kancore.trained import Trained, load

# Examples that are computed together.
_BATCH = 4096
# So many times what is read is in memory: as it is in the file, and as float64.
_COPIES = 3


def predict(network: Trained, x: np.ndarray) -> pd.DataFrame:
    """Give the class of each example, and the probabilities of all classes.

    Parameters
    ----------
    network
        From `kancore.load`.
    x
        Features ``[examples, features]`` as in the data set of the network; images ``[examples,
        channels, height, width]``, or ``[examples, height, width]``, are flattened.

    Returns
    -------
    DataFrame
        ``label``, and a column for each class.

    Raises
    ------
    ValueError
        If a feature is missing or infinite, or there are others than the network's.
    """
    features = torch.from_numpy(np.ascontiguousarray(x)).flatten(1)
    if bad := int((~features.isfinite()).sum()):
        raise ValueError(f"x has {bad:,} values that are NaN, missing or infinite, expected none")
    with torch.inference_mode():
        parts = [network(part).softmax(-1) for part in features.split(_BATCH)]
    names = network.class_names
    table = pd.DataFrame(torch.cat(parts).numpy(), columns=names)
    found = [names[place] for place in torch.cat(parts).argmax(-1)]
    table.insert(0, "label", found, allow_duplicates=True)  # a class may be called so, too
    return table


def _features(path: Path, names: Sequence[str] | None = None) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected .csv, .parquet or .npz")
    if path.suffix not in _READERS:
        raise ValueError(f"{path}: suffix {path.suffix!r}, expected .csv, .parquet or .npz")
    try:
        x = _READERS[path.suffix](path)
        if isinstance(x, pd.DataFrame):
            x = _numbers(x, names)
    except MemoryError as error:
        raise ValueError(f"{path}: takes more memory than there is") from error
    except Exception as error:  # whatever damage makes of the readers
        raise ValueError(f"{path}: holds no examples that can be read ({reason(error)})") from error
    if x.ndim < 2 or x.dtype.kind not in "fiub":
        raise ValueError(f"{path}: x is {x.dtype} {x.shape}, expected numbers [examples, features]")
    return x


def _read_npz(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        if "x" not in file.files:
            raise ValueError(f"has {listed(file.files)}, expected an array x")
        sizes = {info.filename: info.file_size for info in file.zip.infolist()}
        check_memory(_COPIES * max(sizes.get(name, 0) for name in ("x", "x.npy")))
        return np.asarray(file["x"])


def _read_csv(path: Path) -> pd.DataFrame:
    check_memory(_COPIES * path.stat().st_size)
    return pd.read_csv(path)


def _read_parquet(path: Path) -> pd.DataFrame:
    about = pq.read_metadata(path)
    # The same number in all rows takes no room in the file.
    check_memory(_COPIES * 8 * about.num_rows * about.num_columns)
    return pd.read_parquet(path)


def _numbers(table: pd.DataFrame, names: Sequence[str] | None) -> np.ndarray:
    if names is None:
        return table.drop(columns=[LABEL, SPLIT], errors="ignore").to_numpy(np.float64)
    if missing := [name for name in names if name not in table]:
        there = listed(map(str, table.columns))
        raise ValueError(f"lacks the columns {listed(missing)}; it has {there}")
    return table[[*names]].to_numpy(np.float64)


_READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m kancore.predict", description=__doc__)
    parser.add_argument("file", type=Path, help="a file below results/STUDY/networks")
    parser.add_argument("data", type=Path, help="the examples")
    parser.add_argument("--trust", action="store_true", help="run a network of somebody's own")
    given = parser.parse_args()
    try:
        network = load(given.file, given.trust)
        # Names come from a file, and may hold what terminals obey.
        network.about["class_names"] = [*map(plain, network.about["class_names"])]
        table = predict(network, _features(given.data, network.about.get("feature_names")))
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error
    table.to_csv(sys.stdout, index=False, float_format="%.6g")


if __name__ == "__main__":
    run_command(main)
