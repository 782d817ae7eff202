"""Files that are damaged, or mean harm: each is one sentence that names it."""

import gzip
import io
import json
import os
import re
import struct
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kancore.data import cifar10, limits, mnist, own
from kancore.data.idx import STEMS
from kancore.data.own_files import data_files
from kancore.data.raw_files import read_tar
from kancore.machine.checksums import content_digest


def arrays(n=20):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(n, 3)), np.arange(n) % 2
    return {"x_train": x, "y_train": y, "x_test": x + 1, "y_test": y}


def frame(n=20):
    generator = np.random.default_rng(0)
    split = np.where(np.arange(n) < n // 2, "train", "test")
    return pd.DataFrame({"a": generator.normal(size=n), "label": np.arange(n) % 2, "split": split})


def digest(path):
    content_digest.cache_clear()
    return content_digest(path, path.with_name("kept.json"), data_files)


def refused(path, message, prepare=own.prepare):
    """The sentence by which a file is refused."""
    with pytest.raises(ValueError, match=message) as error:
        prepare(path)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 1200
    assert path.name in text
    assert str(path.parent) not in text
    return text


# ---- what is digested is what is read ----


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    frame().to_parquet(folder / "a.parquet")
    return folder


@pytest.mark.parametrize("target", [".", "..", "/", "other"])
def test_links_to_folders_are_refused(folder, target):
    (folder.parent / "other").mkdir()
    frame().to_parquet(folder.parent / "other" / "b.parquet")
    (folder / "link").symlink_to(folder.parent / "other" if target == "other" else target)
    refused(folder, "parts: link is a link to a folder")
    assert digest(folder) == "refused"


def test_a_link_to_a_file_is_that_file(folder, tmp_path):
    frame(40).to_parquet(tmp_path / "elsewhere")
    (folder / "b.parquet").symlink_to(tmp_path / "elsewhere")
    assert len(own.prepare(folder).y_train) == 30
    before = digest(folder)
    frame(60).to_parquet(tmp_path / "elsewhere")
    assert digest(folder) != before
    assert len(own.prepare(folder).y_train) == 40


@pytest.mark.parametrize("name", ["_hidden.parquet", ".hidden.parquet", "_inside/b.parquet"])
def test_what_is_not_read_is_not_digested(folder, name):
    before = digest(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    frame().to_parquet(folder / name)
    assert digest(folder) == before
    assert len(own.prepare(folder).y_train) == 10


def test_files_are_read_as_pyarrow_reads_a_folder(folder):
    for part in ("year=2020", "year=2021", "year=2020/month=7", "z-1", "z"):
        (folder / part).mkdir()
        frame().to_parquet(folder / part / "b.parquet")
    for x in (
        own.prepare(folder.parent / "parts" / "year=2020" / "month=7"),
        own.prepare(folder / "z"),
    ):
        assert x.features == 1  # no names of the folders above
    for name in ("a.parquet", "z-1/b.parquet", "z/b.parquet"):
        (folder / name).unlink()  # they have no year, which would be missing
    (folder / "year=2020" / "b.parquet").unlink()
    (folder / "year=2021" / "month=8").mkdir()
    (folder / "year=2021" / "b.parquet").rename(folder / "year=2021" / "month=8" / "b.parquet")
    expected = pq.ParquetDataset(folder).read().to_pandas()
    found = own.prepare(folder)
    rows = expected[expected["split"] == "train"]
    columns = rows[["a", "year", "month"]].astype(float).to_numpy(np.float32)
    # The year is counted from its mean.
    assert np.array_equal(found.x_train[:, [0, 2]].numpy(), columns[:, [0, 2]])
    assert np.ptp(found.x_train[:, 1].numpy()) == 1


@pytest.mark.parametrize("name", ["pipe", "gone"])
def test_what_is_no_file_is_refused(folder, name):
    if name == "pipe":
        os.mkfifo(folder / name)
        os.mkfifo(folder.parent / "d.npz")
        refused(folder.parent / "d.npz", "neither a file nor a folder")
    else:
        (folder / name).symlink_to(folder / "nowhere")
    refused(folder, f"parts: {name} is neither a file nor a folder")
    assert digest(folder) == "refused"


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "d").mkdir()
    refused(tmp_path / "d", "is an empty folder")


# ---- damage ----


def npz(**changes):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays() | changes)
    return bytearray(file.getvalue())


def one_member(header, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        text = header.encode()
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text)
    return bytearray(file.getvalue())


def with_flags(content, offset, value):
    """Change a field of the first member, in its own header and in the directory."""
    directory = content.index(b"PK\x01\x02")
    content[6 + offset : 8 + offset] = content[directory + 8 + offset : directory + 10 + offset] = (
        struct.pack("<H", value)
    )
    return content


def deflate_damage():
    content = npz()
    content[70:90] = b"\xff" * 20
    return content


