"""ONNX files: writing the integer graph of a Program, and reading one from anywhere.

What a file from elsewhere may hold is decided in :mod:`export.onnx.foreign`.
"""

from __future__ import annotations

import os
from pathlib import Path

import onnx

from export.errors import ExportError
from export.files import write_atomically
from export.onnx import foreign, forms, integer
from hardware.program import SPEC_VERSIONS, Program

MAX_FILE_BYTES = 2**30


def export_onnx(program: Program, path: str | os.PathLike[str], form: str = "scan") -> None:
    """Write the integer graph (opset 21); the file appears whole or not at all.

    Args:
        program: any valid Program.
        path: file to write.
        form: ``scan``: ``x (T, B, N_in) -> output, spikes/<population>, <state>/<population>`` for all steps, states
            starting at the program's initial values; or ``step``: ``x (B, N_in)`` and ``previous/<name>`` of every
            spike and state ``-> output`` and every new one. Several inputs are called ``x/<input>``. What delays need
            is ``history/<source>``, the last steps of a source, (steps, B, N), oldest first.

    Raises:
        ExportError: unknown form, or the folder cannot be written.
    """
    write_model(model(program, form), path)


def model(program: Program, form: str = "scan") -> onnx.ModelProto:
    """The ONNX model of ``program``, checked by ONNX's checker and shape inference; forms as in
    :func:`export_onnx`."""
    return forms.build(integer.recurrence(program), form, "integer", integer.metadata(program))


def write_model(graph: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model; equal models give equal files."""
    content = graph.SerializeToString(deterministic=True)

    def write(part: Path) -> None:
        part.write_bytes(content)

    write_atomically(path, write)


def load(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Read an integer graph that :func:`export_onnx` wrote.

    Raises:
        ExportError: not readable, damaged, holds what :func:`export_onnx` never writes, or made for another
            specification version.
    """
    path = Path(path)
    _, loaded = parsed(path)
    properties = {item.key: item.value for item in loaded.metadata_props}
    if properties.get("hypr.arithmetic") != "integer":
        raise ExportError(
            f"{path}: no integer graph of hypr export (its metadata says so); give integer_scan.onnx of a bundle"
        )
    if properties.get("hypr.spec_version") not in SPEC_VERSIONS:
        found = properties.get("hypr.spec_version")
        raise ExportError(
            f"{path}: made for specification version {found}, known are {', '.join(SPEC_VERSIONS)}; export again"
        )
    try:
        foreign.refuse_foreign_parts(loaded)
        onnx.checker.check_model(loaded, full_check=True)
        foreign.refuse_huge_tensors(loaded)
    except ExportError as error:
        raise ExportError(f"{path}: {' '.join(str(error).split())}; export the network again") from None
    except Exception as error:
        raise ExportError(f"{path}: not a valid ONNX graph ({first_line(error)}); export the network again") from None
    return loaded


def first_line(error: Exception) -> str:
    """Beginning of an error's message, without line breaks."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def parsed(path: Path) -> tuple[bytes, onnx.ModelProto]:
    """Bytes of a file and what they say, of which nothing was checked.

    Raises:
        ExportError: not readable, too large, no ONNX file.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ExportError(
                f"{path}: {size} bytes, the limit is {MAX_FILE_BYTES}; this is no integer graph of hypr export"
            )
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    try:
        return content, onnx.ModelProto.FromString(content)
    except Exception:  # protobuf has a class of its own for this
        raise ExportError(f"{path}: damaged or not an ONNX file; export the network again") from None
