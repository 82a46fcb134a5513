"""A bundle that was opened: its manifest, program, files and engines."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.bundle.checks import Findings, examine
from export.bundle.manifest import MANIFEST, check_file, read_manifest, refuse_links
from export.bundle.names import FLOAT_NIR, PROGRAM, SCAN, STEP
from export.errors import ExportError
from export.verification.engines import Engine, Record, Values, get
from hardware.inputs import Inputs
from hardware.program import Program
from hardware.program_file import content_hash, load
from hardware.trace import Trace

if TYPE_CHECKING:
    from export.interchange.discretise import Reading
    from export.interchange.steps import StepNetwork
    from export.onnx.runtime import OnnxNetwork


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
        refuse_links(folder)
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

    @property
    def reading(self) -> Reading | None:
        """How ``network.nir`` is to be read; ExportError where the manifest's word about it is damaged."""
        from export.interchange.discretise import Reading

        stored = self.manifest.get("reading")
        try:
            if isinstance(stored, dict) and stored.get("input_format") is not None:
                stored = {**stored, "input_format": tuple(stored["input_format"])}
            return None if stored is None else Reading(**stored)
        except TypeError:
            raise ExportError(f"{self.path / MANIFEST}: 'reading' is damaged; export the network again") from None

    def float_network(self) -> StepNetwork:
        """The float network as difference equations, for the float engine; ExportError where the bundle has none."""
        from export.interchange import graph as nir_files
        from export.interchange.discretise import discretise

        reading = self.reading
        return discretise(nir_files.read(self.file(FLOAT_NIR)), reading)

    def findings(self) -> Findings:
        """What became of the question whether every file still means the very Program of the bundle; each is made
        again from the Program, or from the float network, and compared (:mod:`export.bundle.checks`).
        """
        return examine(self)

    def checks(self) -> dict[str, bool]:
        """Those of :meth:`findings` that are yes or no; names are lines for the certificate."""
        return dict(self.findings().held)

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
