import gzip
import hashlib
import io
import struct
import tarfile

import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from kancore.data import cifar10, fashion_mnist, higgs, imdb, mnist
from kancore.data.download import DownloadError, fetch
from kancore.data.idx import STEMS, read_idx
from kancore.data.raw_files import read_tar

REVIEWS = {  # in the order of the names below: two negative, two positive
    "train": ["Bad bad film.<br /><br />Awful!", "a BAD plot", "Good film", "great, great plot"],
    "test": ["bad, unseen", "awful plot", "good-looking", "film"],
}


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


def write_idx(folder, count=20):
    rng = np.random.default_rng(0)
    arrays = []
    for stem in STEMS:
        labels = "labels" in stem
        array = np.arange(count) % 10 if labels else rng.integers(0, 256, (count, 28, 28))
        arrays.append(array.astype(np.uint8))
        (folder / f"{stem}.gz").write_bytes(idx(arrays[-1]))
    return arrays


def tar(path, members):
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_cifar(folder, records):
    """An archive of six batches with records like those given, [6, n, 3073]."""
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    tar(
        folder / "cifar-10-binary.tar.gz",
        {
            "cifar-10-batches-bin/batches.meta.txt": b"airplane\n",
            **{
                f"cifar-10-batches-bin/{name}": batch.tobytes()
                for name, batch in zip(names, records, strict=True)
            },
        },
    )


def write_imdb(folder):
    members = {}
    for part, texts in REVIEWS.items():
        names = ("neg/0_1", "neg/1_2", "pos/0_9", "pos/1_10")
        members |= {f"aclImdb/{part}/{n}.txt": t.encode() for n, t in zip(names, texts)}  # noqa: B905
    # The archive's order is not that of the names, and it holds more than labelled reviews.
    members = {"aclImdb/train/unsup/0_0.txt": b"unlabelled", "aclImdb/README": b"x"} | dict(
        reversed(members.items())
    )
    tar(folder / "aclImdb_v1.tar.gz", members)


def test_idx_files_are_read_like_torchvision(tmp_path):
    reference = pytest.importorskip("torchvision.datasets.mnist")
    arrays = write_idx(tmp_path)
    for stem, array in zip(STEMS, arrays, strict=True):
        path = tmp_path / f"{stem}.gz"
        assert np.array_equal(read_idx(path), array)
        (tmp_path / stem).write_bytes(gzip.decompress(path.read_bytes()))
        expected = reference.read_sn3_pascalvincent_tensor(str(tmp_path / stem))
        assert np.array_equal(read_idx(path), expected.numpy())


def test_addresses_and_checksums_are_those_of_torchvision():
    reference = pytest.importorskip("torchvision.datasets")
    for module, dataset in ((mnist, reference.MNIST), (fashion_mnist, reference.FashionMNIST)):
        expected = [(name, md5) for name, md5 in dataset.resources]
        assert [(file.name, file.md5) for file in module.FILES] == expected
        for file in module.FILES:
            proven = [mirror for mirror in dataset.mirrors if mirror.startswith("https://")]
            assert {mirror + file.name for mirror in proven} <= set(file.urls)
    assert list(fashion_mnist.CLASS_NAMES) == reference.FashionMNIST.classes


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: gzip.compress(data)[:-20], "not a whole gzip file"),
        (lambda data: data, "not a whole gzip file"),
        (lambda data: gzip.compress(data[:-1]), r"15679 bytes, expected an array \[20, 28, 28\]"),
        (lambda data: gzip.compress(b"\0\0\x0d" + data[3:]), "begins with 00000d03"),
        (lambda data: gzip.compress(b""), "expected IDX"),
    ],
)
def test_damaged_idx_file(tmp_path, spoil, message):
    write_idx(tmp_path)
    path = tmp_path / f"{STEMS[0]}.gz"
    path.write_bytes(spoil(gzip.decompress(path.read_bytes())))
    with pytest.raises(ValueError, match=message):
        mnist.prepare(tmp_path)


