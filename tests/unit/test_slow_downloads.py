"""Servers that send a byte now and then: a download is given up, one that is slow and goes on is not."""

from __future__ import annotations

import contextlib
import hashlib
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypr.data import storage
from hypr.errors import HyprError

CONTENT = bytes(range(256)) * 100


class Server(socketserver.ThreadingTCPServer):
    """Sends the answer in pieces of ``size`` bytes, ``rest_s`` between them."""

    daemon_threads = True
    size, rest_s = 1, 0.1


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        server = self.server
        assert isinstance(server, Server)
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\n\r\n".encode() + CONTENT
        with contextlib.suppress(OSError):
            for begin in range(0, len(answer), server.size):
                self.wfile.write(answer[begin : begin + server.size])
                time.sleep(server.rest_s)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def file_of(server: Server) -> storage.RemoteFile:
    address = f"http://127.0.0.1:{server.server_address[1]}/a.bin"
    return storage.RemoteFile("a.bin", address, hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize("size", [1, 50], ids=["within the header", "in the content"])
def test_bytes_now_and_then_are_given_up_and_nothing_is_written(server, tmp_path: Path, monkeypatch, size):
    server.size = size
    monkeypatch.setattr(storage, "SLOW_S", 0.5)
    with pytest.raises(HyprError, match=r"cannot fetch .* bytes in 0\.5 s") as caught:
        storage.download(tmp_path, file_of(server))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_download_that_goes_on_is_waited_for(server, tmp_path: Path, monkeypatch):
    server.size, server.rest_s = 1000, 0.06
    monkeypatch.setattr(storage, "SLOW_S", 0.5)
    monkeypatch.setattr(storage, "SLOW_BYTES", 1000)
    told: list[tuple[str, int, int]] = []
    storage.download(tmp_path, file_of(server), lambda *words: told.append(words))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert told[-1] == ("a.bin", len(CONTENT), len(CONTENT)) and len(told) > 3