DAMAGED = {
    "deflate": deflate_damage,
    "encrypted": lambda: with_flags(npz(), 0, 1),
    "method": lambda: with_flags(npz(), 2, 97),
    "deep header": lambda: one_member("(" * 5000 + "\n"),
    "header of no dictionary": lambda: one_member("[1, 2]\n"),
    "huge array": lambda: one_member(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1125899906842624,), }\n"
    ),
    "negative array": lambda: one_member(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }\n"
    ),
    "empty": bytearray,
    "cut": lambda: npz()[:300],
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_npz_file_is_one_sentence(kind, tmp_path):
    path = tmp_path / "d.npz"
    path.write_bytes(DAMAGED[kind]())
    refused(path, r"^\.\.\./d\.npz: (not a whole \.npz file of plain arrays|takes more memory)")


def test_values_of_no_bytes_are_refused(tmp_path):
    header = "{'descr': '<U0', 'fortran_order': False, 'shape': (1125899906842624,), }\n"
    path = tmp_path / "d.npz"
    content = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", content)
    refused(path, "holds values of no bytes")


@pytest.mark.parametrize(
    "notes", [b"{", b"[1]", b'{"index_columns": 1}', b"\xff\xfe", b'{"index_columns": [{"a": 1}]}']
)
def test_odd_notes_of_pandas(notes, tmp_path):
    path = tmp_path / "d.parquet"
    table = pa.Table.from_pandas(frame()).replace_schema_metadata({b"pandas": notes})
    pq.write_table(table, path)
    if notes.endswith(b"}]}"):
        assert own.prepare(path).features == 1
    else:
        refused(path, "pandas' notes on its columns are damaged")


@pytest.mark.parametrize("column", ["a", "label", "split"])
@pytest.mark.parametrize(
    "values",
    [
        pa.array([{"b": 1}] * 20),
        pa.array([[1]] * 20),
        pa.array([b"\xff"] * 20),
        pa.array([None] * 20),
        pa.array(["\x1b[2J"] * 20),
        pa.array(np.arange(20), pa.timestamp("ns", "Europe/Berlin")),
    ],
    ids=lambda values: str(values.type),
)
def test_columns_of_any_kind_are_told(column, values, tmp_path):
    if column == "label" and values.type == pa.string():
        values = pa.array(["\x1b[2J", None] * 10)
    table = pa.Table.from_pandas(frame())
    table = table.set_column(table.column_names.index(column), column, values)
    pq.write_table(table, tmp_path / "d.parquet")
    assert refused(tmp_path / "d.parquet", column).isprintable()


def idx_files(folder):
    generator = np.random.default_rng(0)
    for stem in STEMS:
        shape = (20,) if "labels" in stem else (20, 5, 5)
        array = generator.integers(0, 10, shape, dtype=np.uint8)
        if "labels" in stem:
            array[:10] = np.arange(10)
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / f"{stem}.gz").write_bytes(gzip.compress(head + array.tobytes()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08\0\1", r"an array \[\], expected images"),
        (b"\0\0\x08\1" + struct.pack(">I", 2) + b"ab", r"an array \[2\], expected images"),
        (b"\0\0\x08\3" + struct.pack(">III", 0, 5, 5), r"array \[0, 5, 5\], expected images"),
        (b"\0\0\x08\xff" + b"\0" * 8, "ends before the 255 sizes"),
        (b"\0\0\x08\3" + struct.pack(">III", *[2**32 - 1] * 3), "takes .* MB unpacked"),
        (b"\0\0\x08\3" + struct.pack(">III", 20, 5, 5) + b"\0" * 501, "more than 500 bytes"),
    ],
)
def test_an_idx_file_of_another_shape(content, message, tmp_path):
    idx_files(tmp_path)
    path = tmp_path / f"{STEMS[0]}.gz"
    path.write_bytes(gzip.compress(content))
    refused(path, message, lambda path: mnist.prepare(path.parent))


def archive(folder):
    path = folder / "cifar-10-binary.tar.gz"
    records = np.zeros((10, 3073), np.uint8)
    records[:, 0] = np.arange(10)
    with tarfile.open(path, "w:gz") as file:
        for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            member = tarfile.TarInfo(name)
            member.size = records.nbytes
            file.addfile(member, io.BytesIO(records.tobytes()))
    return path


WHOLE = {
    "d.npz": lambda folder: np.savez_compressed(folder / "d.npz", **arrays()),
    "d.parquet": lambda folder: frame().to_parquet(folder / "d.parquet"),
    f"{STEMS[0]}.gz": idx_files,
    "cifar-10-binary.tar.gz": archive,
}


