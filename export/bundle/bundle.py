"""The bundle: one folder with everything that a trained network is deployed and verified from.

``manifest.json`` (versions, hash of each file, data set, metrics), ``program.npz``, ``network.nir`` and
``quantized.nir``, ``integer_scan.onnx``, ``integer_step.onnx``, ``float_scan.onnx`` and ``float_step.onnx``, and
``lava/`` (what a Loihi-style host needs). A bundle appears whole or not at all, and is checked against its manifest
whenever it is opened. Files that are added later (certificate, reports) are not part of the manifest.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.bundle.manifest import MANIFEST, Origin, check_file, read_manifest, write_float_manifest, write_manifest
from export.errors import ExportError, UnsupportedError
from export.verification.engines import Engine, Record, Values, get
from hardware.inputs import Inputs
from hardware.lava.assignment import BIASES, CHIP, with_chip_biases
from hardware.own import hashes as hashes_of_own
from hardware.own import models_of
from hardware.program import Program
from hardware.program_file import content_hash, load, save
from hardware.trace import Trace

if TYPE_CHECKING:
    import nir

    from export.interchange.discretise import Reading
    from export.interchange.steps import StepNetwork
    from export.onnx.runtime import OnnxNetwork

TARGETS = ("nir", "onnx", "lava")

PROGRAM = "program.npz"
FLOAT_NIR = "network.nir"
QUANTIZED_NIR = "quantized.nir"
log = logging.getLogger("export")
SCAN = "integer_scan.onnx"
STEP = "integer_step.onnx"
FLOAT_SCAN = "float_scan.onnx"
FLOAT_STEP = "float_step.onnx"
LAVA = "lava"

__all__ = ["MANIFEST", "TARGETS", "Bundle", "Origin", "write_bundle", "write_float_bundle"]


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
        """Open the folder at `path` and check manifest, versions, presence, size and SHA-256 of every file.

        Raises:
            ExportError: one line that names the file, what is wrong, and the fix.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        for name, entry in manifest["files"].items():
            check_file(folder, name, entry)
        if PROGRAM not in manifest["files"] and not manifest.get("float_only"):
            raise ExportError(f"{folder / MANIFEST}: lists no {PROGRAM}; export the network again")
        return cls(folder, manifest)

    @property
    def float_only(self) -> bool:
        """Whether the bundle holds the float network alone."""
        return bool(self.manifest.get("float_only"))

    @functools.cached_property
    def program(self) -> Program:
        """The integer network.

        Raises:
            ProgramError: the file breaks the contract. ExportError: it is not the program that the manifest names, or
                the bundle holds no integers.
        """
        self._refuse_float_only()
        program = load(self.path / PROGRAM)
        if content_hash(program) != self.manifest["program_sha256"]:
            raise ExportError(f"{self.path / PROGRAM}: is not the program that {MANIFEST} names; export it again")
        return program

    def float_network(self) -> StepNetwork:
        """The float network as difference equations, for the float engine; ExportError where the bundle has none."""
        from export.interchange import graph as nir_files
        from export.interchange.discretise import Reading, discretise

        stored = self.manifest.get("reading")
        try:
            if isinstance(stored, dict) and stored.get("input_format") is not None:
                stored = {**stored, "input_format": tuple(stored["input_format"])}
            reading = None if stored is None else Reading(**stored)
        except TypeError:
            raise ExportError(f"{self.path / MANIFEST}: 'reading' is damaged; export the network again") from None
        return discretise(nir_files.read(self.file(FLOAT_NIR)), reading)

    def checks(self) -> dict[str, bool]:
        """Whether every file still means the very Program of the bundle; names are lines for the certificate.

        NIR files are quantized again: the float network in the formats that the Program records, the quantized one in
        its own.
        """
        from export.quantization.quantize import OWN_KEY

        expected = content_hash(self.program)
        hashes: dict[str, Callable[[], str]] = {
            FLOAT_NIR: self._hash_of_float_network,
            QUANTIZED_NIR: self._hash_of_quantized_network,
            SCAN: lambda: _onnx_hash(self.file(SCAN)),
            STEP: lambda: _onnx_hash(self.file(STEP)),
            f"{LAVA}/{PROGRAM}": lambda: content_hash(load(self.file(f"{LAVA}/{PROGRAM}"))),
        }
        recorded = json.loads(self.program.metadata.get(OWN_KEY, "{}"))
        own = {
            f"the integer step of '{name}' is the one that the export recorded": recorded.get(name) == now
            for name, now in hashes_of_own(self.program).items()
        }
        return own | {
            f"{name} is this program": found() == expected for name, found in hashes.items() if self.has(name)
        }

    def _hash_of_float_network(self) -> str:
        from export.quantization.dequantize import requantize

        again = requantize(self.float_network(), self.program)
        return content_hash(with_chip_biases(again) if self.program.metadata.get(BIASES) == CHIP else again)

    def _hash_of_quantized_network(self) -> str:
        from export.interchange import graph as nir_files
        from export.quantization.quantize import quantize

        return content_hash(quantize(nir_files.read(self.file(QUANTIZED_NIR))))

    def _refuse_float_only(self) -> None:
        if self.float_only:
            raise ExportError(
                f"{self.path}: holds no integers, it was imported with --float-only; run it with --engine float, or "
                "import it again without that option"
            )

    def has(self, name: str) -> bool:
        """Whether the bundle contains the file of that name (``integer_scan.onnx``, ``lava/program.npz``)."""
        return name in self.manifest["files"]

    def file(self, name: str) -> Path:
        """Path of the file of that name in the bundle; ExportError where it was not exported."""
        if not self.has(name):
            self._refuse_float_only()
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
    quantized: nir.NIRGraph | None = None,
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
        quantized: graph that gives `program` when quantized again; None: made here, where `program` records its
            formats.
        reading: conventions for a `graph` from elsewhere; kept in the manifest.
        origin: for the manifest.
        overwrite: replace a bundle that is there already (never another kind of folder).

    Raises:
        ExportError: unknown target, folder in the way, a network that a target cannot hold.
    """
    refuse_own(program, to)
    unknown = [target for target in to if target not in TARGETS]
    if unknown:
        raise ExportError(f"unknown export target '{unknown[0]}'; targets are {', '.join(TARGETS)}")

    def fill(part: Path) -> None:
        _fill(part, graph, program, quantized, reading, to)
        write_manifest(part, program, reading, origin or Origin())

    return _written(Path(out), overwrite, fill)


def write_float_bundle(
    graph: nir.NIRGraph,
    network: StepNetwork,
    out: str | os.PathLike[str],
    *,
    reading: Reading | None = None,
    origin: Origin | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle of a network that has no integer form: its NIR file, and its float ONNX files where there are any.

    Args:
        graph: the float network. network: its difference equations.
        reading, origin, overwrite: as of :func:`write_bundle`.

    Raises:
        ExportError: folder in the way.
    """

    def fill(part: Path) -> None:
        from export.interchange import graph as nir_files

        nir_files.write(graph, part / FLOAT_NIR)
        _write_float_onnx(part, network)
        write_float_manifest(part, network, reading, origin or Origin())

    return _written(Path(out), overwrite, fill)


