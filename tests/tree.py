"""Command lines and lines of Python in a process of its own, by the tree under test.

``HYPR_TREE`` names another checkout (a worktree of version 0.1, for instance): the same test shows whether that one had
the failure. The process is kept for many calls, for it takes seconds to import everything; a call that crashes it,
hangs or fills its memory is answered with a code below 0, and the next call has a new process.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT

TREE = Path(os.environ.get("HYPR_TREE") or ROOT).resolve()
"""Checkout whose packages run."""

OTHER = TREE != ROOT
"""Whether it is not this one; engines that the tests bring along are then still these."""

_PATH = os.pathsep.join(map(str, (TREE, ROOT) if OTHER else (TREE,)))
CHILD = Path(__file__).with_name("tree_child.py")


def environment(**more: str) -> dict[str, str]:
    """Of a process that imports the tree under test."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONPATH": _PATH, **more}


def inside(first: str) -> list[str]:
    """The beginning of a command that runs ``first`` in namespaces of its own."""
    return ["unshare", "-Urm", "sh", "-ec", f'{first}\nexec "$@"', "sh"] if first else []


def needs_namespaces() -> None:
    """Skip a test where this user may not mount in a namespace of its own."""
    command = [*inside("mount -t tmpfs none /mnt"), "true"]
    if shutil.which("unshare") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no user namespaces here, in which a small disk could be mounted")


@dataclass(frozen=True)
class Answer:
    """What a call said.

    Attributes:
        code: exit code; below 0: ended by that signal, -9 where it took too long.
        out, err: what it printed. grown_mib: how much more memory than before it took at most.
    """

    code: int
    out: str
    err: str
    grown_mib: int = 0

    @property
    def line(self) -> str:
        """The one line of a refusal, after notes of what was done before: fails where it is none, or several, or a
        traceback."""
        assert self.code > 0, f"accepted, or ended by a signal: {self}"
        assert "Traceback" not in self.out + self.err, self.err[-3000:]
        lines = self.err.strip().splitlines() or [""]
        assert [line for line in lines if line.startswith("hypr: ")] == lines[-1:], self.err[-3000:]
        return lines[-1]


class Tree:
    """The process; a context that ends it."""

    def __init__(self, first: str = "", **more: str) -> None:
        """With ``first``, lines of a shell that run before it as root of namespaces of its own: file systems that they
        mount are seen by it alone. ``more``: names and values for its environment."""
        self.first, self.more = first, more
        self.child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None

    def hypr(self, *arguments: object, timeout_s: float = 60, **more: Any) -> Answer:
        """A command line; ``cwd``, ``env`` (names and values added to the environment), ``web`` (an address that
        answers in the place of every other) and ``memory_mib`` hold for it alone."""
        return self._call({"arguments": [str(item) for item in arguments], **more}, timeout_s)

    def python(self, code: str, timeout_s: float = 60, **more: Any) -> Answer:
        """Lines of Python; an error that is one for users ends as in a command line."""
        return self._call({"code": code, **more}, timeout_s)

    def _call(self, request: dict[str, Any], timeout_s: float) -> Answer:
        if self.child is None or self.child.poll() is not None:
            self.child = subprocess.Popen(
                [*inside(self.first), sys.executable, str(CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment(**self.more),
                cwd=tempfile.gettempdir(),
            )
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.write(json.dumps(request).encode() + b"\n")
        self.child.stdin.flush()
        ready, _, _ = select.select([self.child.stdout], [], [], timeout_s + 30)  # 30 s for the start
        text = self.child.stdout.readline() if ready else b""
        if text:
            return Answer(**json.loads(text))
        self.child.kill()
        code = self.child.wait()
        self.child = None
        said = "" if ready else f"no answer after {timeout_s:g} s"
        return Answer(code if code < 0 else -signal.SIGABRT, "", f"{said or 'crashed'}: {request}"[:500])
