import gzip
import hashlib
import os
from types import SimpleNamespace

import pytest

import kancore.data.download as download
import kancore.data.transport as transport
from kancore.data.download import DownloadError, fetch
from kancore.data.raw_files import RawFile, rows_name

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes: several pieces and chunks
LINES = b"".join(b"%d,%d\n" % (i, i * i) for i in range(1000))


def raw_file(*urls, content=CONTENT, name="raw.bin", **proof):
    proof = proof or {"md5": hashlib.md5(content).hexdigest()}
    return RawFile(name, urls, len(content), **proof)


@pytest.fixture
def fetch_file(monkeypatch, tmp_path):
    """Fetch one raw file as the data set ``toy``, into ``tmp_path/toy``."""

    def fetch_toy(file, **options):
        module = SimpleNamespace(FILES=(file,))
        monkeypatch.setattr(download, "dataset_module", lambda name: module)
        return fetch("toy", tmp_path / "toy", **options)[0]

    return fetch_toy


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_gets_its_name_and_is_not_fetched_again(server, fetch_file):
    server.files["raw.bin"] = CONTENT
    file = raw_file(f"{server.url}/raw.bin")
    path = fetch_file(file)
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["raw.bin"]
    assert fetch_file(file) == path
    assert len(server.requests) == 1


def test_broken_transfer_is_resumed_where_it_broke(server, fetch_file):
    server.files["raw.bin"] = CONTENT
    server.cuts["raw.bin"] = [200_000]
    assert fetch_file(raw_file(f"{server.url}/raw.bin")).read_bytes() == CONTENT
    # The range begins one byte early.
    assert server.requests == [("raw.bin", None), ("raw.bin", "bytes=199999-")]
    assert server.sent["raw.bin"] == len(CONTENT) + 1


def test_server_without_ranges_sends_everything_again(server, fetch_file):
    server.files["raw.bin"] = CONTENT
    server.cuts["raw.bin"] = [200_000]
    server.knows_ranges = False
    assert fetch_file(raw_file(f"{server.url}/raw.bin")).read_bytes() == CONTENT
    assert server.sent["raw.bin"] == len(CONTENT) + 200_000


def test_partial_file_of_an_earlier_process_is_resumed(server, fetch_file, tmp_path):
    server.files["raw.bin"] = CONTENT
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "raw.bin.part").write_bytes(CONTENT[:500_000])
    path = fetch_file(raw_file(f"{server.url}/raw.bin"))
    assert path.read_bytes() == CONTENT
    assert server.sent["raw.bin"] == 12_001
    assert names(path.parent) == ["raw.bin"]


@pytest.mark.parametrize("partial", [CONTENT, b"x" * 1000, b"x" * (len(CONTENT) + 1000)])
def test_whole_spoilt_or_too_long_partial_file(server, fetch_file, tmp_path, partial):
    server.files["raw.bin"] = CONTENT
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "raw.bin.part").write_bytes(partial)
    assert fetch_file(raw_file(f"{server.url}/raw.bin")).read_bytes() == CONTENT


def test_wrong_checksum_goes_to_the_next_mirror(server, fetch_file):
    server.files = {"bad": b"x" * len(CONTENT), "good": CONTENT}
    path = fetch_file(raw_file(f"{server.url}/bad", f"{server.url}/good"))
    assert path.read_bytes() == CONTENT


def test_wrong_checksum_everywhere_leaves_no_file(server, fetch_file, tmp_path):
    server.files["bad"] = b"x" * 1000
    file = raw_file(f"{server.url}/bad")
    with pytest.raises(DownloadError, match=f"md5 {hashlib.md5(b'x' * 1000).hexdigest()}, expect"):
        fetch_file(file)
    assert names(tmp_path / "toy") == []
    assert [path for path, _ in server.requests] == ["bad"]


def test_missing_file_goes_to_the_second_mirror_at_once(server, fetch_file):
    server.files["there"] = CONTENT
    path = fetch_file(raw_file(f"{server.url}/missing", f"{server.url}/there"))
    assert path.read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["missing", "there"]


