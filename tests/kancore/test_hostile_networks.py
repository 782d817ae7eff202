"""Files of networks and of examples that mean harm: each is one sentence, and takes no memory."""

import json
import re
import sys
import zipfile
from dataclasses import asdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save

import kancore
from kancore import networks, predict
from kancore.data import limits
from kancore.machine.files import run_plainly
from kancore.schemes import Architecture

KAN = Architecture("kan", (3,), degree=3, grid_size=4, grid_range=(-1.0, 1.0))


def write(path, change=lambda header, tensors: None, header=None):
    """Write a file of one network of 4 features and classes a and b, after a change."""
    values = networks.build(KAN, 4, 2, 1).state_dict()
    tensors = {f"0.network.{name}": np.zeros(each.shape[1:], "f4") for name, each in values.items()}
    tensors |= {"0.mean": np.zeros(4, np.float32), "0.std": np.ones(4, np.float32)}
    about = {"architecture": json.loads(json.dumps(asdict(KAN))), "features": 4}
    about["class_names"] = ["a", "b"]
    change(about, tensors)
    path.write_bytes(save(tensors, {"networks": header or json.dumps([about])}))
    return path


@pytest.mark.parametrize(
    "header",
    ["3", "null", "[1]", "[{}]", "[]", "{}", '{"0": {}}', "[[]]", "[" * 100_000, "[NaN]"],
    ids=lambda text: text[:10],
)
def test_a_header_of_anything_else_is_one_sentence(header, tmp_path):
    path = write(tmp_path / "n.safetensors", header=header)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: not a file of networks \("):
        kancore.load(path)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        *(("architecture", value) for value in (3, [], None, {"model": "kan"})),
        *(("architecture.model", value) for value in (3, None, ["os:system"], "os.system", "x")),
        *(("architecture.hidden_widths", each) for each in (3, ["3"], [[3]], [-3], [], [3] * 5000)),
        *(("architecture.hidden_widths", [10**power]) for power in (9, 12, 30)),
        *(("architecture.grid_size", value) for value in (0, "4", 10**9)),
        ("architecture.outputs", 10**9),
        ("architecture.dropout", "x"),
        ("architecture.residual", "yes"),
        ("architecture.of_another_version", 1),
        *(("features", value) for value in ("4", -1, 0, 4.0, None, 10**9, 10**30)),
        *(("class_names", value) for value in (None, "ab", [], [1, 2], ["a"], ["a", "b", "c"])),
    ],
)
def test_a_network_that_is_none_is_one_sentence(where, value, tmp_path):
    def change(header, tensors):
        *above, last = where.split(".")
        (header[above[0]] if above else header)[last] = value

    path = write(tmp_path / "n.safetensors", change)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: ") as error:
        kancore.load(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("0.mean", np.zeros(shape, np.float32)) for shape in ((), 3, (2, 4))),
        ("0.mean", np.zeros(4)),
        ("0.std", np.ones(4, int)),
        *(("0.network.stages.1.base_weight", np.zeros(shape)) for shape in ((3, 2), (1,))),
        ("0.network.more", np.zeros(3, np.float32)),
        ("0.features", np.zeros(3, np.float32)),
        ("0.network", np.zeros(3, np.float32)),
        ("7.mean", np.zeros(3, np.float32)),
        ("\x1b[2J.mean", np.zeros(3, np.float32)),
    ],
)
def test_tensors_that_do_not_belong_are_one_sentence(name, value, tmp_path):
    path = write(tmp_path / "n.safetensors", lambda header, tensors: tensors.update({name: value}))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: ") as error:
        kancore.load(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["0.mean", "0.network.stages.1.base_weight"])
def test_missing_tensors_are_one_sentence(name, tmp_path):
    path = write(tmp_path / "n.safetensors", lambda header, tensors: tensors.pop(name))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: not a file of networks"):
        kancore.load(path)


def test_what_is_no_file_is_told(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="no such file; expected one of networks"):
            kancore.load(path)