def test_mnist_from_small_files(tmp_path):
    x_train, y_train, x_test, _ = write_idx(tmp_path)
    dataset = mnist.prepare(tmp_path)
    assert np.array_equal(dataset.x_train.numpy(), x_train.reshape(20, 784))
    assert np.array_equal(dataset.y_train.numpy(), y_train)
    assert np.array_equal(dataset.x_test.numpy(), x_test.reshape(20, 784))
    assert (dataset.name, dataset.image_shape) == ("mnist", (1, 28, 28))
    # Whoever reads the source learns that these are not the published files.
    assert dataset.source.count(", expected ") == 4


def test_archive_with_a_path_outside_its_folder_is_refused(tmp_path):
    for name in ("../escaped.txt", "/escaped.txt", "a/../../escaped.txt"):
        tar(tmp_path / "a.tar.gz", {"fine.txt": b"1", name: b"2"})
        with pytest.raises(ValueError, match=r"refused, '.*escaped\.txt' is outside"):
            list(read_tar(tmp_path / "a.tar.gz", lambda name: True))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_cut_archive(tmp_path):
    rng = np.random.default_rng(0)
    tar(tmp_path / "a.tar.gz", {"a": rng.bytes(100_000), "b": rng.bytes(100_000)})
    whole = (tmp_path / "a.tar.gz").read_bytes()
    for content in (whole[:150_000], b"no archive", b""):
        (tmp_path / "a.tar.gz").write_bytes(content)
        with pytest.raises(ValueError, match="not a whole tar archive"):
            list(read_tar(tmp_path / "a.tar.gz", lambda name: True))


def cifar_records(n=4):
    records = np.random.default_rng(0).integers(0, 256, (6, n, 3073), dtype=np.uint8)
    records[:, :, 0] = np.arange(6 * n).reshape(6, n) % 10
    return records


def test_cifar10_from_small_batches(tmp_path):
    records = cifar_records()
    write_cifar(tmp_path, records)
    dataset = cifar10.prepare(tmp_path)
    assert dataset.image_shape == (3, 32, 32)
    assert np.array_equal(dataset.x_train.numpy(), records[:5, :, 1:].reshape(20, 3072))
    assert np.array_equal(dataset.y_test.numpy(), records[5, :, 0])


def test_cifar10_cut_to_the_size_in_the_paper(tmp_path):
    reference = pytest.importorskip("torchvision.transforms.functional")
    records = cifar_records()
    write_cifar(tmp_path, records)
    dataset = cifar10.prepare(tmp_path, image_size=28)
    assert dataset.image_shape == (3, 28, 28)
    images = torch.from_numpy(records[:5, :, 1:].reshape(20, 3, 32, 32))
    expected = reference.center_crop(images, [28, 28])
    assert torch.equal(dataset.x_train.view(20, 3, 28, 28), expected)
    with pytest.raises(ValueError, match="image_size is 33, expected 1 to 32"):
        cifar10.prepare(tmp_path, image_size=33)


def test_cifar10_archive_that_lacks_a_batch(tmp_path):
    tar(tmp_path / "cifar-10-binary.tar.gz", {"cifar-10-batches-bin/data_batch_1.bin": b""})
    with pytest.raises(ValueError, match=r"lacks data_batch_2\.bin, .*test_batch\.bin"):
        cifar10.prepare(tmp_path)
    records = cifar_records()
    write_cifar(tmp_path, records[:, :, :-1])
    with pytest.raises(ValueError, match="not made of records of 3073 bytes"):
        cifar10.prepare(tmp_path)


def test_real_cifar10_batch(shared, tmp_path):
    with np.load(shared / "cifar10_small.npz") as file:
        images, labels = file["x_train"], file["y_train"]
    pixels = images.transpose(0, 3, 1, 2).reshape(10_000, 3072)
    batch = np.column_stack([labels.reshape(-1), pixels]).astype(np.uint8)
    assert hashlib.md5(batch.tobytes()).hexdigest() == "5dd7e06a14cb22eb9f671a540d1b7c25"
    write_cifar(tmp_path, [*batch.reshape(5, 2000, 3073), batch[:100]])
    dataset = cifar10.prepare(tmp_path)
    assert np.array_equal(dataset.x_train.numpy(), pixels)
    # Means of the 50,000 images; these are a fifth of them.
    mean = dataset.mean.view(3, -1)[:, 0] / 255
    assert mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=3e-3)


