"""Data sets of the catalogue from a server of the test's own: ``python -m tests.local_fetch ADDRESS NAME`` is
``hypr data fetch NAME`` with that server's addresses."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import random
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace

RECORDINGS = 3000
IMAGES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def contents() -> dict[str, bytes]:
    """What is served, by last part of the address: an archive of many files, and four packed files."""
    generator, archive = random.Random(3), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        for number in range(RECORDINGS):
            name = f"free-spoken-digit-dataset-master/recordings/{number % 10}_x_{number // 10}.wav"
            made.writestr(zipfile.ZipInfo(name), generator.randbytes(1000))
    packed = {f"{name}.gz": gzip.compress(generator.randbytes(400_000), mtime=0) for name in IMAGES}
    return {"master.zip": archive.getvalue(), **packed}


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The address of a server that takes its time, as servers do."""
    files = contents()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files[self.path.rpartition("/")[2]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked was killed
                for begin in range(0, len(content), 1 << 16):
                    self.wfile.write(content[begin : begin + (1 << 16)])
                    time.sleep(0.01)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main(address: str, name: str) -> int:
    from hypr.cli.app import run
    from hypr.data import registry

    entry, content = registry.spec(name), contents()
    files = []
    for file in entry.files:
        last = file.url.rpartition("/")[2]
        file = replace(file, url=f"{address}/{last}", sha256=hashlib.sha256(content[last]).hexdigest())
        if file.unpacked_sha256:
            file = replace(file, unpacked_sha256=hashlib.sha256(gzip.decompress(content[last])).hexdigest())
        files.append(file)
    registry.register(replace(entry, files=tuple(files)))
    return run(["data", "fetch", name])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
