import os
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from kancore.data import own


def test_data_set_needs_no_unpickling(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"not a whole \.npz file of plain arrays"):
        own.prepare(tmp_path / "d.npz")


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
    dataset = own.prepare(tmp_path / "mine.npz")
    assert (dataset.name, dataset.class_names) == ("mine", ("0", "1", "2"))
    assert np.array_equal(dataset.x_train.numpy(), arrays["x_train"].astype(np.float32))
    np.savez(tmp_path / "mine.npz", **arrays, class_names=["a", "b", "c"])
    assert own.prepare(tmp_path / "mine.npz", name="n").class_names == ("a", "b", "c")


def test_own_images(tmp_path):
    arrays = own_arrays()
    arrays["x_train"] = np.arange(9 * 6, dtype=np.uint8).reshape(9, 2, 3)
    arrays["x_test"] = np.arange(6 * 6, dtype=np.uint8).reshape(6, 2, 3)
    np.savez(tmp_path / "mine.npz", **arrays)
    dataset = own.prepare(tmp_path / "mine.npz")
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
        (
            {"x_train": np.tile([[1e39], [-1e39], [0]], (3, 4))},
            "x_train has 24 values that are beyond 3.4e38",
        ),
        ({"y_train": np.arange(9) > 4}, "y_train holds booleans and .*y_test whole numbers"),
        ({"y_train": np.array(list("abcabcabc"), "S1")}, r"y_train is \|S1 \(9,\), expected"),
        ({"y_train": np.arange(9)[:, None] % 3}, r"y_train is int64 \(9, 1\), expected"),
        ({"y_train": np.zeros(9, int), "y_test": np.zeros(6, int)}, "1 classes, expected at least"),
        ({"y_test": np.arange(6) + 10**6}, "labels 1000000 to 1000005, expected 0 to 2"),
        ({"class_names": ["a", "b", "a"]}, "class_names has a twice"),
        ({"class_names": ["a", "b"]}, "y_train has labels 2 to 2, expected 0 to 1"),
        ({"class_names": np.array([["a"], ["b"]])}, r"class_names is <U1 \(2, 1\)"),
        ({"x_train": np.full((9, 4), np.timedelta64(1, "s"))}, r"x_train is timedelta64\[s\]"),
        ({"x_train": np.zeros((9, 4), complex)}, "x_train is complex128"),
        (
            {"x_train": np.zeros((9, 2, 2), np.uint8)},
            "x_test is float64 .*, expected images of one",
        ),
        ({"x_train": np.full((9, 4), "a")}, "x_train is <U1"),
        ({"x_train": np.zeros((9, 2, 2))}, r"x_train is float64 \(9, 2, 2\)"),
        ({"x_test": np.zeros((6, 3))}, "x_test has 3 features"),
    ],
)
def test_own_arrays_that_do_not_fit(tmp_path, change, message):
    np.savez(tmp_path / "mine.npz", **(own_arrays() | change))
    with pytest.raises(ValueError, match=message):
        own.prepare(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["cat", "dog", "ant"]), ("ant", "cat", "dog")),
        (np.array([2, 3, 1]), ("1", "2", "3")),
        (np.array([7, 999_999, -5]), ("-5", "7", "999999")),
        (np.array([2, 3, 1], ">u2"), ("1", "2", "3")),
        (np.array([True, True, False]), ("False", "True")),
        (np.array([2**63 + 1, 2**63 + 2, 2**63], np.uint64), None),
    ],
)
def test_labels_of_any_kind_are_classes_in_ascending_order(tmp_path, labels, names):
    arrays = own_arrays()
    arrays["y_train"], arrays["y_test"] = np.tile(labels, 3), np.tile(labels, 2)
    np.savez(tmp_path / "mine.npz", **arrays)
    dataset = own.prepare(tmp_path / "mine.npz")
    assert dataset.class_names == (names or tuple(map(str, np.unique(labels))))
    for part in ("train", "test"):
        found = np.unique(labels)[getattr(dataset, f"y_{part}").numpy()]
        assert np.array_equal(found, arrays[f"y_{part}"])


def test_labels_among_class_names(tmp_path):
    arrays = own_arrays()
    arrays["y_train"], arrays["y_test"] = np.tile(["c", "a", "b"], 3), np.tile(["a", "b"], 3)
    np.savez(tmp_path / "mine.npz", **arrays, class_names=["c", "b", "a"])
    dataset = own.prepare(tmp_path / "mine.npz")
    assert dataset.class_names == ("c", "b", "a")
    assert dataset.y_train[:3].tolist() == [0, 2, 1]
    assert dataset.y_test[:2].tolist() == [2, 1]
    arrays["y_test"] = np.array(["a"] * 5 + ["zebra"])
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(ValueError, match=r"y_test: no .* classes zebra; the classes are a, b, c"):
        own.prepare(tmp_path / "mine.npz")


