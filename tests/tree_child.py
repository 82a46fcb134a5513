"""The other side of :mod:`tests.tree`: a line of JSON in, a line of JSON out. Needs nothing of the tests' packages."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import traceback
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO


def redirected(web: str) -> Any:
    """``urlopen`` that asks one address, whatever the host."""
    real = urllib.request.urlopen

    def urlopen(url: Any, *rest: Any, **more: Any) -> Any:
        text = url if isinstance(url, str) else url.full_url
        return real(web + text.rpartition("/")[2], *rest, **more)

    return urlopen


def run(request: dict[str, Any]) -> int:
    from hypr.cli import app

    if "arguments" in request:
        return int(app.run(request["arguments"]))
    try:
        exec(request["code"], {"__name__": "script"})
    except Exception as error:
        code = app._code_of(error)
        if code is None:
            raise
        print(f"hypr: {error}", file=sys.stderr)  # as it is: several lines are seen
        return code
    return 0


def called(request: dict[str, Any]) -> int:
    """Run with the surroundings that were asked for, which are as before afterwards."""
    before, urlopen = dict(os.environ), urllib.request.urlopen
    folder = Path.cwd()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    os.environ.update(request.get("env", {}))
    os.chdir(request.get("cwd", folder))
    if "web" in request:
        urllib.request.urlopen = redirected(request["web"])
    if "file_bytes" in request:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"], limits[1]))
    try:
        return run(request)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        urllib.request.urlopen = urlopen
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)


def peak_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def answer(request: dict[str, Any], files: tuple[BinaryIO, BinaryIO]) -> dict[str, Any]:
    for number, file in enumerate(files, 1):
        file.seek(0)
        file.truncate()
        os.dup2(file.fileno(), number)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    memory = peak_kib()
    code = called(request)
    sys.stdout.flush()
    sys.stderr.flush()
    grown = (peak_kib() - memory) // 1024
    texts = []
    for file in files:
        file.seek(0)
        texts.append(file.read().decode("utf-8", "replace"))
    return {"code": code, "out": texts[0], "err": texts[1], "grown_mib": grown}


def main() -> None:
    """Answer until nobody asks."""
    reply = os.fdopen(os.dup(1), "wb")
    folder = str(Path(__file__).parent)
    sys.path[:] = [item for item in sys.path if item != folder]
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        for line in sys.stdin:
            reply.write(json.dumps(answer(json.loads(line), (out, err))).encode() + b"\n")
            reply.flush()


if __name__ == "__main__":
    main()
