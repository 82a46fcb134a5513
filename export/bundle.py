"""The bundle: one folder with everything that a trained network is deployed and verified from.

``manifest.json`` (versions, hash of each file, data set, metrics), ``program.npz``, ``network.nir`` and
``quantized.nir``, ``integer_scan.onnx``, ``integer_step.onnx`` and ``float_scan.onnx``, and ``lava/`` (what a
Loihi-style host needs). A bundle appears whole or not at all, and is checked against its manifest whenever it is
opened. Files that are added later (certificate, reports) are not part of the manifest.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from export.certificate import file_hash
from export.engines import Engine, Record, Values, get
from export.errors import ExportError
from hardware.program import SPEC_VERSION, Program
from hardware.program_file import content_hash, load, save
from hardware.trace import Trace

if TYPE_CHECKING:
    import nir

    from export.discretise import Reading
    from export.onnx import OnnxNetwork
    from export.steps import StepNetwork

FORMAT = "hypr-bundle"
FORMAT_VERSION = 1
TARGETS = ("nir", "onnx", "lava")
MAX_MANIFEST_BYTES = 2**24

MANIFEST = "manifest.json"
PROGRAM = "program.npz"
FLOAT_NIR = "network.nir"
QUANTIZED_NIR = "quantized.nir"
SCAN = "integer_scan.onnx"
STEP = "integer_step.onnx"
FLOAT_SCAN = "float_scan.onnx"
LAVA = "lava"


@dataclass(frozen=True)
class Origin:
    """Where the network came from; kept in the manifest for people and for ``hypr verify`` (which data to run).

    Attributes:
        dataset: name and input encoding of the data it was trained on, or None.
        seed: of the training run. metrics: of the float network. notes: anything else, JSON-able.
    """

    dataset: Mapping[str, Any] | None = None
    seed: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files match their manifest.

    Attributes:
        path: its folder. manifest: content of ``manifest.json``.
    """

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open and check: manifest, versions, presence, size and SHA-256 of every file.

        Raises:
            ExportError: one line that names the file, what is wrong, and the fix.
        """
        folder = Path(path)
        manifest = _read_manifest(folder)
        for name, entry in manifest["files"].items():
            _check_file(folder, name, entry)
        if PROGRAM not in manifest["files"]:
            raise ExportError(f"{folder / MANIFEST}: lists no {PROGRAM}; export the network again")
        return cls(folder, manifest)

    @functools.cached_property
    def program(self) -> Program:
        """The integer network.

        Raises:
            ProgramError: the file breaks the contract. ExportError: it is not the program that the manifest names.
        """
        program = load(self.path / PROGRAM)
        if content_hash(program) != self.manifest["program_sha256"]:
            raise ExportError(
                f"{self.path / PROGRAM}: is not the program that {MANIFEST} names; export the network again"
            )
        return program

    def float_network(self) -> StepNetwork:
        """The float network as difference equations, for the float engine; ExportError where the bundle has none."""
        from export import nir as nir_files
        from export.discretise import Reading, discretise

        stored = self.manifest.get("reading")
        try:
            if isinstance(stored, dict) and stored.get("input_format") is not None:
                stored = {**stored, "input_format": tuple(stored["input_format"])}
            reading = None if stored is None else Reading(**stored)
        except TypeError:
            raise ExportError(f"{self.path / MANIFEST}: 'reading' is damaged; export the network again") from None
        return discretise(nir_files.read(self.file(FLOAT_NIR)), reading)

    def checks(self) -> dict[str, bool]:
        """Whether every file that holds the integers holds the same ones; names are lines for the certificate."""
        from export import nir as nir_files
        from export.onnx import OnnxNetwork
        from export.quantize import quantize

        expected = content_hash(self.program)
        found = {}
        if self.has(QUANTIZED_NIR):
            again = quantize(nir_files.read(self.file(QUANTIZED_NIR)))
            found[f"{QUANTIZED_NIR} quantizes to {PROGRAM}"] = content_hash(again) == expected
        for name in (SCAN, STEP):
            if self.has(name):
                found[f"{name} names {PROGRAM}"] = OnnxNetwork.open(self.file(name)).program_sha256 == expected
        copy = f"{LAVA}/{PROGRAM}"
        if self.has(copy):
            found[f"{copy} equals {PROGRAM}"] = content_hash(load(self.file(copy))) == expected
        return found

    def has(self, name: str) -> bool:
        """Whether the bundle contains that file."""
        return name in self.manifest["files"]

    def file(self, name: str) -> Path:
        """Path of a file of the bundle; ExportError where it was not exported."""
        if not self.has(name):
            present = ", ".join(self.manifest["files"])
            raise ExportError(
                f"{self.path}: holds no {name} (it has {present}); export the network again with that target"
            )
        return self.path / name

    def engine(self, name: str) -> Engine:
        """Engine `name` running this bundle's own file where it has one (ONNX graph, copy of the program for Lava).

        Besides the registered names there is ``onnx-step``, which runs the step form in a loop over time.
        """
        if name in ("onnx", "onnx-step"):
            form, file = ("scan", SCAN) if name == "onnx" else ("step", STEP)
            run = functools.partial(_run_onnx, self.file(file), form)
            step = functools.partial(_step_onnx, self.file(STEP)) if self.has(STEP) else None
            return replace(get("onnx"), name=name, description=f"{file} of the bundle", run=run, step=step)
        return get(name)

    def files(self) -> dict[str, Path]:
        """All files of the manifest by name."""
        return {name: self.path / name for name in self.manifest["files"]}


def write_bundle(
    graph: nir.NIRGraph | None,
    program: Program,
    out: str | os.PathLike[str],
    to: Sequence[str] = TARGETS,
    *,
    reading: Reading | None = None,
    origin: Origin | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle.

    Args:
        graph: the float network; None leaves out its NIR and float ONNX files.
        program: the integer network made from it.
        out: folder to create; its parent must exist.
        to: targets, of ``nir``, ``onnx``, ``lava``.
        reading: conventions for a `graph` from elsewhere; kept in the manifest.
        origin: for the manifest.
        overwrite: replace a bundle that is there already (never another kind of folder).

    Raises:
        ExportError: unknown target, folder in the way, a network that a target cannot hold.
    """
    unknown = [target for target in to if target not in TARGETS]
    if unknown:
        raise ExportError(f"unknown export target '{unknown[0]}'; targets are {', '.join(TARGETS)}")
    out = Path(out)
    _check_free(out, overwrite)
    try:
        part = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    except OSError as error:
        raise ExportError(
            f"cannot write {out}: {error.strerror or error}; create the folder above it or choose another path"
        ) from None
    try:
        _fill(part, graph, program, reading, to)
        _write_manifest(part, program, reading, origin or Origin())
        part.chmod(0o755)
        _put_in_place(part, out)
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Bundle.open(out)