def test_busy_server_is_asked_again(server, fetch_file, monkeypatch):
    waits = []
    monkeypatch.setattr(transport.time, "sleep", waits.append)
    monkeypatch.setattr(transport, "_PAUSE", 1.0)
    server.files["raw.bin"] = CONTENT
    server.statuses["raw.bin"] = [503, 429, 500]
    assert fetch_file(raw_file(f"{server.url}/raw.bin")).read_bytes() == CONTENT
    assert waits == [1.0, 2.0, 4.0]


def test_server_that_stays_broken_is_given_up(server, fetch_file):
    server.files["raw.bin"] = CONTENT
    server.statuses["raw.bin"] = [503] * 10
    with pytest.raises(DownloadError, match="503"):
        fetch_file(raw_file(f"{server.url}/raw.bin"))
    assert len(server.requests) == 5


def test_error_says_what_was_tried_and_how_to_help(server, fetch_file, tmp_path):
    urls = (f"{server.url}/first", f"{server.url}/second")
    with pytest.raises(DownloadError) as raised:
        fetch_file(raw_file(*urls))
    message = str(raised.value)
    assert f"{urls[0]}: HTTP Error 404" in message
    assert f"{urls[1]}: HTTP Error 404" in message
    expected = f"put it (md5 {hashlib.md5(CONTENT).hexdigest()}) at {tmp_path / 'toy' / 'raw.bin'}"
    assert expected in message


def test_file_provided_by_hand_is_checked(fetch_file, tmp_path):
    (tmp_path / "toy").mkdir()
    path = tmp_path / "toy" / "raw.bin"
    path.write_bytes(b"wrong")
    with pytest.raises(ValueError, match=r"raw\.bin: md5 .*; remove it"):
        fetch_file(raw_file("http://127.0.0.1:9/never-asked"))
    assert path.read_bytes() == b"wrong"
    path.write_bytes(CONTENT)
    assert fetch_file(raw_file("http://127.0.0.1:9/never-asked")) == path


def test_mirror_is_the_only_source(server, fetch_file, tmp_path):
    server.files = {"elsewhere": CONTENT, "mirror/toy/raw.bin": CONTENT}
    path = fetch_file(raw_file(f"{server.url}/elsewhere"), mirror=f"{server.url}/mirror/")
    assert path.read_bytes() == CONTENT
    path.unlink()
    folder = tmp_path / "mirror"
    with pytest.raises(DownloadError, match="No such file"):
        fetch_file(raw_file(f"{server.url}/elsewhere"), mirror=str(folder))
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / "raw.bin").write_bytes(CONTENT)
    assert fetch_file(raw_file(f"{server.url}/elsewhere"), mirror=str(folder)) == path
    assert [asked for asked, _ in server.requests] == ["mirror/toy/raw.bin"]


def test_same_content_compressed_otherwise_is_genuine(server, fetch_file):
    server.files["raw.gz"] = gzip.compress(CONTENT, compresslevel=1)
    official = hashlib.md5(gzip.compress(CONTENT, compresslevel=9)).hexdigest()
    proof = {"md5": official, "content_md5": hashlib.md5(CONTENT).hexdigest()}
    path = fetch_file(raw_file(f"{server.url}/raw.gz", **proof))
    assert gzip.decompress(path.read_bytes()) == CONTENT


def test_without_verification_a_difference_is_a_warning(server, fetch_file, tmp_path, capsys):
    server.files["other"] = b"other"
    (tmp_path / "toy").mkdir()
    # Not resumed: nothing would notice a file made of two.
    (tmp_path / "toy" / "raw.bin.part").write_bytes(b"ab")
    path = fetch_file(raw_file(f"{server.url}/other"), verify=False)
    assert path.read_bytes() == b"other"
    assert "warning: " in capsys.readouterr().err


