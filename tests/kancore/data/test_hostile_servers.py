"""Servers that mean harm: none changes a file, fills a disk, learns a secret or never ends."""

import base64
import gzip
import hashlib
import http.server
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

import kancore.data.download as download
import kancore.data.transport as transport
from kancore.data import higgs
from kancore.data.download import DownloadError, fetch
from kancore.data.known import PUBLISHED, dataset_module, shareable
from kancore.data.raw_files import RawFile

CONTENT = bytes(range(256)) * 400
LINES = b"".join(b"%d,%d\n" % (i, i * i) for i in range(1000))


class HostileServer(http.server.ThreadingHTTPServer):
    """Answer each path by a function of its own, which is given the handler."""

    def __init__(self, certificate=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.requests, self.scheme, self.ended = {}, [], "http", False
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def shutdown(self):
        self.ended = True
        super().shutdown()

    def handle_error(self, request, client_address):
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self):
        self.server.requests.append((self.path, dict(self.headers)))
        self.server.answers[self.path.partition("?")[0].lstrip("/")](self)

    def log_message(self, *args):
        pass


def serves(content):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def redirects(address):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.end_headers()

    return answer


def endless(piece, pause=0.0, head=True, first=b""):
    """Send `first` and then `piece` for ever; `sent` of the server counts the bytes."""

    def answer(handler):
        if head:
            handler.send_response(200)
            handler.end_headers()
        handler.wfile.write(first)
        while not handler.server.ended:
            handler.wfile.write(piece)
            handler.wfile.flush()
            handler.server.sent = getattr(handler.server, "sent", 0) + len(piece)
            time.sleep(pause)

    return answer


@pytest.fixture
def hostile(monkeypatch):
    """A `HostileServer`; downloads retry at once, and through no proxy."""
    monkeypatch.setattr(transport, "_PAUSE", 0.001)
    monkeypatch.setenv("no_proxy", "*")
    with HostileServer() as server:
        yield server
        server.shutdown()


@pytest.fixture
def certificate(tmp_path):
    """A certificate of this machine that nobody vouches for, with its key."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("certificates are made by openssl")
    path = tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture
def protected(hostile, certificate):
    """The same over TLS, by `certificate`."""
    with HostileServer(certificate) as server:
        yield server
        server.shutdown()


@pytest.fixture
def fetch_toy(monkeypatch, tmp_path):
    def fetch_file(*urls, content=CONTENT, mirror=None, rows=None, **proof):
        proof = proof or {"md5": hashlib.md5(content).hexdigest()}
        file = RawFile("T.csv.gz" if rows else "raw.bin", urls, len(content), **proof)
        module = SimpleNamespace(FILES=(file,))
        monkeypatch.setattr(download, "dataset_module", lambda name: module)
        return fetch("toy", tmp_path / "toy", mirror=mirror, rows=rows)[0]

    return fetch_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_publishers_are_asked_by_https_alone():
    files = [file for name in PUBLISHED for file in dataset_module(name).FILES]
    assert len(files) == 11
    assert all(url.startswith("https://") for file in files for url in file.urls)


def test_a_certificate_that_nobody_vouches_for_ends_it(protected, hostile, fetch_toy, tmp_path):
    protected.answers["a"] = hostile.answers["b"] = serves(gzip.compress(LINES))
    for rows in (None, 10):
        with pytest.raises(DownloadError, match=r"certificate is not valid \(self-signed"):
            fetch_toy(f"{protected.url}/a", f"{hostile.url}/b", rows=rows)
    assert protected.requests == hostile.requests == []
    assert not {"raw.bin", "T-10.csv.gz"} & {*names(tmp_path / "toy")}


@pytest.mark.parametrize("rows", [None, 10])
@pytest.mark.parametrize("target", ["http", "ftp", "file", "user"])
def test_redirects_lose_no_protection(
    target, rows, protected, hostile, certificate, fetch_toy, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    content = gzip.compress(LINES)
    to = {
        "http": f"{hostile.url}/evil?token=secret",
        "ftp": "ftp://127.0.0.1/evil",
        "file": "file:///etc/passwd",
        "user": f"{protected.url}/evil".replace("//", "//me:secret@"),
    }
    protected.answers = {"a": redirects(to[target]), "b": redirects("/c"), "c": serves(content)}
    with pytest.raises(DownloadError, match=r"HTTP Error 302|which is refused") as error:
        fetch_toy(f"{protected.url}/a", content=content, rows=rows)
    assert "secret" not in str(error.value)
    assert hostile.requests == []
    assert len(protected.requests) == 1  # not again
    assert fetch_toy(f"{protected.url}/b", content=content, rows=rows).exists()


def test_a_loop_of_redirects_ends(hostile, fetch_toy):
    hostile.answers["a"] = redirects("/a")
    with pytest.raises(DownloadError, match="HTTP Error 302: Found"):
        fetch_toy(f"{hostile.url}/a")


@pytest.mark.parametrize("length", [[], [("Content-Length", str(10**12))]], ids=["none", "huge"])
def test_what_comes_with_a_redirect_is_not_read(length, hostile, fetch_toy):
    def answer(handler):
        handler.send_response(302)
        for header in [("Location", "/b"), *length]:
            handler.send_header(*header)
        handler.end_headers()
        endless(b"x" * 8192, head=False)(handler)

    hostile.answers = {"a": answer, "b": serves(CONTENT)}
    assert fetch_toy(f"{hostile.url}/a").read_bytes() == CONTENT
    assert getattr(hostile, "sent", 0) < 20_000_000  # sockets hold some


def test_secrets_of_a_mirror_are_used_and_not_told(hostile, fetch_toy, tmp_path, capsys):
    with HostileServer() as other:
        other.answers["elsewhere"] = serves(CONTENT)
        hostile.answers["m/toy/raw.bin"] = redirects(f"{other.url}/elsewhere")
        mirror = f"{hostile.url}/m/?token=s3cret".replace("//", "//me:p%40ss@", 1)
        assert fetch_toy(mirror=mirror).read_bytes() == CONTENT
        other.shutdown()
    ((path, headers),) = hostile.requests
    assert path == "/m/toy/raw.bin?token=s3cret"
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    ((path, headers),) = other.requests
    assert "Authorization" not in headers
    (tmp_path / "toy" / "raw.bin").unlink()
    hostile.answers["m/toy/raw.bin"] = lambda handler: handler.send_error(403)
    with pytest.raises(DownloadError) as error:
        fetch_toy(mirror=mirror)
    assert f"{hostile.url}/m/toy/raw.bin: HTTP Error 403: Forbidden" in str(error.value)
    for text in (str(error.value), capsys.readouterr().err):
        assert not re.search("s3cret|p%40ss|p@ss|me:", text)


@pytest.mark.parametrize(
    "mirror",
    [
        "https://me:s3cret@127.0.0.1:port/m",
        "https://me:s3/cret@127.0.0.1/m",
        "https://me:s3cret@[::1/m",
        "https://me:s3cret@127.0.0.1:9/a b",
        "HTTPS://me:s3cret@127.0.0.1:9/m",
        "ftp://me:s3cret@127.0.0.1/m",
        "http://me:s3cret@127.0.0.1:9/m\x00?s3cret",
        "http://me:s3cret@127.0.0.1:9/ä?s3cret",
        "/nowhere/s3cret/m",
    ],
)
def test_no_address_however_wrong_tells_its_secrets(mirror, hostile, fetch_toy, capsys):
    with pytest.raises((DownloadError, ValueError)) as error:
        fetch_toy(mirror=mirror)
    assert not re.search("s3|cret|me:", str(error.value) + capsys.readouterr().err)


def test_an_endless_body_is_stopped_at_the_known_size(hostile, fetch_toy, tmp_path):
    hostile.answers = {"a": endless(b"x" * 8192), "b": serves(CONTENT)}
    with pytest.raises(DownloadError, match="has more than 102,400 bytes, expected 102,400"):
        fetch_toy(f"{hostile.url}/a")
    assert names(tmp_path / "toy") == []
    assert hostile.sent < 20_000_000  # sockets hold some
    assert fetch_toy(f"{hostile.url}/a", f"{hostile.url}/b").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("first", "piece", "message"),
    [
        (b"", gzip.compress(b"x" * 10**6), "row 1 has more than 4,096 bytes"),
        (b"", gzip.compress(b""), "has too many bytes for its rows"),
        (gzip.compress(b"1\n" * 5), b"x" * 100, "not gzip, or damaged"),
        (b"\x1f\x8b\x08\x08\0\0\0\0\0\0", b"x" * 8192, "has too many bytes for its rows"),
    ],
    ids=["no newline", "empty members", "garbage", "name without end"],
)
def test_an_endless_table_is_stopped(
    first, piece, message, hostile, fetch_toy, tmp_path, monkeypatch
):
    monkeypatch.setattr(download, "_SMALL", 1 << 16)
    hostile.answers["a"] = endless(piece, first=first)
    with pytest.raises(DownloadError, match=message):
        fetch_toy(f"{hostile.url}/a", rows=10)
    assert names(tmp_path / "toy") == []


@pytest.mark.parametrize("head", [True, False], ids=["body", "head"])
def test_drops_of_bytes_are_no_progress(head, hostile, fetch_toy, monkeypatch):
    monkeypatch.setattr(transport, "_PATIENCE", 0.2)
    hostile.answers["a"] = endless(b"x" if head else b"a", pause=0.02, head=head)
    began = time.monotonic()
    with pytest.raises(DownloadError, match=r"in 0\.2 seconds"):
        fetch_toy(f"{hostile.url}/a")
    assert time.monotonic() - began < 100  # and not for ever
    assert len(hostile.requests) == 5


def test_a_server_that_hangs_up_after_each_byte_is_given_up(hostile, fetch_toy):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"x")

    hostile.answers["a"] = answer
    with pytest.raises(DownloadError, match="connection closed with 999 bytes to come"):
        fetch_toy(f"{hostile.url}/a")
    assert len(hostile.requests) == 5


def test_what_a_server_says_is_not_obeyed_by_terminals(hostile, fetch_toy, capsys):
    hostile.answers["a"] = lambda handler: handler.wfile.write(b"HTTP/1.0 404 \x1b[2Jgone\r\n\r\n")
    hostile.answers["b"] = lambda handler: handler.wfile.write(b"\x1b]0;title\x07 200\r\n\r\n")
    hostile.answers["c"] = redirects("gopher://\x1b[2J/")
    with pytest.raises(DownloadError) as error:
        fetch_toy(*(f"{hostile.url}/{name}" for name in "abc"))
    for text in (str(error.value), capsys.readouterr().err):
        assert "HTTP Error 404: Not Found" in text
        assert all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize("rows", [None, 900])
def test_two_downloads_into_one_folder_end_well(rows, hostile, fetch_toy, tmp_path):
    content = gzip.compress(LINES, compresslevel=0)

    def answer(handler):
        time.sleep(0.2)
        serves(content)(handler)

    hostile.answers["a"] = answer
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(fetch_toy(f"{hostile.url}/a", content=content, rows=rows))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]
    assert len(hostile.requests) == 1
    assert not [name for name in names(tmp_path / "toy") if "part" in name or "lock" in name]


def test_all_members_of_a_gzip_file_are_read(hostile, fetch_toy):
    half = LINES.index(b"\n", len(LINES) // 2) - 2  # within a row
    hostile.answers["a"] = serves(gzip.compress(LINES[:half]) + gzip.compress(LINES[half:]))
    assert gzip.decompress(fetch_toy(f"{hostile.url}/a", rows=1000).read_bytes()) == LINES


def test_rows_are_those_that_were_first_downloaded(hostile, fetch_toy, tmp_path):
    def fetch_rows(rows):
        return fetch_toy(f"{hostile.url}/a", rows=rows, md5=None)

    hostile.answers["a"] = serves(gzip.compress(LINES))
    first = fetch_rows(100)
    kept = json.loads((tmp_path / "toy" / "T.csv.gz.rows.json").read_text())
    digest = hashlib.sha256(b"".join(LINES.splitlines(True)[:100])).hexdigest()
    assert kept == {"100": digest}
    first.unlink()
    hostile.answers["a"] = serves(gzip.compress(LINES.replace(b"7,49", b"7,94")))
    for rows in (100, 500):
        with pytest.raises(DownloadError, match=f"first 100 rows have .* had {digest}"):
            fetch_rows(rows)
    assert names(tmp_path / "toy") == ["T.csv.gz.rows.json"]
    hostile.answers["a"] = serves(gzip.compress(LINES))
    assert fetch_rows(500).exists()
    (tmp_path / "toy" / "T.csv.gz.rows.json").write_text("[")
    with pytest.raises(ValueError, match=r"rows\.json: damaged"):
        fetch_rows(200)


def test_rows_that_have_changed_are_not_prepared(hostile, tmp_path):
    rows = np.random.default_rng(0).normal(size=(4, 29)).round(3)
    rows[:, 0] = [0, 1, 0, 1]
    lines = "".join(",".join(map(str, row)) + "\n" for row in rows)
    hostile.answers["higgs/HIGGS.csv.gz"] = serves(gzip.compress(lines.encode()))
    (path,) = fetch("higgs", tmp_path, mirror=hostile.url, rows=4)
    dataset = higgs.prepare(tmp_path, train_rows=2, test_rows=2)
    assert hashlib.sha256(lines.encode()).hexdigest() in dataset.source
    path.write_bytes(gzip.compress(lines.encode().replace(b"0.0,", b"1.0,")))
    with pytest.raises(ValueError, match=r"HIGGS-4\.csv\.gz: its first 4 rows have sha256"):
        higgs.prepare(tmp_path, train_rows=2, test_rows=2)
    for damage in (b"text", gzip.compress(lines.encode())[:-9], gzip.compress(b"\0" * 10**6)):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"HIGGS-4\.csv\.gz: "):
            higgs.prepare(tmp_path, train_rows=2, test_rows=2)


def test_an_error_of_this_machine_is_no_fault_of_the_source(hostile, fetch_toy, tmp_path):
    hostile.answers["a"] = serves(gzip.compress(LINES))
    (tmp_path / "toy" / "T-10.csv.gz.part" / "x").mkdir(parents=True)
    with pytest.raises(DownloadError, match=r"T\.csv\.gz: (Is a directory|Operation not perm)"):
        fetch_toy(f"{hostile.url}/a", f"{hostile.url}/b", rows=10)
    assert hostile.requests == []


def test_a_linked_partial_file_is_not_followed(hostile, fetch_toy, tmp_path):
    hostile.answers["a"] = serves(CONTENT)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "raw.bin.part").symlink_to(tmp_path / "mine")
    path = fetch_toy(f"{hostile.url}/a")
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT
    assert (tmp_path / "mine").read_text() == "mine"


def test_settings_are_shared_without_secrets():
    secret = {
        "data": {
            "mirror": "https://me:secret@host/m?token=secret",
            "own": {"mine": "/home/secret/mine.npz", "other": "data/other.npz"},
            "verify": True,
        }
    }
    open_ = {
        "data": {
            "mirror": "https://host/m",
            "own": {"mine": ".../mine.npz", "other": "data/other.npz"},
            "verify": True,
        }
    }
    nested = {
        "stability": {"factors": {"x": secret}, "train": ["x"]},
        "seeds": [0],
        "outputs": None,
    }
    assert shareable({**secret, **nested}) == {
        **open_,
        "stability": {"factors": {"x": open_}, "train": ["x"]},
        "seeds": [0],
        "outputs": None,
    }
    assert shareable({"data": {"mirror": None, "own": {}}}) == {"data": {"mirror": None, "own": {}}}