def _open_onnx(path: Path, program: Program) -> OnnxNetwork:
    from export.onnx import OnnxNetwork

    network = OnnxNetwork.open(path, threads=1)
    if network.program_sha256 != content_hash(program):
        raise ExportError(f"{path}: was made from another program than {PROGRAM}; export the network again")
    return network


def _run_onnx(path: Path, form: str, program: Program, inputs: np.ndarray, record: Record) -> Trace:
    network = _open_onnx(path, program)
    if network.form != form:
        raise ExportError(f"{path}: holds the '{network.form}' form, expected '{form}'; export the network again")
    return network.run(inputs, record)


def _step_onnx(path: Path, program: Program, inputs: np.ndarray, previous: Values) -> Values:
    return _open_onnx(path, program).step(inputs, previous)


def _fill(part: Path, graph: nir.NIRGraph | None, program: Program, reading: Reading | None, to: Sequence[str]) -> None:
    save(program, part / PROGRAM)
    if "nir" in to:
        _write_nir(part, graph, program)
    if "onnx" in to:
        _write_onnx(part, graph, program, reading)
    if "lava" in to:
        from export import lava

        (part / LAVA).mkdir()
        lava.write(program, part / LAVA)


def _write_nir(part: Path, graph: nir.NIRGraph | None, program: Program) -> None:
    from export import nir as nir_files
    from export.dequantize import quantized_nir

    if graph is not None:
        nir_files.write(graph, part / FLOAT_NIR)
    if "formats" in program.metadata:  # a program that was not quantized here has no scales to write
        nir_files.write(quantized_nir(program, graph), part / QUANTIZED_NIR)