def test_progress_tells_rate_and_time_left(server, fetch_file, monkeypatch, capsys):
    clock = iter(range(0, 10_000, 3))
    monkeypatch.setattr(download, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    server.files["raw.bin"] = CONTENT
    fetch_file(raw_file(f"{server.url}/raw.bin"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "raw.bin: 65,536 of 512,000 bytes, 21,845 a second, 20 s left"
    assert lines[-1].startswith("raw.bin: 512,000 of 512,000 bytes, ")
    assert lines[-1].endswith(" 0 s left")


def test_rows_are_the_first_of_the_table(server, fetch_file):
    server.files["table"] = gzip.compress(LINES)
    file = raw_file(f"{server.url}/table", name="T.csv.gz", md5=None)
    path = fetch_file(file, rows=300)
    assert path.name == rows_name(file.name, 300) == "T-300.csv.gz"
    assert gzip.decompress(path.read_bytes()) == b"".join(LINES.splitlines(keepends=True)[:300])
    first = path.read_bytes()
    path.unlink()
    assert fetch_file(file, rows=300).read_bytes() == first
    assert gzip.decompress(fetch_file(file, rows=1000).read_bytes()) == LINES


def test_only_the_needed_part_of_a_table_is_read(server, fetch_file):
    # Incompressible lines: 24 MB, of which 1,000 of 100,000 rows are needed.
    table = b"".join(os.urandom(120).hex().encode() + b"\n" for _ in range(100_000))
    server.files["table"] = gzip.compress(table, compresslevel=0)
    path = fetch_file(raw_file(f"{server.url}/table", name="T.csv.gz", md5=None), rows=1000)
    assert gzip.decompress(path.read_bytes()) == table[: 241 * 1000]
    # 241,000 bytes, one chunk more, and what the sockets' buffers hold.
    assert server.sent["table"] < 2_000_000
    assert len(server.requests) == 1


def test_broken_stream_of_rows_is_taken_up(server, fetch_file):
    server.files["table"] = gzip.compress(LINES, compresslevel=0)
    server.cuts["table"] = [5000, 4000]
    path = fetch_file(raw_file(f"{server.url}/table", name="T.csv.gz", md5=None), rows=900)
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 900
    ranges = [asked for _, asked in server.requests]
    assert ranges[:2] == [None, "bytes=4999-"]
    assert len(ranges) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(LINES, compresslevel=0)[:6000], "ends after [0-9]+ rows of 1000"),
        (gzip.compress(LINES[:8]), "ends after 2 rows of 1000"),
        (b"not gzip at all", "not gzip, or damaged"),
    ],
    ids=["gzip cut", "too few rows", "not gzip"],
)
def test_table_that_is_cut_short_or_damaged(server, fetch_file, tmp_path, content, message):
    server.files["table"] = content
    file = raw_file(f"{server.url}/table", name="T.csv.gz", md5=None)
    with pytest.raises(DownloadError, match=message):
        fetch_file(file, rows=1000)
    assert names(tmp_path / "toy") == []
    # The next mirror is asked, and a whole table provided by hand is preferred to any.
    server.files["good"] = gzip.compress(LINES)
    good = raw_file(f"{server.url}/table", f"{server.url}/good", name="T.csv.gz", md5=None)
    assert fetch_file(good, rows=1000).exists()
    (tmp_path / "toy" / "T.csv.gz").write_bytes(gzip.compress(LINES))
    asked = len(server.requests)
    assert gzip.decompress(fetch_file(file, rows=10).read_bytes()).count(b"\n") == 10
    assert len(server.requests) == asked


def test_damaged_compressed_file_is_only_a_mismatch(server, fetch_file):
    server.files["raw.gz"] = gzip.compress(CONTENT)[:-100]
    proof = {"md5": "0" * 32, "content_md5": hashlib.md5(CONTENT).hexdigest()}
    with pytest.raises(DownloadError, match=r"expected 0{32}"):
        fetch_file(raw_file(f"{server.url}/raw.gz", **proof))
