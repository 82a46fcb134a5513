"""Load and save a :class:`hardware.program.Program` as one ``.npz`` file, without pickle.

The file is a zip archive of ``.npy`` members plus ``header.npy``, the bytes of a JSON object (format version, names,
shifts, options, metadata and the SHA-256 of the content). Equal programs give byte-equal files. A file is untrusted:
sizes, names, types, shapes, ranges and the hash are checked.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from hardware.aside import write_whole
from hardware.chain import InputFormat, Layer, Synapses
from hardware.errors import ProgramError
from hardware.npy import parse_header
from hardware.populations import Decision, Input, Population, Projection
from hardware.program import SPEC_VERSIONS, Program
from hardware.synapses import Connections, Convolution, Dense, Sparse

FORMAT = "hypr-program"
FORMAT_VERSION = 2
"""Newest version of the file; a program of specification 1.0 is written as version 1, which older readers know."""

MAX_FILE_BYTES = 2**30
MAX_HEADER_BYTES = 2**22
MAX_ITEMS = 4096
_EPOCH = (1980, 1, 1, 0, 0, 0)


def content_hash(program: Program) -> str:
    """SHA-256 (64 hexadecimal digits) over everything of ``program`` that an engine reads: integers, models, options
    and names; not metadata.
    """
    return program.content_hash


def save(program: Program, path: str | os.PathLike[str]) -> str:
    """Write the program to ``path``; the file appears whole or not at all. Returns the content hash.

    Raises:
        ProgramError: if the folder cannot be written.
    """
    description, arrays = program.description
    digest = program.content_hash
    header = {
        "format": FORMAT,
        "format_version": 1 if program.spec_version == "1.0" else FORMAT_VERSION,
        "content_sha256": digest,
        "program": description,
        "metadata": dict(program.metadata),
    }
    text = json.dumps(header, sort_keys=True, indent=1).encode()
    if len(text) > MAX_HEADER_BYTES:
        raise ProgramError(
            f"metadata is too large: header of {len(text)} bytes, the limit is {MAX_HEADER_BYTES}; shorten the metadata"
        )
    members = {"header": np.frombuffer(text, dtype=np.uint8), **arrays}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in members.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content.getvalue())
    write_atomically(Path(path), buffer.getvalue())
    return digest


def load(path: str | os.PathLike[str]) -> Program:
    """Read and check the program at ``path``.

    Raises:
        ProgramError: file missing, truncated, edited, too large, of a newer version, or breaking the contract; one
            line.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ProgramError(f"{path}: {size} bytes, the limit is {MAX_FILE_BYTES}; this is no Program file")
        with zipfile.ZipFile(path) as archive:
            members = _read_members(archive)
        header = _read_header(members.pop("header", None))
        program = _build(header, members)
    except ProgramError as error:
        message = str(error)
        raise ProgramError(message if message.startswith(str(path)) else f"{path}: {message}") from None
    except OSError as error:
        raise ProgramError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ProgramError(f"{path}: damaged or truncated ({error}); export the network again") from None
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise ProgramError(f"{path}: not a valid Program file ({reason}); export the network again") from None
    if content_hash(program) != header.get("content_sha256"):
        raise ProgramError(
            f"{path}: content does not match its SHA-256, the file was edited or damaged; export the network again"
        )
    return program


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name in the same folder, flush to disk, rename.

    Raises:
        ProgramError: if the folder does not exist or cannot be written.
    """
    try:
        write_whole(path, lambda part: part.write_bytes(content))
    except OSError as error:
        raise ProgramError(f"{path}: cannot be written ({error.strerror or error}); check the folder") from None


def _read_members(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    infos = archive.infolist()
    if len(infos) > 16 * MAX_ITEMS:
        raise ProgramError(f"{len(infos)} members, the limit is {16 * MAX_ITEMS}; this is no Program file")
    total = sum(info.file_size for info in infos)
    if total > MAX_FILE_BYTES:
        raise ProgramError(f"unpacks to {total} bytes, the limit is {MAX_FILE_BYTES}; this is no Program file")
    members: dict[str, np.ndarray] = {}
    for info in infos:
        name = info.filename[:-4] if info.filename.endswith(".npy") else info.filename
        if name in members:
            raise ProgramError(f"member '{name}' occurs twice; export the network again")
        limit = MAX_HEADER_BYTES + 1024 if name == "header" else MAX_FILE_BYTES
        with archive.open(info) as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise ProgramError(f"member '{name}' is larger than {limit} bytes; this is no Program file")
        members[name] = _parse_array(name, content)
    return members


def _parse_array(name: str, content: bytes) -> np.ndarray:
    """Parse one ``.npy`` member; its size must be exactly what its own header says, so that a false shape allocates
    nothing."""
    try:
        dtype, fortran, shape, start = parse_header(content)
    except ValueError as error:
        raise ProgramError(f"member '{name}': {error}; export the network again") from None
    if content[6:8] != b"\x01\x00":
        raise ProgramError(f"member '{name}' has an unknown array version; export the network again")
    if dtype not in (np.dtype(np.int8), np.dtype("<i4"), np.dtype(np.uint8)) or fortran or len(shape) > 4:
        raise ProgramError(
            f"member '{name}' must be a row-major int8 or int32 array of one to four dimensions, got {dtype} {shape}"
        )
    count = 1
    for length in shape:
        count *= length
    body = content[start:]
    if count * dtype.itemsize != len(body):
        raise ProgramError(
            f"member '{name}' holds {len(body)} bytes, its shape {shape} needs {count * dtype.itemsize}; "
            f"export the network again"
        )
    return np.frombuffer(body, dtype=dtype).reshape(shape)


def _read_header(array: np.ndarray | None) -> dict[str, Any]:
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        raise ProgramError("no Program header in this file; give a file that hypr export wrote")
    header = json.loads(array.tobytes().decode("utf-8"))
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ProgramError("the header is not that of a Program; give a file that hypr export wrote")
    version = header.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ProgramError(f"format version {version!r} is not a positive int; export the network again")
    if version > FORMAT_VERSION:
        raise ProgramError(
            f"format version {version} is newer than {FORMAT_VERSION}, the newest that is known here; update hypr"
        )
    return header


def _build(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Program:
    description, unused = header["program"], dict(arrays)
    build = _build_chain if header["format_version"] == 1 else _build_graph
    multiplier = unused.pop("decision.multiplier", None)
    program = build(description, unused, Decision(**description["decision"], multiplier=multiplier), header["metadata"])
    if unused:
        raise ProgramError(f"unknown member '{sorted(unused)[0]}'; export the network again")
    return program


def _build_chain(
    description: dict[str, Any], unused: dict[str, np.ndarray], decision: Decision, metadata: dict[str, str]
) -> Program:
    """A file of specification 1.0."""
    _check_version(description, ("1.0",))
    _check_count(description["layers"], "layers")
    layers = []
    for index, item in enumerate(description["layers"]):
        prefix = f"layer{index}"
        recurrent = None
        if item["recurrent"] is not None:
            recurrent = Synapses(unused.pop(f"{prefix}.recurrent"), **item["recurrent"])
        layers.append(
            Layer(
                name=item["name"],
                model=item["model"],
                input=Synapses(unused.pop(f"{prefix}.input"), **item["input"]),
                recurrent=recurrent,
                bias=unused.pop(f"{prefix}.bias"),
                parameters=_take(unused, f"{prefix}.parameter."),
                shifts=item["shifts"],
                options=item["options"],
                coefficient_bits=item["coefficient_bits"],
            )
        )
    return Program.chain(layers, InputFormat(**description["input"]), decision, metadata)


def _build_graph(
    description: dict[str, Any], unused: dict[str, np.ndarray], decision: Decision, metadata: dict[str, str]
) -> Program:
    _check_version(description, SPEC_VERSIONS)
    for name in ("inputs", "populations", "projections"):
        _check_count(description[name], name)
    inputs = []
    for item in description["inputs"]:
        shape: Any = tuple(item["shape"])
        inputs.append(Input(item["name"], shape, item["low"], item["high"]))
    populations = [
        Population(
            name=item["name"],
            size=tuple(item["shape"]),  # type: ignore[arg-type]
            model=item["model"],
            bias=unused.pop(f"population{index}.bias"),
            parameters=_take(unused, f"population{index}.parameter."),
            shifts=item["shifts"],
            options=item["options"],
            coefficient_bits=item["coefficient_bits"],
            initial=_take(unused, f"population{index}.initial."),
        )
        for index, item in enumerate(description["populations"])
    ]
    projections = [
        Projection(
            item["name"],
            item["source"],
            item["target"],
            _synapses(item, _take(unused, f"projection{index}.")),
            item["exponent"],
            item["delay"],
        )
        for index, item in enumerate(description["projections"])
    ]
    return Program(
        tuple(inputs), tuple(populations), tuple(projections), tuple(description["outputs"]), decision, metadata
    )


def _synapses(item: dict[str, Any], arrays: dict[str, np.ndarray]) -> Connections:
    kind, bits = item["kind"], item["weight_bits"]
    if kind == "dense":
        return Dense(**arrays, weight_bits=bits)
    if kind == "sparse":
        return Sparse(**arrays, weight_bits=bits, shape=tuple(item["shape"]))
    if kind != "convolution":
        raise ProgramError(f"projection '{item['name']}': unknown kind {kind!r}; kinds are dense, sparse, convolution")
    parts: dict[str, Any] = dict(arrays)
    for name in ("stride", "padding", "dilation", "in_shape", "out_shape"):
        parts[name] = tuple(item[name])
    return Convolution(**parts, groups=item["groups"], weight_bits=bits)


def _take(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Remove and return the members that begin with a prefix, under the rest of their names."""
    return {name[len(prefix) :]: arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}


def _check_version(description: dict[str, Any], known: tuple[str, ...]) -> None:
    found = description["spec_version"]
    if found not in known:
        raise ProgramError(
            f"specification version {found!r} is none of {', '.join(known)}, which these engines implement; update "
            f"hypr or export the network again"
        )


def _check_count(items: list[Any], what: str) -> None:
    if len(items) > MAX_ITEMS:
        raise ProgramError(f"{len(items)} {what}, the limit is {MAX_ITEMS}")