def _write_onnx(part: Path, graph: nir.NIRGraph | None, program: Program, reading: Reading | None) -> None:
    from export.discretise import discretise
    from export.onnx import export_onnx
    from export.onnx_float import export_float_onnx, has_float_graph

    export_onnx(program, part / SCAN, "scan")
    export_onnx(program, part / STEP, "step")
    if graph is not None:
        network = discretise(graph, reading)
        if has_float_graph(network):
            export_float_onnx(network, part / FLOAT_SCAN)


def _write_manifest(part: Path, program: Program, reading: Reading | None, origin: Origin) -> None:
    files = sorted(p for p in part.rglob("*") if p.is_file())
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "spec_version": program.spec_version,
        "program_sha256": content_hash(program),
        "files": {p.relative_to(part).as_posix(): {"sha256": file_hash(p), "bytes": p.stat().st_size} for p in files},
        "input": {"size": program.input.size, "low": program.input.low, "high": program.input.high},
        "layers": [{"name": layer.name, "model": layer.model, "size": layer.size} for layer in program.layers],
        "decision": {"rule": program.decision.rule, "ignore_first": program.decision.ignore_first},
        "reading": None if reading is None else asdict(reading),
        "dataset": None if origin.dataset is None else dict(origin.dataset),
        "seed": origin.seed,
        "metrics": dict(origin.metrics),
        "notes": dict(origin.notes),
        "versions": _versions(),
    }
    try:
        text = json.dumps(manifest, indent=2)
    except TypeError as error:
        raise ExportError(f"the manifest cannot be written as JSON ({error}); give plain numbers and strings") from None
    (part / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _put_in_place(part: Path, out: Path) -> None:
    """Everything reaches the disk before the name does; an older bundle is moved aside first and removed last."""
    for path in part.rglob("*"):
        if path.is_file():
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
    old = None
    if out.exists():
        old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".old"))
        out.replace(old / "bundle")
    try:
        part.replace(out)
    except OSError:
        if old is not None:
            (old / "bundle").replace(out)
        raise
    finally:
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MANIFEST).is_file():
        raise ExportError(f"{out} exists and is no bundle; choose another path")
    if not overwrite:
        raise ExportError(f"{out} is a bundle already; choose another path or allow it to be overwritten")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ExportError(f"{path}: larger than {MAX_MANIFEST_BYTES} bytes; this is no manifest of hypr export")
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(
            f"{folder}: no bundle here ({MANIFEST}: {error.strerror or error}); give a folder that hypr export wrote"
        ) from None
    except (ValueError, RecursionError):
        raise ExportError(f"{path}: damaged; export the network again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ExportError(f"{path}: no manifest of a bundle; give a folder that hypr export wrote")
    if manifest.get("format_version") != FORMAT_VERSION:
        found = manifest.get("format_version")
        raise ExportError(
            f"{path}: bundle format {found!r} is not {FORMAT_VERSION}, the one known here; export again or update hypr"
        )
    if manifest.get("spec_version") != SPEC_VERSION:
        found = manifest.get("spec_version")
        raise ExportError(
            f"{path}: made for specification version {found!r}, this is {SPEC_VERSION}; export the network again"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not isinstance(manifest.get("program_sha256"), str):
        raise ExportError(f"{path}: 'files' or 'program_sha256' is missing; export the network again")
    return manifest


def _check_file(folder: Path, name: str, entry: Any) -> None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or not isinstance(entry, dict):
        raise ExportError(
            f"{folder / MANIFEST}: '{name}' is no valid entry (files lie inside the bundle); export the network again"
        )
    path = folder / name
    if not path.is_file():
        raise ExportError(f"{path}: missing, though {MANIFEST} lists it; export the network again")
    size = path.stat().st_size
    if size != entry.get("bytes"):
        raise ExportError(
            f"{path}: {size} bytes, {MANIFEST} says {entry.get('bytes')}; damaged or edited, export the network again"
        )
    if file_hash(path) != entry.get("sha256"):
        raise ExportError(f"{path}: SHA-256 differs from {MANIFEST}; damaged or edited, export the network again")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("hypr", "numpy", "nir", "onnx", "onnxruntime"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
