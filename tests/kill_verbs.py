"""The commands that are disturbed: what lies there before, the command, the one after it, moments by stage, and what
the end result is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypr.training import checkpoint
from tests import kill_ground
from tests.kill_ground import Ground, hypr, wait_until

SMALL = ("digits-brf", "network.layers.0.width=12", "training.batch=256", "epochs=5", "device=cpu")
VERIFIED = ("--samples", "24", "--lava-samples", "6")


@dataclass(frozen=True)
class Stock:
    """What commands begin with, made once: a finished run, one that was killed in its third epoch, a bundle, one that
    is verified. ``address`` is that of the local server of data sets."""

    folder: Path
    address: str

    def make(self) -> None:
        with kill_ground.ground() as place:
            _run(place, hypr("train", *SMALL, "--out", self.folder / "run"))
            _run(place, hypr("export", self.folder / "run", "--out", self.folder / "bundle"))
            shutil.copytree(self.folder / "bundle", self.folder / "verified")
            _run(place, hypr("verify", self.folder / "verified", "--engines", "emulator,onnx", "--samples", "24"))
            begun = place.start(hypr("train", *SMALL, "--out", self.folder / "begun"))
            lines = self.folder / "begun" / "metrics.jsonl"
            assert wait_until(lambda: lines.exists() and lines.read_text().count("\n") >= 2, 120.0)
            os.kill(begun.pid, signal.SIGKILL)
            begun.wait()


@dataclass(frozen=True)
class Verb:
    """One command.

    Attributes:
        command, again: the command, and the one that follows where it was disturbed.
        result: of its end, from the outputs and what was printed; compared with that of an undisturbed run.
        prepare: puts there what it begins with.
        stages: name -> whether it has been reached; each is seen from outside.
    """

    name: str
    command: Callable[[Ground], list[str]]
    again: Callable[[Ground], list[str]]
    result: Callable[[Ground], Any]
    prepare: Callable[[Ground], object] = lambda place: None
    stages: Mapping[str, Callable[[Ground], bool]] = field(default_factory=dict)


def verbs(stock: Stock) -> dict[str, Verb]:
    """By name."""
    made = [*_training(stock), *_exports(stock), *_verifications(stock), *_fetches(stock), _report(stock)]
    return {verb.name: verb for verb in made}


def _training(stock: Stock) -> list[Verb]:
    def command(*more: str) -> Callable[[Ground], list[str]]:
        return lambda place: hypr("train", *SMALL, "--out", place.work / "run", *more)

    def seeds(*more: str) -> Callable[[Ground], list[str]]:
        return lambda place: hypr("train", *SMALL, "--out", place.work, "--seeds", "0,1", "--jobs", "2", *more)

    def result(place: Ground) -> Any:
        return [_trained(folder) for folder in sorted(place.work.iterdir())]

    stages = {
        "folder made": _seen("work/*"),
        "configuration written": _seen("work/*/config.toml"),
        "first epoch done": _seen("work/*/resume.safetensors"),
        "checkpoint in the making": _seen("work/*/.*safetensors*"),
        "curves in the making": _seen("work/*/.curves.png*"),
        "curves drawn": _seen("work/*/curves.png"),
    }
    resumed = {name: stages[name] for name in ("checkpoint in the making", "curves in the making", "curves drawn")}
    resumed["metrics in the making"] = _seen("work/*/.metrics.jsonl*")
    copy = lambda place: shutil.copytree(stock.folder / "begun", place.work / "run")  # noqa: E731
    first = {name: stages[name] for name in ("first epoch done", "checkpoint in the making")}
    return [
        Verb("train", command(), command("--resume"), result, stages=stages),
        Verb("train --resume", command("--resume"), command("--resume"), result, copy, resumed),
        Verb("train --seeds", seeds(), seeds("--resume"), result, stages=first),
    ]


def _exports(stock: Stock) -> list[Verb]:
    def command(place: Ground) -> list[str]:
        return hypr("export", stock.folder / "run", "--out", place.work / "bundle", "--overwrite")

    stages = {
        "folder made": _seen("work/.bundle*"),
        "program written": _seen("work/.bundle*/program.npz"),
        "NIR in the making": _seen("work/.bundle*/.network.nir*"),
        "ONNX written": _seen("work/.bundle*/integer_scan.onnx"),
        "Lava's files written": _seen("work/.bundle*/lava/*.whl"),
        "manifest written": _seen("work/.bundle*/manifest.json"),
    }
    copy = lambda place: shutil.copytree(stock.folder / "verified", place.work / "bundle")  # noqa: E731
    old = {name: stages[name] for name in ("folder made", "ONNX written")} | {"old one aside": _seen("work/.*.old")}
    return [
        Verb("export", command, command, _files, stages=stages),
        Verb("export --overwrite", command, command, _files, copy, old),
    ]


def _verifications(stock: Stock) -> list[Verb]:
    def command(*more: str) -> Callable[[Ground], list[str]]:
        return lambda place: hypr("verify", place.work / "bundle", *VERIFIED, *more)

    stages = {
        "job folder made": _seen("tmp/hypr-lava-*"),
        "Lava starts": _seen("tmp/hypr-lava-*/progress.jsonl"),
        "first shared memory": lambda place: any(place.shm.iterdir()),
        "a part kept": _seen("home/lava-parts/*/[0-9a-f]*"),
        "files are checked": _seen("tmp/hypr-work-*"),
        "certificate in the making": _seen("work/bundle/.cert*"),
    }
    copy = lambda place: shutil.copytree(stock.folder / "bundle", place.work / "bundle")  # noqa: E731
    return [
        Verb("verify", command(), command(), _certificate, copy, stages),
        Verb("verify --jobs 2", command("--jobs", "2"), command("--jobs", "2"), _certificate, copy, stages),
    ]


def _fetches(stock: Stock) -> list[Verb]:
    def command(name: str) -> Callable[[Ground], list[str]]:
        return lambda place: [*hypr()[:2], "tests.local_fetch", stock.address, name]

    archive = {
        "folder of the data made": _seen("data/fsdd/*"),
        "unpacking": _seen("data/fsdd/.recordings*/*"),
        "half unpacked": lambda place: sum(1 for _ in place.data.glob("fsdd/.recordings*/*")) >= 1500,
        "in place": _seen("data/fsdd/recordings"),
    }
    files = {"first file there": _seen("data/mnist/*.gz"), "in the making": _seen("data/mnist/.*")}
    return [
        Verb("data fetch (archive)", command("fsdd"), command("fsdd"), _files, stages=archive),
        Verb("data fetch (files)", command("mnist"), command("mnist"), _files, stages=files),
    ]


def _report(stock: Stock) -> Verb:
    def command(place: Ground) -> list[str]:
        return hypr("report", place.work / "bundle")

    copy = lambda place: shutil.copytree(stock.folder / "verified", place.work / "bundle")  # noqa: E731
    stages = {"page in the making": _seen("work/bundle/.report*"), "page written": _seen("work/bundle/report.html")}
    return Verb("report", command, command, _files, copy, stages)


def _seen(pattern: str) -> Callable[[Ground], bool]:
    return lambda place: next(place.root.glob(pattern), None) is not None


def _trained(folder: Path) -> Any:
    """Bytes of the checkpoints, and all that was measured but for the time it took."""
    names = ("config.toml", "best.safetensors", "last.safetensors")
    resume = checkpoint.read(folder / "resume.safetensors")
    state = {name: tensor.numpy().tobytes().hex() for name, tensor in resume.tensors.items()}
    result = json.loads((folder / "result.json").read_text()) | {"seconds": 0}
    lines = [json.loads(line) | {"seconds": 0} for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {name: _sha256(folder / name) for name in names}, state, _timeless(resume.details), result, lines


def _timeless(details: Any) -> Any:
    if not isinstance(details, dict):
        return details
    return {key: _timeless(value) for key, value in details.items() if key != "seconds"}


def _files(place: Ground) -> Any:
    """Every file byte by byte."""
    found = [path for where in (place.work, place.data) for path in where.rglob("*") if path.is_file()]
    return {str(path.relative_to(place.root)): _sha256(path) for path in found}


def _certificate(place: Ground) -> Any:
    """All that the certificate says but for the time; the verdict that was printed."""
    content = json.loads((place.work / "bundle" / "certificate.json").read_text())
    for pair in content["comparisons"]:
        pair |= {"seconds": 0, "against_seconds": 0}
    assert content["equal"] is True and "EQUAL: all" in place.stdout(), place.stdout()
    return content | {"created": "", "seconds": 0}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(place: Ground, command: list[str]) -> None:
    assert place.start(command).wait(300) == 0, place.stderr()
