"""Predict the classes of examples by a network that a study has kept.

``python -m kancore.predict FILE DATA`` prints one line an example: the class, and the probability
of each. DATA is a .csv or .parquet file with a column for each feature, in the order of the
training data (columns named label or split are left out), or an .npz file with an array x.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kancore.machine.files import run_plainly
from kancore.trained import Trained, load

# Columns of a table that are no features, and examples that are computed together.
_OTHERS = ("label", "split")
_BATCH = 4096


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
    """
    features = torch.from_numpy(np.ascontiguousarray(x)).flatten(1)
    with torch.inference_mode():
        parts = [network(part).softmax(-1) for part in features.float().split(_BATCH)]
    names = network.class_names
    table = pd.DataFrame(torch.cat(parts).numpy(), columns=names)
    table.insert(0, "label", [names[place] for place in torch.cat(parts).argmax(-1)])
    return table


def _features(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected .csv, .parquet or .npz")
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            if "x" not in file.files:
                raise ValueError(f"{path}: has {', '.join(file.files)}, expected an array x")
            return file["x"]
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix not in readers:
        raise ValueError(f"{path}: suffix {path.suffix!r}, expected .csv, .parquet or .npz")
    table = readers[path.suffix](path)
    return table.drop(columns=[name for name in _OTHERS if name in table]).to_numpy(np.float32)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m kancore.predict", description=__doc__)
    parser.add_argument("file", type=Path, help="a file below results/STUDY/networks")
    parser.add_argument("data", type=Path, help="the examples")
    parser.add_argument("--trust", action="store_true", help="run a network of somebody's own")
    given = parser.parse_args()
    try:
        table = predict(load(given.file, given.trust), _features(given.data))
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error
    table.to_csv(sys.stdout, index=False, float_format="%.6g")


if __name__ == "__main__":
    run_plainly(main)