def test_imdb_counts_the_most_frequent_words(tmp_path):
    write_imdb(tmp_path)
    dataset = imdb.prepare(tmp_path, weighting="counts", words=4)
    # bad 3, film 2, great 2, plot 2; awful, br and good fall out, br because it is no word.
    assert dataset.x_train.to_dense().tolist() == [
        [2, 1, 0, 0],
        [1, 0, 0, 1],
        [0, 1, 0, 0],
        [0, 0, 2, 1],
    ]
    assert dataset.x_test.to_dense().tolist() == [
        [1, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 1, 0, 0],
    ]
    assert dataset.y_train.tolist() == dataset.y_test.tolist() == [0, 0, 1, 1]
    assert dataset.x_train.layout == torch.sparse_csr
    # awful and good tie for the fifth place: the alphabet decides.
    five = imdb.prepare(tmp_path, words=5)
    assert five.x_test.to_dense()[1].tolist() == [1, 0, 0, 0, 1]


def test_imdb_weightings_are_those_of_scikit_learn(tmp_path):
    write_imdb(tmp_path)
    clean = {k: [t.replace("<br />", " ") for t in texts] for k, texts in REVIEWS.items()}
    binary = CountVectorizer(binary=True).fit(clean["train"])
    tfidf = TfidfVectorizer().fit(clean["train"])
    for name, reference in (("binary", binary), ("tfidf", tfidf)):
        dataset = imdb.prepare(tmp_path, weighting=name)
        for part, x in (("train", dataset.x_train), ("test", dataset.x_test)):
            expected = reference.transform(clean[part]).toarray()
            np.testing.assert_allclose(x.to_dense().numpy(), expected, rtol=1e-6)
    dataset = imdb.prepare(tmp_path, weighting="svd", components=3)
    svd = TruncatedSVD(3, algorithm="arpack").fit(tfidf.transform(clean["train"]))
    gram = svd.transform(tfidf.transform(clean["test"]))
    np.testing.assert_allclose(dataset.x_test @ dataset.x_test.T, gram @ gram.T, atol=1e-5)
    assert dataset.x_train.layout == torch.strided


def test_imdb_refuses(tmp_path):
    with pytest.raises(ValueError, match="weighting is 'onehot', expected one of binary, counts"):
        imdb.prepare(tmp_path, weighting="onehot")
    tar(tmp_path / "aclImdb_v1.tar.gz", {"aclImdb/train/neg/0_1.txt": b"bad"})
    with pytest.raises(ValueError, match="no file aclImdb/test/neg"):
        imdb.prepare(tmp_path)


def test_higgs_rows_in_their_order(server, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    table = np.column_stack([np.arange(60) % 2, rng.normal(size=(60, 28))])
    text = "".join(",".join(f"{v:.18e}" for v in row) + "\n" for row in table)
    server.files["m/higgs/HIGGS.csv.gz"] = gzip.compress(text.encode())
    fetch("higgs", tmp_path, mirror=f"{server.url}/m", rows=50)
    dataset = higgs.prepare(tmp_path, train_rows=30, test_rows=20)
    assert np.array_equal(dataset.x_train.numpy(), table[:30, 1:].astype(np.float32))
    assert np.array_equal(dataset.x_test.numpy(), table[30:50, 1:].astype(np.float32))
    assert dataset.y_test.tolist() == (np.arange(30, 50) % 2).tolist()
    with pytest.raises(DownloadError, match="ends after 60 rows of 100"):
        fetch("higgs", tmp_path, mirror=f"{server.url}/m", rows=100)


def test_higgs_with_other_columns(tmp_path):
    (tmp_path / "HIGGS-2.csv.gz").write_bytes(gzip.compress(b"1,2\n0,3\n"))
    with pytest.raises(ValueError, match=r"table \(2, 2\), expected \(2, 29\)"):
        higgs.prepare(tmp_path, train_rows=1, test_rows=1)
