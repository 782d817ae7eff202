"""HIGGS: simulated collisions, 28 features, signal or background (Baldi et al. 2014; UCI).

The published file has 11,000,000 rows of which a study needs the first few: only these are
downloaded.
"""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kancore.data.dataset import Dataset
from kancore.data.preparation import make_dataset
from kancore.data.raw_files import RawFile, checked_rows, known_rows, rows_name
from kancore.machine.messages import reason, shown

# No checksum of it is published, and it is never downloaded whole. So whoever serves it must prove
# who they are, and the checksum of its rows is kept from the first download on.
FILES = (
    RawFile(
        "HIGGS.csv.gz",
        ("https://archive.ics.uci.edu/ml/machine-learning-databases/00280/HIGGS.csv.gz",),
        2816407858,
    ),
)
FEATURES = 28


def prepare(raw: Path, train_rows: int = 50_000, test_rows: int = 50_000) -> Dataset:
    """Make the data set from the first rows of the file, and its test part from the rows after.

    Parameters
    ----------
    raw
        Folder that holds the first ``train_rows + test_rows`` rows, as `kancore.data.download`
        leaves them.
    train_rows, test_rows
        Rows of each part. The paper has 50,000 and 50,000; the published code trains on 500,000.

    Returns
    -------
    Dataset
        28 float32 features; label 1 is signal, 0 background.

    Raises
    ------
    ValueError
        If the file has not as many rows, other columns, or other rows than were first downloaded.
    """
    rows = train_rows + test_rows
    path = Path(raw) / rows_name(FILES[0].name, rows)
    checksum = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for line in checked_rows(stream, rows, known_rows(path.parent, FILES[0])):
                checksum.update(line)
        table = pd.read_csv(
            path, header=None, dtype=np.float32, compression="gzip", nrows=rows + 1
        ).to_numpy()
    except (ValueError, EOFError, zlib.error) as error:
        raise ValueError(f"{shown(path)}: {reason(error)}") from error
    if table.shape != (rows, 1 + FEATURES):
        raise ValueError(f"{shown(path)}: table {table.shape}, expected {(rows, 1 + FEATURES)}")
    x = torch.from_numpy(np.ascontiguousarray(table[:, 1:]))
    y = torch.from_numpy(table[:, 0].astype(np.int64))
    return make_dataset(
        "higgs",
        x[:train_rows],
        y[:train_rows],
        x[train_rows:],
        y[train_rows:],
        class_names=("background", "signal"),
        source=f"{FILES[0].urls[0]} (no checksum is published; of these rows the sha256 is "
        f"{checksum.hexdigest()}): rows 1 to {train_rows} for training, the next {test_rows} for "
        "test",
    )