@pytest.mark.parametrize("name", WHOLE)
def test_whatever_is_damaged_is_one_sentence_or_harmless(name, tmp_path):
    WHOLE[name](tmp_path)
    path, generator = tmp_path / name, np.random.default_rng(0)
    prepare = {
        f"{STEMS[0]}.gz": lambda: mnist.prepare(tmp_path),
        "cifar-10-binary.tar.gz": lambda: cifar10.prepare(tmp_path),
    }.get(name, lambda: own.prepare(path))
    whole = path.read_bytes()
    prepare()
    # Bytes within what is packed too, which checksums of the packing would hide.
    packed = name.endswith(".gz")
    plain = gzip.decompress(whole) if packed else whole
    told = []
    for round_ in range(60):
        inside = packed and round_ % 2
        content = bytearray(plain if inside else whole)
        for place in generator.integers(0, min(len(content), 4000), size=1 + round_ % 8):
            content[place] = generator.integers(256)
        if round_ % 5 == 0:
            del content[generator.integers(len(content)) :]
        path.write_bytes(gzip.compress(content, 1) if inside else content)
        try:
            prepare()
        except ValueError as error:
            told.append(str(error))
    # Data that are read well, but do not fit, are told by the name of the data set.
    sentence = re.compile(rf"(\.\.\./{re.escape(name)}|d|mnist|cifar10): ")
    assert all(sentence.match(each) and each.isprintable() for each in told)
    assert len(told) > 10


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_label_without_text_is_missing(kind, tmp_path):
    path = tmp_path / f"d.{kind}"
    table = pd.DataFrame({"a": np.arange(40.0), "label": ["x", "y"] * 19 + ["", ""]})
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    refused(path, "label has 2 missing values")


def test_a_table_without_rows_is_told(tmp_path):
    pq.write_table(pa.table({"a": [1.0], "label": ["x"]}).slice(0, 0), tmp_path / "d.parquet")
    refused(tmp_path / "d.parquet", "has no rows")


def test_no_reason_tells_the_folders_above(tmp_path):
    (tmp_path / "private" / "d").mkdir(parents=True)
    for path in (tmp_path / "private" / "d.parquet", tmp_path / "private" / "d" / "e.parquet"):
        path.write_bytes(b"x")
    for path in ("private/d.parquet", "private/d"):
        with pytest.raises(ValueError, match="Parquet") as error:
            own.prepare(tmp_path / path)
        assert "private" not in str(error.value)


def test_the_names_of_a_csv_file_may_be_long(tmp_path):
    names = [f"{number:0200d}" for number in range(6000)]
    rows = [",".join(["1"] * 6000 + [name]) for name in "ab" * 5]
    (tmp_path / "d.csv").write_text("\n".join([",".join([*names, "label"]), *rows]))
    assert own.prepare(tmp_path / "d.csv").features == 6000


# ---- sizes ----


@pytest.fixture
def small_memory(monkeypatch):
    monkeypatch.setattr(limits, "usable_mb", lambda: 10)


def test_arrays_larger_than_memory_are_not_read(small_memory, tmp_path):
    path = tmp_path / "d.npz"
    path.write_bytes(npz(x_train=np.zeros((500_000, 3))))
    refused(path, r"takes 12 MB unpacked, of 10 MB of memory")
    path.write_bytes(npz(x_train=np.zeros((500_000, 3), np.int8)))
    refused(path, r"takes 24 MB unpacked, of 10 MB of memory")  # in float64
    path.write_bytes(npz(unused=np.zeros((500_000, 3))))
    assert own.prepare(path).features == 3


def test_rows_beyond_memory_are_not_read(small_memory, tmp_path):
    path = tmp_path / "d.parquet"
    table = pa.table({"a": np.zeros(10**6), "label": np.zeros(10**6, int), "split": ["x"] * 10**6})
    pq.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 20_000
    refused(path, "takes 48 MB unpacked, of 10 MB")


def test_text_of_a_label_beyond_memory_is_not_unpacked(small_memory, tmp_path):
    labels = ["x" * 10_000, "y"] * 100
    for kind in ("parquet", "csv"):
        path = tmp_path / f"d.{kind}"
        table = pd.DataFrame({"a": np.arange(200.0), "label": labels})
        table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
        refused(path, "takes (40|16) MB unpacked, of 10 MB")  # a CSV file has a megabyte itself
    labels = ["x" * 100, "y"] * 50
    pd.DataFrame({"a": np.arange(100.0), "label": labels}).to_parquet(
        path := tmp_path / "d.parquet"
    )
    assert own.prepare(path).class_names == ("x" * 100, "y")


def test_text_that_is_no_label_is_not_read(small_memory, tmp_path):
    path = tmp_path / "d.parquet"
    table = pa.table({"a": np.arange(1000.0), "t": ["x" * 10**5] * 1000, "label": ["a", "b"] * 500})
    pq.write_table(table, path)
    refused(path, "the columns t are not numbers: string")
    notes = {"pandas": json.dumps({"index_columns": ["t"]})}
    pq.write_table(table.replace_schema_metadata(notes), path)
    assert own.prepare(path).features == 1


def test_archives_beyond_memory_are_not_read(small_memory, tmp_path):
    path = tmp_path / "a.tar"
    for sizes in ((2**50,), (4_000_000,) * 3):
        with tarfile.open(path, "w") as file:
            for number, size in enumerate(sizes):
                sparse = tarfile.TarInfo(f"{number}.bin")
                sparse.size = 0 if size == 2**50 else size
                if size == 2**50:
                    sparse.pax_headers = {
                        "GNU.sparse.major": "0", "GNU.sparse.minor": "1",
                        "GNU.sparse.map": "0,0", "GNU.sparse.size": str(size),
                    }  # fmt: skip
                file.addfile(sparse, io.BytesIO(b"\0" * sparse.size))
        refused(path, r"takes .* MB unpacked", lambda path: list(read_tar(path, bool)))
