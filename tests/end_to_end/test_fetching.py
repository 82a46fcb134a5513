"""``hypr data fetch`` from a server that answers badly: one line, nothing that passes for a data set, and a good answer
afterwards completes it."""

from __future__ import annotations

import gzip
import io
import json
import socketserver
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PAGE = b"<!doctype html><html><head><title>Moved</title></head><body>Sign in to go on</body></html>"


class Server(socketserver.ThreadingTCPServer):
    """Answers every request with the bytes that are set, and nothing else."""

    allow_reuse_address, daemon_threads = True, True
    said = b""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        assert isinstance(self.server, Server)
        self.wfile.write(self.server.said)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def reply(body: bytes, *more: str, length: object = None, status: str = "200 OK") -> bytes:
    """An answer of HTTP; ``length`` is what it says of itself."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *more]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode() + body


SOUND = b"RIFF\x74\x00\x00\x00WAVEfmt " + b"\x01\x02" * 50


def zipped(count: int = 3000, change: Callable[[zipfile.ZipFile], None] | None = None) -> bytes:
    """An archive as the one of the spoken digits."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for index in range(count):
            digit, take = index // 300, index % 50
            archive.writestr(f"set-master/recordings/{digit}_p{index % 300 // 50}_{take}.wav", SOUND)
        if change is not None:
            change(archive)
    return out.getvalue()


def _flipped(content: bytes) -> bytes:
    """One byte of a member's sound is another: its checksum says so."""
    at = len(content) // 3
    at = content.index(b"\x01\x02\x01\x02", at)
    return content[:at] + b"\x7f" + content[at + 1 :]


def _encrypted(content: bytes) -> bytes:
    at = content.rindex(b"PK\x01\x02") + 8
    return content[:at] + b"\x01" + content[at + 1 :]


ANSWERS: dict[str, bytes] = {
    "a web page": reply(PAGE, "Content-Type: text/html"),
    "a web page, compressed": reply(gzip.compress(PAGE)),
    "nothing": reply(b""),
    "no answer at all": b"",
    "an answer that is no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "half a status line": b"HTTP/1.1 2",
    "a status that is no number": b"HTTP/1.1 fine OK\r\n\r\n",
    "a body cut short": reply(gzip.compress(bytes(9999)), length=10**6),
    "a length that is no number": reply(PAGE, length="many"),
    "a length below zero": reply(PAGE, length=-5),
    "a length of 40 digits": reply(PAGE, length="9" * 40),
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "chunks cut short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nhello",
    "a header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 200 + b"\r\n",
    "404": reply(PAGE, status="404 Not Found"),
    "500": reply(PAGE, status="500 Internal Server Error"),
    "a way round in a circle": reply(b"", "Location: /again", status="302 Found"),
    "a way to another scheme": reply(b"", "Location: file:///etc/passwd", status="302 Found"),
    "a way to nowhere": reply(b"", "Location: http://[::bad/", status="302 Found"),
    "idx of other content": reply(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 2]))),
    "gzip cut short": reply(gzip.compress(bytes(9999))[:-9]),
}


@pytest.mark.parametrize("name", ["mnist", "fsdd", "qtdb", "shd"])
@pytest.mark.parametrize("kind", ANSWERS)
def test_a_bad_answer_is_one_line_and_leaves_nothing(tree, server, tmp_path, kind, name):
    server.said = ANSWERS[kind]
    answer = tree.hypr("data", "fetch", name, env={"HYPR_DATA": str(tmp_path)}, web=server.address, timeout_s=30)
    assert len(answer.line) < 1000
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert name not in here(tree, tmp_path)


def here(tree, root: Path) -> set[str]:
    """Data sets that count as complete."""
    found = tree.hypr("data", "list", "--json", env={"HYPR_DATA": str(root)})
    return {item["name"] for item in json.loads(found.out)["data"] if item["present"]}


GOOD = zipped()
ARCHIVES: dict[str, bytes] = {
    "one bad member": _flipped(GOOD),
    "an encrypted member": _encrypted(GOOD),
    "an archive cut short": GOOD[:-3000],
    "half of the recordings": zipped(1500),
    "no recordings": zipped(0),
    "junk behind the beginning of an archive": b"PK\x03\x04" + bytes(5000),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_bad_archive_is_one_line_and_no_part_of_it_counts_as_complete(tree, server, tmp_path, kind):
    server.said = reply(ARCHIVES[kind])
    answer = tree.hypr("data", "fetch", "fsdd", env={"HYPR_DATA": str(tmp_path)}, web=server.address)
    assert answer.line and "fsdd" not in here(tree, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_part_of_the_recordings_is_not_complete_and_is_fetched_again(tree, server, tmp_path):
    """As a fetch left it that was killed while it unpacked in place."""
    place = tmp_path / "fsdd" / "recordings"
    place.mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        for info in archive.infolist()[:700]:
            (place / Path(info.filename).name).write_bytes(archive.read(info))
    assert "fsdd" not in here(tree, tmp_path)
    server.said = reply(GOOD)
    answer = tree.hypr("data", "fetch", "fsdd", env={"HYPR_DATA": str(tmp_path)}, web=server.address)
    assert answer.code == 0, answer
    assert sum(1 for _ in place.iterdir()) == 3000 and "fsdd" in here(tree, tmp_path)
    assert [path.name for path in place.parent.iterdir()] == ["recordings"]


def test_nothing_of_an_archive_is_written_elsewhere(tree, server, tmp_path):
    def evil(archive: zipfile.ZipFile) -> None:
        archive.writestr("set-master/recordings/../../../../evil.wav", b"1")
        archive.writestr("/set-master/recordings//tmp/evil2.wav", b"1")

    server.said = reply(zipped(change=evil))
    root = tmp_path / "a" / "b" / "data"
    tree.hypr("data", "fetch", "fsdd", env={"HYPR_DATA": str(root)}, web=server.address)
    strange = [path for path in tmp_path.rglob("evil*") if path.parent.name != "recordings"]
    assert strange == []


def test_after_a_bad_answer_a_good_one_completes_the_set(tree, server, tmp_path):
    for said in (reply(PAGE), reply(_flipped(GOOD)), reply(GOOD)):
        server.said = said
        answer = tree.hypr("data", "fetch", "fsdd", env={"HYPR_DATA": str(tmp_path)}, web=server.address)
        assert (answer.code == 0) == (said == reply(GOOD))
    assert "fsdd" in here(tree, tmp_path)
