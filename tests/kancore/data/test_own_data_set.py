import os

import numpy as np
import pandas as pd
import pytest
import torch

from kancore.data import custom


def test_data_set_needs_no_unpickling(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"not a whole \.npz file of plain arrays"):
        custom.prepare(tmp_path / "d.npz")


def own_arrays():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.normal(size=(9, 4)),
        "y_train": np.arange(9) % 3,
        "x_test": rng.normal(size=(6, 4)),
        "y_test": np.arange(6) % 3,
    }


def test_own_npz_file(tmp_path):
    arrays = own_arrays()
    np.savez(tmp_path / "mine.npz", **arrays)
    dataset = custom.prepare(tmp_path / "mine.npz")
    assert (dataset.name, dataset.class_names) == ("mine", ("0", "1", "2"))
    assert np.array_equal(dataset.x_train.numpy(), arrays["x_train"].astype(np.float32))
    np.savez(tmp_path / "mine.npz", **arrays, class_names=["a", "b", "c"])
    assert custom.prepare(tmp_path / "mine.npz", name="n").class_names == ("a", "b", "c")


def test_own_images(tmp_path):
    arrays = own_arrays()
    arrays["x_train"] = np.arange(9 * 6, dtype=np.uint8).reshape(9, 2, 3)
    arrays["x_test"] = np.arange(6 * 6, dtype=np.uint8).reshape(6, 2, 3)
    np.savez(tmp_path / "mine.npz", **arrays)
    dataset = custom.prepare(tmp_path / "mine.npz")
    assert dataset.image_shape == (1, 2, 3)
    assert dataset.x_train.dtype == torch.uint8
    assert dataset.x_train[1].tolist() == [6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.arange(9.0)}, "y_train is float64"),
        ({"y_test": np.full(6, 3)}, "y_test has labels 3 to 3, expected 0 to 2"),
        ({"y_train": np.arange(9) % 2 * 2}, "no training example of classes 1"),
        ({"x_test": np.full((6, 4), np.nan)}, "x_test has 24 values that are NaN"),
        ({"x_train": np.full((9, 4), 1e300)}, "x_train has 36 values that are NaN or infinite"),
        ({"x_train": np.full((9, 4), "a")}, "x_train is <U1"),
        ({"x_train": np.zeros((9, 2, 2))}, r"x_train is float64 \(9, 2, 2\)"),
        ({"x_test": np.zeros((6, 3))}, "x_test has 3 features"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_own_arrays_that_do_not_fit(tmp_path, change, message):
    np.savez(tmp_path / "mine.npz", **(own_arrays() | change))
    with pytest.raises(ValueError, match=message):
        custom.prepare(tmp_path / "mine.npz")


def own_table():
    return pd.DataFrame(
        {
            "width": [1.0, 2.0, 3.0, 4.0],
            "kind": ["cat", "dog", "dog", "cat"],
            "height": [5, 6, 7, 8],
            "part": ["train", "train", "test", "test"],
        }
    )


def test_own_parquet_file(tmp_path):
    own_table().to_parquet(tmp_path / "t.parquet")
    dataset = custom.prepare(tmp_path / "t.parquet", label="kind", split="part")
    assert dataset.x_train.tolist() == [[1.0, 5.0], [2.0, 6.0]]
    assert dataset.x_test.tolist() == [[3.0, 7.0], [4.0, 8.0]]
    assert dataset.y_train.tolist() == [0, 1]
    assert dataset.y_test.tolist() == [1, 0]
    assert dataset.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="kind"), "lacks the columns kind"),
        (lambda t: t.assign(part="valid"), "part holds {'valid'}"),
        (lambda t: t.assign(kind=[None, "cat", "dog", "dog"]), "kind has 1 missing values"),
        (lambda t: t.assign(width=list("abcd")), "the columns width are not numbers"),
        (lambda t: t.assign(height=[None, 1, 2, 3]), "x_train has 1 values that are NaN"),
    ],
)
def test_own_table_that_does_not_fit(tmp_path, change, message):
    change(own_table()).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=message):
        custom.prepare(tmp_path / "t.parquet", label="kind", split="part")


def test_own_file_of_another_kind(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"d\.npz: no such file"):
        custom.prepare(tmp_path / "d.npz")
    for name, message in (
        ("d.csv", r"suffix '\.csv', expected \.npz or \.parquet"),
        ("d.npz", "not a whole .npz file"),
        ("d.parquet", "not a whole Parquet file"),
    ):
        (tmp_path / name).write_bytes(b"text")
        with pytest.raises(ValueError, match=message):
            custom.prepare(tmp_path / name)
    np.savez(tmp_path / "d.npz", x_train=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="lacks y_train, x_test, y_test; it has x_train"):
        custom.prepare(tmp_path / "d.npz")


def test_a_pickle_in_an_own_file_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    np.savez(tmp_path / "d.npz", **(own_arrays() | {"x_train": np.array([Evil()], dtype=object)}))
    with pytest.raises(ValueError, match=r"d\.npz: not a whole \.npz file of plain arrays"):
        custom.prepare(tmp_path / "d.npz")
    assert not (tmp_path / "pwned").exists()
