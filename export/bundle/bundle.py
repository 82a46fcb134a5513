"""The bundle: one folder with everything that a trained network is deployed and verified from.

``manifest.json`` (versions, hash of each file, data set, metrics), ``program.npz``, ``network.nir`` and
``quantized.nir``, ``integer_scan.onnx``, ``integer_step.onnx``, ``float_scan.onnx`` and ``float_step.onnx``, and
``lava/`` (what a Loihi-style host needs). A bundle appears whole or not at all, and is checked against its manifest
whenever it is opened (:mod:`export.bundle.opened`). Files that are added later (certificates, reports) are not part of
the manifest.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.bundle.manifest import MANIFEST, Origin, write_float_manifest, write_manifest
from export.bundle.names import FLOAT_NIR, FLOAT_SCAN, FLOAT_STEP, LAVA, PROGRAM, QUANTIZED_NIR, SCAN, STEP, TARGETS
from export.bundle.opened import Bundle
from export.errors import ExportError, UnsupportedError
from hardware import aside
from hardware.lava.endings import held
from hardware.own import models_of
from hardware.program import Program
from hardware.program_file import save

if TYPE_CHECKING:
    import nir

    from export.interchange.discretise import Reading
    from export.interchange.steps import StepNetwork

log = logging.getLogger("export")

OLD = ".old"
"""Ending of the folder that holds the bundle of before until the new one is in its place."""

__all__ = ["MANIFEST", "SCAN", "STEP", "TARGETS", "Bundle", "Origin", "write_bundle", "write_float_bundle"]


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
    _sweep(out)
    _check_free(out, overwrite)
    part = aside.name_beside(out)
    try:
        try:
            part.mkdir(mode=0o700)
        except OSError as error:
            raise ExportError(
                f"cannot write {out}: {error.strerror or error}; create the folder above it or choose another path"
            ) from None
        fill(part)
        part.chmod(0o755)
        with held():
            _put_in_place(part, out)
    except OSError as error:
        raise ExportError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        aside.remove(part)
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
        nir_files.write(_without_other_formats(graph, program), part / FLOAT_NIR)
    # others were not quantized here and have no scales
    if quantized is None and "formats" in program.metadata and has_reals(program):
        try:
            quantized = quantized_nir(program, graph)
        except ExportError as error:  # NIR has no words for some exact programs; their integers are in the other files
            log.warning("%s is left out: %s", QUANTIZED_NIR, error)
    if quantized is not None:
        nir_files.write(quantized, part / QUANTIZED_NIR)


def _without_other_formats(graph: nir.NIRGraph, program: Program) -> nir.NIRGraph:
    """The graph without integer formats that it brought along and that the program does not have."""
    from export.quantization.quantize import FORMAT_KEY

    recorded = json.loads(program.metadata.get("formats", "[]"))
    forms = {item.name: text for item, text in zip(program.populations, recorded, strict=False)}
    brought = {name: (node.metadata or {}).get(FORMAT_KEY) for name, node in graph.nodes.items()}
    if all(text is None or text == forms.get(name) for name, text in brought.items()):
        return graph
    nodes = {name: copy.copy(node) for name, node in graph.nodes.items()}
    for node in nodes.values():
        node.metadata = {key: value for key, value in (node.metadata or {}).items() if key != FORMAT_KEY}
    metadata = {key: value for key, value in graph.metadata.items() if key != "spec_version"}
    return type(graph)(nodes=nodes, edges=list(graph.edges), metadata=metadata, type_check=False)


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
        old = aside.name_beside(out, OLD)
        old.mkdir(mode=0o700)
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


def _sweep(out: Path) -> None:
    """Remove what a killed export to ``out`` left. One that was killed between two renames has the bundle of before
    aside: it comes back.
    """
    for left in aside.leftovers(out, OLD):
        if not out.exists() and (left / "bundle").is_dir():
            (left / "bundle").replace(out)
        shutil.rmtree(left, ignore_errors=True)
    aside.sweep(out)


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MANIFEST).is_file():
        raise ExportError(f"{out} exists and is no bundle; choose another path")
    if not overwrite:
        raise ExportError(f"{out} is a bundle already; choose another path or allow it to be overwritten")
