"""How large a data set of the user's own is said to be before it is prepared."""

import io
import os
import zipfile

import numpy as np
import pandas as pd
import pytest

from kancore.data import own_sizes
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
    frame = table(50, split)
    frame.to_csv(path) if kind == "csv" else frame.to_parquet(path)
    assert own_size(path) == sizes_of(path)


def test_of_a_csv_file_of_another_program(tmp_path):
    path = tmp_path / "a.csv"
    frame = table(50).rename(columns={"f0": "length, cm", "f1": "\xf8"})
    plain = frame[["label", *frame.columns.drop("label")]].to_csv(index=False)
    for text in (
        plain,
        "\n\n" + plain + "\n\n",
        plain.replace("\n", "\r\n"),
        frame.to_csv(quoting=1),
    ):
        for start in (b"", b"\xef\xbb\xbf"):  # which says UTF-8
            path.write_bytes(start + text.encode())
            assert own_size(path) == sizes_of(path)


def test_of_a_large_csv_file_a_part_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(own_sizes, "_READ", 2**16)
    path = tmp_path / "a.csv"
    lines = [f"{n % 7},{n % 3}\n" for n in range(30_000)]
    lines += [f"{n / 7:.17f},{n % 3}\n" for n in range(30_000)]
    path.write_text("a,label\n" + "".join(lines))
    features, train, test, _ = own_size(path)
    assert features == 1
    assert train + test == pytest.approx(60_000, rel=0.1)
    path.write_text(",".join(f"f{n}" for n in range(20_000)) + ",label\n" + "1," * 20_000 + "a\n")
    assert own_size(path) is None  # a heading that is longer than what is read


def test_of_a_folder_of_parquet_files(tmp_path):
    for number in range(3):
        table(40).to_parquet(tmp_path / f"{number}.parquet")
    assert own_size(tmp_path) == sizes_of(tmp_path)


@pytest.mark.parametrize("index", ["place", None])
def test_the_index_of_a_data_frame_is_no_feature(index, tmp_path):
    path = tmp_path / "a.parquet"
    table(40).set_index(pd.Index(range(7, 287, 7), name=index)).to_parquet(path)
    assert own_size(path) == sizes_of(path)


def test_parts_of_paths_are_columns(tmp_path):
    for year in (2020, 2021):
        (tmp_path / f"year={year}").mkdir()
        table(40).to_parquet(tmp_path / f"year={year}" / "a.parquet", index=False)
    assert own_size(tmp_path) == sizes_of(tmp_path) == (6, 64, 16, 4)


@pytest.mark.parametrize(
    ("shape", "kind"), [((7,), float), ((7,), np.uint8), ((4, 5), np.uint8), ((3, 8, 8), np.uint8)]
)
def test_of_arrays(shape, kind, tmp_path):
    x = np.arange(12 * np.prod(shape)).reshape(12, *shape).astype(kind)
    y = np.arange(12) % 2
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=x[:8], y_train=y[:8], x_test=x[8:], y_test=y[8:])
    assert own_size(path) == sizes_of(path)


@pytest.mark.parametrize(
    "name", ["a.npz", "a.csv", "a.parquet", "absent.csv", ".", "pipe.csv", "pipe.npz"]
)
def test_of_what_cannot_be_read_nothing_is_said(name, tmp_path):
    for kind in ("csv", "npz"):
        os.mkfifo(tmp_path / f"pipe.{kind}")
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 damaged")
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert own_size(tmp_path / name) is None


@pytest.mark.parametrize("shape", [(10**12, 10**9), (10**6, 10**12, 10**12), (-5, 7), (5, -7)])
def test_headers_that_do_not_fit_their_arrays_are_not_believed(shape, tmp_path):
    header, path = io.BytesIO(), tmp_path / "a.npz"
    described = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    with zipfile.ZipFile(path, "w") as archive:
        for part in ("train", "test"):
            archive.writestr(f"x_{part}.npy", header.getvalue() + bytes(280))
    assert own_size(path) is None


@pytest.mark.parametrize("shape", [(12,), (12, 0), (0, 12), (12, 4, 4), (12, 2, 2, 2, 2)])
def test_of_arrays_that_are_no_data_set_nothing_is_said(shape, tmp_path):
    x, path = np.zeros(shape), tmp_path / "a.npz"
    np.savez(path, x_train=x, x_test=x)
    assert own_size(path) is None
