import json
import os

from kancore.data.own_files import data_files
from kancore.machine import checksums
from kancore.machine.checksums import content_digest


def digest(path, kept):
    content_digest.cache_clear()  # as in a process of its own
    return content_digest(path, kept, data_files)


def test_content_counts_and_time_stamps_do_not(tmp_path):
    path, kept = tmp_path / "d.npz", tmp_path / "kept.json"
    assert digest(path, kept) == "missing"
    path.write_bytes(b"new")
    first = digest(path, kept)
    os.utime(path, (0, 0))
    assert digest(path, kept) == first
    path.write_bytes(b"old")
    os.utime(path, (0, 0))
    assert digest(path, kept) != first
    assert not kept.exists()


def test_a_folder_is_its_files_and_their_names(tmp_path):
    folder, kept = tmp_path / "parts", tmp_path / "kept.json"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    first = digest(folder, kept)
    (folder / "b").write_bytes(b"")
    assert digest(folder, kept) != first
    (folder / "b").unlink()
    assert digest(folder, kept) == first
    (folder / "a").rename(folder / "b")
    assert digest(folder, kept) != first


def test_large_files_are_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "LARGE", 1)
    read = []
    monkeypatch.setattr(
        checksums, "_read", lambda file, real=checksums._read: read.append(file) or real(file)
    )
    path, kept = tmp_path / "d.npz", tmp_path / "folder" / "kept.json"
    path.write_bytes(b"new")
    first = digest(path, kept)
    assert digest(path, kept) == first
    assert len(read) == 1
    other = tmp_path / "other"
    other.write_bytes(b"old")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)  # as large, and of the same time stamp
    assert digest(path, kept) != first
    kept.write_text("{")  # cut
    assert digest(path, kept) == digest(path, kept)
    assert len(read) == 3
    for damage in (3, {"stamp": 3}, {}):
        kept.write_text(json.dumps({str(path): damage}))
        assert digest(path, kept) == digest(path, kept)
    assert len(read) == 6