@pytest.mark.slow
def test_many_labels_are_told_in_a_line(tmp_path):
    arrays = own_arrays() | {"y_test": np.arange(6)}
    arrays["y_test"] = np.arange(10**6)
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(ValueError, match=r"labels 3 to 999999, .* \(999,997 in all\)") as error:
        own.prepare(tmp_path / "mine.npz")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("classes", [100, 1000])
def test_many_classes(tmp_path, classes):
    x, y = np.random.default_rng(0).normal(size=(2 * classes, 3)), np.arange(2 * classes) % classes
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y + 1, x_test=x[:5], y_test=y[:5] + 1)
    dataset = own.prepare(tmp_path / "d.npz")
    assert dataset.classes == classes
    assert dataset.y_train.tolist() == y.tolist()


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float16),
        lambda x: x.astype(">f8"),
        lambda x: x.astype(">i4"),
        np.asfortranarray,
        lambda x: x.astype(np.longdouble),
        lambda x: x > 2,
    ],
)
def test_layouts_and_types_of_tables(tmp_path, change):
    arrays = own_arrays()
    for part in ("x_train", "x_test"):
        arrays[part] = change(np.arange(arrays[part].size).reshape(arrays[part].shape) % 7)
    np.savez(tmp_path / "mine.npz", **arrays)
    dataset = own.prepare(tmp_path / "mine.npz")
    for part in ("x_train", "x_test"):
        assert getattr(dataset, part).tolist() == arrays[part].astype(float).tolist()


def test_one_feature_and_constant_features(tmp_path):
    arrays = own_arrays()
    one = {part: arrays[part][:, :1] for part in ("x_train", "x_test")}
    np.savez(tmp_path / "mine.npz", **(arrays | one))
    assert own.prepare(tmp_path / "mine.npz").features == 1
    for part in ("x_train", "x_test"):
        arrays[part][:, 1] = 0.1
    np.savez(tmp_path / "mine.npz", **arrays)
    dataset = own.prepare(tmp_path / "mine.npz")
    assert dataset.std[1] == 1
    assert dataset.standardize(dataset.x_test)[:, 1].tolist() == [0.0] * 6


def images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("order", ["C", "F"])
def test_images_with_channels_last(tmp_path, order):
    first = {"x_train": images(9, 3, 8, 6), "x_test": images(6, 3, 8, 6)}
    last = {key: np.array(x.transpose(0, 2, 3, 1), order=order) for key, x in first.items()}
    np.savez(tmp_path / "mine.npz", **(own_arrays() | first))
    expected = own.prepare(tmp_path / "mine.npz")
    assert expected.image_shape == (3, 8, 6)
    np.savez(tmp_path / "mine.npz", **(own_arrays() | last), channels="last")
    found = own.prepare(tmp_path / "mine.npz")
    assert found.image_shape == (3, 8, 6)
    assert torch.equal(found.x_train, expected.x_train)
    assert torch.equal(found.mean, expected.mean)
    np.savez(tmp_path / "mine.npz", **(own_arrays() | last))
    with pytest.raises(ValueError, match=r"x_train has shape \(9, 8, 6, 3\), of which channels"):
        own.prepare(tmp_path / "mine.npz")
    np.savez(tmp_path / "mine.npz", **(own_arrays() | last), channels="end")
    with pytest.raises(ValueError, match="channels is 'end', expected 'first' or 'last'"):
        own.prepare(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((1, 28, 28), True),
        ((3, 48, 64), True),
        ((8, 16, 16), True),
        ((8, 8, 3), False),
        ((28, 28, 1), False),
        ((48, 64, 3), False),
        ((64, 64, 13), False),
        ((3, 3, 3), False),
        ((3, 3, 8), False),
        ((13, 48, 64), False),
    ],
)
def test_channels_are_asked_for_where_the_shape_does_not_tell(tmp_path, shape, told):
    arrays = own_arrays() | {"x_train": images(9, *shape), "x_test": images(6, *shape)}
    np.savez(tmp_path / "mine.npz", **arrays, **({} if told else {"channels": "first"}))
    assert own.prepare(tmp_path / "mine.npz").image_shape == shape
    np.savez(tmp_path / "mine.npz", **arrays)
    if not told:
        with pytest.raises(ValueError, match="or an entry channels in the file"):
            own.prepare(tmp_path / "mine.npz")


