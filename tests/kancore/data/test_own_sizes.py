"""How large a data set of the user's own is said to be before it is prepared."""

import numpy as np
import pandas as pd
import pytest

from kancore.data.own import prepare
from kancore.data.own_sizes import own_size


def table(rows, split=True):
    random = np.random.default_rng(0)
    columns = {f"f{number}": random.standard_normal(rows) for number in range(5)}
    labels = {"label": np.arange(rows) % 3}
    parts = {"split": ["train" if row % 5 else "test" for row in range(rows)]} if split else {}
    return pd.DataFrame({**columns, **labels, **parts})


def sizes_of(path):
    made = prepare(path)
    return made.features, len(made.y_train), len(made.y_test), made.x_train.itemsize


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("split", [True, False])
def test_of_a_table(kind, split, tmp_path):
    path = tmp_path / f"a.{kind}"
    for rows, within in ((50, 0), (30_000, 0.02)):  # of the larger CSV file a part is read
        frame = table(rows, split)
        frame.to_csv(path) if kind == "csv" else frame.to_parquet(path)
        assert own_size(path) == pytest.approx(sizes_of(path), rel=within if kind == "csv" else 0)


def test_of_a_folder_of_parquet_files(tmp_path):
    for number in range(3):
        table(40).to_parquet(tmp_path / f"{number}.parquet")
    assert own_size(tmp_path) == sizes_of(tmp_path)


@pytest.mark.parametrize(
    ("shape", "kind"), [((7,), float), ((7,), np.uint8), ((4, 5), np.uint8), ((3, 8, 8), np.uint8)]
)
def test_of_arrays(shape, kind, tmp_path):
    x = np.arange(12 * np.prod(shape)).reshape(12, *shape).astype(kind)
    y = np.arange(12) % 2
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=x[:8], y_train=y[:8], x_test=x[8:], y_test=y[8:])
    assert own_size(path) == sizes_of(path)


@pytest.mark.parametrize("name", ["a.npz", "a.csv", "a.parquet", "absent.csv", "."])
def test_of_what_cannot_be_read_nothing_is_said(name, tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 damaged")
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert own_size(tmp_path / name) is None