def printed(network, data, monkeypatch, capsys):
    """Call the command; give what it prints, or its last words."""
    monkeypatch.setattr(sys, "argv", ["predict", str(network), str(data)])
    try:
        run_plainly(predict.main)
    except SystemExit as end:
        return str(end.code)
    return capsys.readouterr().out


def zipped(**members):
    def write_to(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(name.replace("_npy", ".npy"), content)

    return write_to


def npy(header):
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


TABLE = pa.table({name: [1.0] for name in "wxyz"})
EXAMPLES = {
    "text.npz": lambda path: np.savez(path, x=np.array([["a"] * 4])),
    "one axis.npz": lambda path: np.savez(path, x=np.zeros(4)),
    "no axis.npz": lambda path: np.savez(path, x=1.0),
    "object.npz": lambda path: np.savez(path, x=np.array([[None] * 4], object)),
    "complex.npz": lambda path: np.savez(path, x=np.zeros((1, 4), complex)),
    "other.npz": lambda path: np.savez(path, **{"\x1b[2J": np.zeros(4)}),
    "missing.npz": lambda path: np.savez(path, x=np.full((1, 4), np.nan)),
    "junk.npz": lambda path: path.write_bytes(b"PK\x03\x04junk"),
    "empty.npz": lambda path: path.write_bytes(b""),
    "bytes.npz": zipped(x=b"hello"),
    "deep.npz": zipped(x_npy=npy(b"(" * 9000)),
    "large.npz": zipped(
        x_npy=npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 4)}\n")
    ),
    "text.csv": lambda path: path.write_text("w,x,y,z\n1,2,3,\x1b[2J\n"),
    "missing.csv": lambda path: path.write_text("w,x,y,z\n1,2,3,\n"),
    "ragged.csv": lambda path: path.write_text("w,x\n1\n1,2,3\n"),
    "empty.csv": lambda path: path.write_text(""),
    "latin.csv": lambda path: path.write_bytes(b"\xe9,x\n1,2\n"),
    "junk.parquet": lambda path: path.write_bytes(b"junk"),
    "notes.parquet": lambda path: pq.write_table(
        TABLE.replace_schema_metadata({"pandas": "3"}), path
    ),
    "lists.parquet": lambda path: pq.write_table(pa.table({"w": [[1.0]]}), path),
    "folder.csv": lambda path: path.mkdir(),
    "kind.txt": lambda path: path.write_text(""),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_that_are_none_are_one_sentence(name, tmp_path, monkeypatch, capsys):
    network, data = write(tmp_path / "n.safetensors"), tmp_path / name
    EXAMPLES[name](data)
    said = printed(network, data, monkeypatch, capsys)
    assert said.startswith((f"{data}: ", "x has 1 values", "x has 4 values"))
    assert said.isprintable()


def test_examples_beyond_memory_are_not_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(limits, "usable_mb", lambda: 10)
    network = write(tmp_path / "n.safetensors")
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((200_000, 4)))
    pq.write_table(pa.table(dict.fromkeys("wxyz", np.zeros(200_000))), tmp_path / "d.parquet")
    (tmp_path / "d.csv").write_text("w,x,y,z\n" + "1,2,3,4\n" * 700_000)
    for kind in ("npz", "parquet", "csv"):
        said = printed(network, tmp_path / f"d.{kind}", monkeypatch, capsys)
        assert re.search(r"takes \d+ MB unpacked, of 10 MB of memory", said)


def test_names_of_classes_are_not_obeyed_by_terminals(tmp_path, monkeypatch, capsys):
    def change(header, tensors):
        header["class_names"] = ["label", "\x1b[2J"]

    network = write(tmp_path / "n.safetensors", change)
    pd.DataFrame(np.zeros((1, 4))).to_csv(tmp_path / "d.csv", index=False)
    lines = printed(network, tmp_path / "d.csv", monkeypatch, capsys).splitlines()
    assert lines == ["label,label,\\x1b[2J", "label,0.5,0.5"]