def test_parts_with_images_of_other_layouts(tmp_path):
    arrays = {"x_train": images(9, 3, 8, 8), "x_test": images(6, 8, 8, 3)}
    np.savez(tmp_path / "mine.npz", **(own_arrays() | arrays))
    with pytest.raises(
        ValueError, match=r"x_test is uint8 \(6, 8, 8, 3\) and x_train is .* of one"
    ):
        own.prepare(tmp_path / "mine.npz")


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
    dataset = own.prepare(tmp_path / "t.parquet", label="kind", split="part")
    assert dataset.x_train.tolist() == [[1.0, 5.0], [2.0, 6.0]]
    assert dataset.x_test.tolist() == [[3.0, 7.0], [4.0, 8.0]]
    assert dataset.y_train.tolist() == [0, 1]
    assert dataset.y_test.tolist() == [1, 0]
    assert dataset.class_names == ("cat", "dog")


def test_own_csv_file_is_as_the_same_in_parquet(tmp_path):
    own_table().to_csv(tmp_path / "t.csv", index=False)
    own_table().to_parquet(tmp_path / "t.parquet")
    first, second = (
        own.prepare(tmp_path / name, "mine", "kind", "part") for name in ("t.csv", "t.parquet")
    )
    assert first.checksum == second.checksum
    assert first.class_names == second.class_names


def test_without_a_column_of_parts_a_fifth_of_each_class_is_drawn_by_the_name(tmp_path):
    rows = pd.DataFrame({"number": np.arange(100.0), "label": ["a", "b", "b", "b"] * 25})
    rows.to_csv(tmp_path / "t.csv", index=False)
    first, again, other = (own.prepare(tmp_path / "t.csv", name) for name in ("x", "x", "y"))
    assert first.y_test.bincount().tolist() == [5, 15]
    assert first.y_train.bincount().tolist() == [20, 60]
    assert sorted([*first.x_train[:, 0].tolist(), *first.x_test[:, 0].tolist()]) == [*range(100)]
    assert again.checksum == first.checksum != other.checksum
    assert (
        "no column split: of its rows 80 for training and 20 for testing are drawn" in first.source
    )


def test_regression_targets_are_told(tmp_path):
    rows = pd.DataFrame({"number": np.arange(200.0), "label": np.arange(200) * 7 % 346})
    rows.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        ValueError, match=r"label has 200 different numbers in 200 .* classification only"
    ):
        own.prepare(tmp_path / "t.csv")


def test_labels_that_are_spelled_apart_are_classes_apart(tmp_path):
    path = tmp_path / "t.csv"
    for labels, classes in {
        ("01", "1", "2"): ("01", "1", "2"),
        ("1", "10", "9"): ("1", "9", "10"),
        ("1.0", "3", "2.0"): ("1", "2", "3"),
        ("true", "false"): ("False", "True"),
        ("0", "1", "true"): ("0", "1", "true"),
        ("NA", "a"): ("NA", "a"),
    }.items():
        path.write_text(
            "x,label\n" + "".join(f"{n},{labels[n % len(labels)]}\n" for n in range(30))
        )
        assert own.prepare(path).class_names == classes
    path.write_text("x,label\n1,1\n2,NA\n")
    with pytest.raises(ValueError, match="label has 1 missing values"):
        own.prepare(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a;label\n1;x\n", "lacks the column label, whose values are the classes; it has a;label"),
        (b"a, label\n1, x\n", "the column ' label' has spaces around its name, expected none"),
        (b"a;label\n1,5;x\n", "not a CSV table with a line of names and commas between them"),
        (b"a,label\n", "has no rows"),
        ("a,label\n1,é\n".encode("latin1"), "the columns label are not in UTF-8"),
        (b"a,label\n1,0.5\n2,1.5\n", "label is double, .* classification only"),
    ],
)
def test_own_csv_file_that_does_not_fit(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        own.prepare(tmp_path / "t.csv")


def test_the_index_that_pandas_writes_is_no_feature(tmp_path):
    rows = pd.DataFrame({"number": np.arange(100.0), "label": ["a", "b"] * 50})
    rows.to_csv(tmp_path / "t.csv")
    assert own.prepare(tmp_path / "t.csv").feature_names == ("number",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="kind"), "lacks the column kind, whose values .* it has width"),
        (lambda t: t.assign(part="valid"), "part holds {'valid'}"),
        (lambda t: t.assign(kind=[None, "cat", "dog", "dog"]), "kind has 1 missing values"),
        (lambda t: t.assign(part="train"), "part is never test, expected 'train' and 'test'"),
        (lambda t: t.assign(kind=[0.5, 1.5, 0.5, 1.5]), "kind is double, expected whole numbers"),
        (
            lambda t: t.assign(kind=[0.0, np.inf, 0.0, 1.0]),
            "kind is double, expected whole numbers",
        ),
        (lambda t: t.assign(width=list("abcd")), "the columns width are not numbers"),
        (lambda t: t.assign(width=list("abcd")).astype({"width": "category"}), "width are not"),
        (lambda t: t.assign(width=pd.to_timedelta(t["width"], unit="s")), "numbers: duration"),
        (lambda t: t.assign(width=pd.to_datetime(t["width"], unit="s")), "numbers: timestamp"),
        (lambda t: t.assign(height=[None, 1, 2, 3]), "x_train has 1 values that are NaN"),
        (
            lambda t: t.astype({"height": "Int64"}).mask(t["height"] == 8),
            "label|kind has 1 missing",
        ),
        (lambda t: t.assign(width=[1, 2, 1e39, 4]), "x_test has 1 values .* 3.4e38.* column width"),
        (lambda t: t[["kind", "part"]], "has no column of features beside kind and part"),
    ],
)
def test_own_table_that_does_not_fit(tmp_path, change, message):
    change(own_table()).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=message):
        own.prepare(tmp_path / "t.parquet", label="kind", split="part")