def _written(out: Path, overwrite: bool, fill: Callable[[Path], None]) -> Bundle:
    """The bundle that `fill` writes into an empty folder; it appears whole or not at all."""
    _check_free(out, overwrite)
    try:
        part = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    except OSError as error:
        raise ExportError(
            f"cannot write {out}: {error.strerror or error}; create the folder above it or choose another path"
        ) from None
    try:
        fill(part)
        part.chmod(0o755)
        _put_in_place(part, out)
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Bundle.open(out)


def refuse_own(program: Program, to: Sequence[str]) -> None:
    """Only NIR holds neurons that are not in the specification.

    Raises:
        UnsupportedError: another target is asked for.
    """
    for name in models_of(program):
        for target in to:
            if target in ("onnx", "lava"):
                raise UnsupportedError(
                    f"neuron '{name}' has an integer step of its own, which {target} cannot hold (the step is Python "
                    "code); "
                    "export with --to nir"
                )


def _onnx_hash(path: Path) -> str:
    from export.onnx.runtime import OnnxNetwork

    return OnnxNetwork.open(path).program_sha256


def _open_onnx(path: Path, program: Program) -> OnnxNetwork:
    from export.onnx.runtime import OnnxNetwork

    network = OnnxNetwork.open(path, threads=1)
    if network.program_sha256 != content_hash(program):
        raise ExportError(f"{path}: was made from another program than {PROGRAM}; export the network again")
    return network


def _run_onnx(path: Path, form: str, program: Program, inputs: Inputs, record: Record) -> Trace:
    network = _open_onnx(path, program)
    if network.form != form:
        raise ExportError(f"{path}: holds the '{network.form}' form, expected '{form}'; export the network again")
    return network.run(inputs, record)


def _step_onnx(path: Path, program: Program, inputs: Inputs, previous: Values) -> Values:
    return _open_onnx(path, program).step(inputs, previous)


def _fill(
    part: Path,
    graph: nir.NIRGraph | None,
    program: Program,
    quantized: nir.NIRGraph | None,
    reading: Reading | None,
    to: Sequence[str],
) -> None:
    save(program, part / PROGRAM)
    if "nir" in to:
        _write_nir(part, graph, program, quantized)
    if "onnx" in to:
        _write_onnx(part, graph, program, reading)
    if "lava" in to:
        from export.bundle import lava

        lava.write(program, part / LAVA)


def _write_nir(part: Path, graph: nir.NIRGraph | None, program: Program, quantized: nir.NIRGraph | None) -> None:
    from export.interchange import graph as nir_files
    from export.quantization.dequantize import has_reals, quantized_nir

    if graph is not None:
        nir_files.write(graph, part / FLOAT_NIR)
    # others were not quantized here and have no scales
    if quantized is None and "formats" in program.metadata and has_reals(program):
        try:
            quantized = quantized_nir(program, graph)
        except ExportError as error:  # NIR has no words for some exact programs; their integers are in the other files
            log.warning("%s is left out: %s", QUANTIZED_NIR, error)
    if quantized is not None:
        nir_files.write(quantized, part / QUANTIZED_NIR)


def _write_onnx(part: Path, graph: nir.NIRGraph | None, program: Program, reading: Reading | None) -> None:
    from export.interchange.discretise import discretise
    from export.onnx.model_file import export_onnx

    export_onnx(program, part / SCAN, "scan")
    export_onnx(program, part / STEP, "step")
    if graph is not None:
        _write_float_onnx(part, discretise(graph, reading))


def _write_float_onnx(part: Path, network: StepNetwork) -> None:
    from export.onnx.floating import export_float_onnx, has_float_graph

    if has_float_graph(network):
        export_float_onnx(network, part / FLOAT_SCAN, "scan")
        export_float_onnx(network, part / FLOAT_STEP, "step")


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
