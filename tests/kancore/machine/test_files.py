"""Files appear whole or not at all, and an error says which file and why."""

import errno
import subprocess

import numpy as np
import pytest
import torch

from kancore.data.dataset import save
from kancore.data.preparation import make_dataset
from kancore.machine.files import write_atomically
from kancore.tables import TIMINGS, write_table
from kancore.training import checkpoints


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