def test_own_file_of_another_kind(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"d\.npz: no such file"):
        own.prepare(tmp_path / "d.npz")
    for name, message in (
        ("d.txt", r"suffix '\.txt', expected \.csv, \.npz or \.parquet"),
        ("d.csv", "not a CSV table with a line of names"),
        ("d.npz", "not a whole .npz file"),
        ("d.parquet", "not a whole Parquet file"),
    ):
        (tmp_path / name).write_bytes(b"text")
        with pytest.raises(ValueError, match=message):
            own.prepare(tmp_path / name)
    np.savez(tmp_path / "d.npz", x_train=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="lacks y_train, x_test, y_test; it has x_train"):
        own.prepare(tmp_path / "d.npz")


def test_a_pickle_in_an_own_file_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    np.savez(tmp_path / "d.npz", **(own_arrays() | {"x_train": np.array([Evil()], dtype=object)}))
    with pytest.raises(ValueError, match=r"d\.npz: not a whole \.npz file of plain arrays"):
        own.prepare(tmp_path / "d.npz")
    assert not (tmp_path / "pwned").exists()


def prepare_table(tmp_path, table):
    pq.write_table(table, tmp_path / "t.parquet")
    return own.prepare(tmp_path / "t.parquet", label="kind", split="part")


def test_columns_of_every_kind_of_number(tmp_path):
    columns = {
        "nullable": pa.array([1, 2, 3, 4], pa.int64()),
        "boolean": pa.array([True, False, True, True]),
        "decimal": pa.array([Decimal("1.25"), Decimal("2.50"), Decimal("-3.00"), Decimal("4.75")]),
        "dictionary": pa.array([5, 7, 5, 6]).dictionary_encode(),
        "half": pa.array(np.array([1, 2, 3, 4], np.float16)),
        "kind": pa.array(["b", "a", "b", "a"]).dictionary_encode(),
        "part": pa.array(["train", "train", "test", "test"]).dictionary_encode(),
    }
    dataset = prepare_table(tmp_path, pa.table(columns))
    assert dataset.x_train.tolist() == [[1, 1, 1.25, 5, 1], [2, 0, 2.5, 7, 2]]
    assert dataset.x_test.tolist() == [[3, 1, -3, 5, 3], [4, 1, 4.75, 6, 4]]
    assert dataset.class_names == ("a", "b")
    frame = own_table().convert_dtypes().assign(yes=pd.array([True, False, True, True], "boolean"))
    frame.to_parquet(tmp_path / "n.parquet")
    dataset = own.prepare(tmp_path / "n.parquet", label="kind", split="part")
    assert dataset.x_test.tolist() == [[3.0, 7.0, 1.0], [4.0, 8.0, 1.0]]


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        (pa.array([10, 20, 10, 20], pa.int8()), ("10", "20"), [0, 1]),
        (pa.array([True, False, True, False]), ("False", "True"), [1, 0]),
        (pa.array([3.0, 1.0, 3.0, 1.0]), ("1", "3"), [1, 0]),
        (pa.array([Decimal(n) for n in (2, 1, 2, 1)]), ("1", "2"), [1, 0]),
        (pa.array(["b", "a", "b", "a"], pa.large_string()), ("a", "b"), [1, 0]),
    ],
)
def test_columns_of_labels(tmp_path, labels, names, numbers):
    table = pa.Table.from_pandas(own_table())
    dataset = prepare_table(tmp_path, table.set_column(1, "kind", labels))
    assert dataset.class_names == names
    assert dataset.y_train.tolist() == numbers
    assert dataset.y_test.tolist() == numbers


