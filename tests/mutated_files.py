"""Mutated files for every reader: each must be read as before, as another valid file, or be refused in one line.

    python -m tests.mutated_files [--count 20000] [--seed 0] [READER ...]

Runs in this process, with limits on memory and on the time of each mutation; the tests start it as a child. Prints a
line for each reader and, as the last line, JSON. Exit code 1 where something was wrong: an exception that is no answer
for a user, an answer of several lines, a mutation that took too long, or a file with a hash that was read as another.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MOST_MEMORY_BYTES = 6 * 2**30
MOST_SECONDS = 20
VERBOSE = False


@dataclass(frozen=True)
class Reader:
    """A reader and a good file.

    Attributes:
        name: for people.
        place: of the good file, below the folder of all.
        read: returns something that says what was read, comparable with ``==``.
        hashed: whether the file has a hash of its own, so that nothing else may be read from it.
        packed: ``zip`` or ``gzip``: what is inside is mutated too.
    """

    name: str
    place: str
    read: Callable[[Path], Any]
    hashed: bool = False
    packed: str = ""


@dataclass
class Count:
    """What became of the mutations of one reader."""

    tried: int = 0
    refused: int = 0
    read: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


def mutate(content: bytes, draw: random.Random) -> bytes:
    """One to four small changes of a file, or a large one."""
    kind = draw.random()
    if kind < 0.08:
        return content[: draw.randrange(len(content) + 1)]
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        if not changed:
            break
        at = draw.randrange(len(changed))
        how = draw.randrange(7)
        if how <= 1:
            changed[at] ^= 1 << draw.randrange(8)
        elif how == 2:
            changed[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, 0x2D, 0x39))
        elif how == 3:
            del changed[at : at + draw.choice((1, 2, 8, 64))]
        elif how == 4:
            changed[at:at] = bytes(draw.randrange(256) for _ in range(draw.choice((1, 4, 16))))
        elif how == 5:
            start = draw.randrange(len(changed))
            changed[at:at] = changed[start : start + draw.choice((4, 32, 256))]
        else:
            changed[at : at + 8] = draw.choice((b"\xff" * 8, b"\0" * 8, (2**62).to_bytes(8, "little")))
    return bytes(changed)


_TEXT_VALUES: tuple[str, ...] = (
    "null",
    "-1",
    "1e400",
    "1e17",
    '"x"',
    "[]",
    "{}",
    "[[[]]]",
    "true",
    "9" * 30,
    "nan",
    '"\\u0000"',
)
_TEXT_VALUES += ('"../../etc/passwd"', "9" * 5000, "[" * 3000)


def mutate_text(content: bytes, draw: random.Random) -> bytes:
    """A value of a text file becomes one of another type, or a line goes."""
    lines = content.decode("utf-8", "replace").split("\n")
    at = draw.randrange(len(lines))
    if draw.random() < 0.2:
        del lines[at]
    else:
        for mark in (": ", " = "):
            if mark in lines[at]:
                name, _, value = lines[at].partition(mark)
                lines[at] = name + mark + draw.choice(_TEXT_VALUES) + ("," if value.rstrip().endswith(",") else "")
    return "\n".join(lines).encode()


def mutate_packed(content: bytes, packed: str, draw: random.Random) -> bytes:
    """The content of one member is mutated; the packing around it is in order."""
    if packed == "gzip":
        return gzip.compress(mutate(gzip.decompress(content), draw), 1)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        members = old.infolist()
        chosen = draw.randrange(len(members))
        for index, member in enumerate(members):
            data = old.read(member)
            name = member.filename
            if index == chosen:
                data = mutate(data, draw)
                if draw.random() < 0.1:
                    name = draw.choice(("x/", "../x.npy", name.upper(), "x" * 300, members[0].filename))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a name that occurs twice, which is meant
                new.writestr(name, data)
    return out.getvalue()


def run(readers: list[Reader], folder: Path, count: int, seed: int) -> dict[str, Count]:
    """Mutate each reader's file, in turn, ``count`` times in all."""
    from export.errors import ExportError
    from hardware.errors import HardwareError
    from hypr.errors import HyprError

    good = {reader.name: (folder / reader.place).read_bytes() for reader in readers}
    expected = {reader.name: reader.read(folder / reader.place) for reader in readers}
    counts = {reader.name: Count() for reader in readers}
    for index in range(count):
        reader = readers[index % len(readers)]
        draw = random.Random(f"{seed} {reader.name} {index}")
        if VERBOSE:
            print(index, reader.name, flush=True)
        how = draw.random()
        if reader.packed and how < 0.5:
            content = mutate_packed(good[reader.name], reader.packed, draw)
        elif reader.place.endswith((".json", ".toml", ".jsonl")) and how < 0.6:
            content = mutate_text(good[reader.name], draw)
        else:
            content = mutate(good[reader.name], draw)
        (folder / reader.place).write_bytes(content)
        found = counts[reader.name]
        found.tried += 1
        where = f"seed {seed}, mutation {index}"
        signal.alarm(MOST_SECONDS)
        started = time.perf_counter()
        try:
            read = reader.read(folder / reader.place)
            found.read += 1
            if reader.hashed and not _same(read, expected[reader.name]):
                found.wrong.append(f"{where}: read as another file")
        except (ExportError, HardwareError, HyprError) as error:
            found.refused += 1
            if len(str(error).splitlines()) != 1:
                found.wrong.append(f"{where}: an answer of {len(str(error).splitlines())} lines: {str(error)[:200]!r}")
        except _TooLong:
            found.wrong.append(f"{where}: took more than {MOST_SECONDS} s")
        except Exception:
            found.wrong.append(f"{where}: {traceback.format_exc(limit=-3)}")
        finally:
            signal.alarm(0)
            found.seconds += time.perf_counter() - started
    for reader in readers:
        (folder / reader.place).write_bytes(good[reader.name])
    return counts


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


class _TooLong(BaseException):
    pass


def _alarm(*_: Any) -> None:
    raise _TooLong


def main(arguments: list[str] | None = None) -> int:
    from tests.good_files import make

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGALRM, _alarm)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        readers = [reader for reader in make(folder) if not options.readers or reader.name in options.readers]
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
        started = time.perf_counter()
        counts = run(readers, folder, options.count, options.seed)
    for reader, found in counts.items():
        print(
            f"{reader:16} {found.tried:6} tried, {found.refused:6} refused, {found.read:6} read, "
            f"{len(found.wrong)} wrong, {found.seconds:.1f} s"
        )
        for line in found.wrong[:5]:
            print(f"    {line}")
    wrong = sum(len(found.wrong) for found in counts.values())
    answer = {"tried": sum(found.tried for found in counts.values()), "wrong": wrong, "readers": len(counts)}
    print(json.dumps(answer | {"seconds": round(time.perf_counter() - started, 1)}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
