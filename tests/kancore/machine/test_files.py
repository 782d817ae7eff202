"""Files appear whole or not at all, and an error says which file and why."""

import errno
import os
import stat
import subprocess

import numpy as np
import pytest
import torch

from kancore.data.dataset import save
from kancore.data.preparation import make_dataset
from kancore.machine import files
from kancore.machine.files import read_kept, write_atomically, write_json
from kancore.tables import TIMINGS, write_table
from kancore.training import checkpoints


def test_what_was_kept_is_a_mapping_or_nothing(tmp_path):
    path = tmp_path / "kept.json"
    assert read_kept(path) == {}
    write_json(path, {"one": 1})
    assert read_kept(path) == {"one": 1}
    for damaged in (b"", b'{"one": ', b"[1]", b"null", b"\xff"):
        path.write_bytes(damaged)
        assert read_kept(path) == {}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def large_table(path):
    names = [str(number) for number in np.random.default_rng(0).integers(2**62, size=200_000)]
    row = {field.name: None for field in TIMINGS} | {"study": "s"}
    write_table(path, [{**row, "sweep": name} for name in names], TIMINGS)


def large_checkpoint(path):
    checkpoints.save(path, "me", {"weights": torch.randn(1_000_000)})


def large_dataset(path):
    x, y = torch.randn(2000, 500), torch.arange(2000) % 2
    save(path, make_dataset("large", x, y, x, y, class_names=("a", "b"), source="made here"))


WRITERS = {"table.parquet": large_table, "data.safetensors": large_dataset}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_and_leaves_what_was_there(name, small_disk):
    path = small_disk / name
    path.write_text("as it was")
    with pytest.raises(OSError, match=f"{name}: No space left on device") as error:
        WRITERS[name](path)
    assert error.value.errno == errno.ENOSPC
    assert [file.read_text() for file in small_disk.iterdir()] == ["as it was"]


def test_a_full_disk_leaves_the_last_checkpoint(small_disk):
    path = small_disk / "checkpoint.pt"
    checkpoints.save(path, "me", {"step": 1})
    with pytest.raises(OSError, match=r"checkpoint\.pt: No space left on device"):
        large_checkpoint(path)
    assert checkpoints.load(path, "me") == {"step": 1}
    assert list(small_disk.iterdir()) == [path]


def test_a_read_only_folder_is_told(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for path in (small_disk / "a.txt", small_disk / "folder" / "a.txt"):
        with pytest.raises(OSError, match=r"a\.txt: Read-only file system"):
            write_atomically(path, lambda part: part.write_text("x"))


def test_other_errors_stay_what_they_are(tmp_path):
    def fail(part):
        part.write_text("half")
        raise ValueError("wrong rows")

    with pytest.raises(ValueError, match="wrong rows"):
        write_atomically(tmp_path / "a.txt", fail)
    assert list(tmp_path.iterdir()) == []


def test_what_is_replaced_is_kept_where_asked(tmp_path):
    for text in ("one", "two"):
        write_atomically(
            tmp_path / "a", lambda part, text=text: part.write_text(text), keep=tmp_path / "b"
        )
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a": "two", "b": "one"}


def test_temporary_names_cannot_be_guessed(tmp_path):
    names = []
    for _ in range(3):
        write_atomically(tmp_path / "a.txt", lambda part: names.append(part.name))
    assert len({*names}) == 3
    assert all(name.startswith(".a.") and name.endswith(".tmp.txt") for name in names)


@pytest.mark.parametrize("target", ["mine", "nowhere"])
def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path, monkeypatch, target):
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "guessed")
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".a.guessed.tmp.txt").symlink_to(tmp_path / target)
    with pytest.raises(OSError, match=r"a\.txt: File exists"):
        write_atomically(tmp_path / "a.txt", lambda part: part.write_text("x"))
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_mode_that_the_user_wants(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "a", lambda part: part.write_text("x"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask
