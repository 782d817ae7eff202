import http.server
import re
import socket
import threading
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import kancore.data.transport

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


class FileServer(http.server.ThreadingHTTPServer):
    """Serve `files` on loopback, as badly as a test asks for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.statuses = defaultdict(list)  # path -> status of its next answers
        self.cuts = defaultdict(list)  # path -> bytes after which its next answers break off
        self.knows_ranges = True
        self.requests: list[tuple[str, str | None]] = []
        self.sent = Counter()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what some tests are about


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10

    def setup(self):
        super().setup()
        # A small buffer, so that `sent` is close to what the client has read.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)

    def do_GET(self):
        server, path = self.server, self.path.lstrip("/")
        asked = self.headers["Range"]
        server.requests.append((path, asked))
        if server.statuses[path]:
            return self.send_error(server.statuses[path].pop(0))
        if path not in server.files:
            return self.send_error(404)
        body, status = server.files[path], 200
        if asked and server.knows_ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(body):
                return self.send_error(416)
            body, status = body[start:], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cuts[path]:
            body = body[: server.cuts[path].pop(0)]
        for begin in range(0, len(body), 1 << 13):
            piece = body[begin : begin + (1 << 13)]
            server.sent[path] += len(piece)  # before the client can be done with it
            self.wfile.write(piece)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """A `FileServer`; downloads retry at once, and through no proxy."""
    monkeypatch.setattr(kancore.data.transport, "_PAUSE", 0.001)
    monkeypatch.setenv("no_proxy", "*")
    with FileServer() as file_server:
        thread = threading.Thread(target=file_server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield file_server
        file_server.shutdown()
        thread.join(5)


@pytest.fixture(scope="session")
def shared():
    """Folder of real data, beside the repository where there is one."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data in {SHARED.parent.name}/{SHARED.name}")
    return SHARED