@pytest.mark.parametrize("name", ["id", None])
@pytest.mark.parametrize("with_metadata", [True, False])
def test_the_index_of_a_data_frame_is_no_feature(tmp_path, name, with_metadata):
    frame = own_table().set_index(pd.Index([9, 2, 7, 6], name=name))
    table = pa.Table.from_pandas(frame)
    dataset = prepare_table(tmp_path, table if with_metadata else table.replace_schema_metadata())
    # A name of its own makes an index a column like others, once pandas' notes are lost.
    expected = [1.0, 5.0] if with_metadata or name is None else [1.0, 5.0, 9.0]
    assert dataset.x_train[0].tolist() == expected


def test_labels_and_parts_may_be_the_index(tmp_path):
    own_table().set_index(["kind", "part"]).to_parquet(tmp_path / "t.parquet")
    dataset = own.prepare(tmp_path / "t.parquet", label="kind", split="part")
    assert dataset.x_train.tolist() == [[1.0, 5.0], [2.0, 6.0]]


def test_a_doubled_column_is_told(tmp_path):
    table = pa.Table.from_pandas(own_table())
    with pytest.raises(ValueError, match="columns are there twice: width"):
        prepare_table(tmp_path, table.append_column("width", table["width"]))


def test_a_folder_of_parquet_parts(tmp_path):
    folder = tmp_path / "whole"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    own_table()[:1].to_parquet(folder / "part-0.snappy.parquet")
    own_table()[1:].to_parquet(folder / "part-1.snappy.parquet")
    dataset = own.prepare(folder, label="kind", split="part")
    assert dataset.x_train.tolist() == [[1.0, 5.0], [2.0, 6.0]]
    (folder / "part-2.snappy.parquet").write_bytes(b"cut")
    with pytest.raises(ValueError, match="whole: not a folder of Parquet files"):
        own.prepare(folder, label="kind", split="part")


def test_an_npy_file_by_another_name(tmp_path):
    np.save(tmp_path / "d.npy", np.zeros((2, 2)))
    (tmp_path / "d.npy").rename(tmp_path / "d.npz")
    with pytest.raises(ValueError, match=r"it is one array, as of \.npy; numpy\.savez writes"):
        own.prepare(tmp_path / "d.npz")


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_dates_are_told_apart(tmp_path, capsys, kind):
    random = np.random.default_rng(0)
    seconds = 1.7e9 + 10.0 * random.integers(0, 5, 40) + random.normal(size=40)
    y = np.arange(40) % 2
    if kind == "npz":
        x = seconds[:, None]
        np.savez(tmp_path / "d.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    else:
        split = np.where(np.arange(40) < 30, "train", "test")
        frame = pd.DataFrame({"time": seconds, "label": y, "split": split})
        frame.to_parquet(tmp_path / "d.parquet")
    dataset = own.prepare(tmp_path / f"d.{kind}")
    scaler = StandardScaler().fit(seconds[:30, None])
    for x, part in ((dataset.x_train, seconds[:30]), (dataset.x_test, seconds[30:])):
        expected = scaler.transform(part[:, None])
        np.testing.assert_allclose(dataset.standardize(x), expected, atol=1e-6)
    assert capsys.readouterr().err == ""
    assert dataset.source == f"d.{kind}"


def test_what_float32_cannot_tell_apart_is_told(tmp_path, capsys):
    arrays = own_arrays()
    arrays["x_train"][:, 2] = np.where(np.arange(9) == 0, 0, 1.7e9) + np.arange(9)
    np.savez(tmp_path / "mine.npz", **arrays)
    dataset = own.prepare(tmp_path / "mine.npz")
    warning = "float32 keeps 2 of the 9 distinct values of feature 2"
    assert capsys.readouterr().err == f"warning: .../mine.npz: {warning}\n"
    assert dataset.source == f"mine.npz ({warning})"
