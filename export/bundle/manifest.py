"""The manifest of a bundle: what it says, and whether the files beside it are those it was written for."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from export.errors import ExportError
from export.quantization.findings import recorded_findings
from export.verification.certificate import file_hash
from hardware.program import SPEC_VERSIONS, Program
from hardware.program_file import content_hash

if TYPE_CHECKING:
    from export.interchange.discretise import Reading
    from export.interchange.steps import StepNetwork

FORMAT = "hypr-bundle"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 2**24


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


ENTRIES = frozenset(
    (
        *("format", "format_version", "files", "spec_version", "program_sha256", "decision", "quantization"),
        *("input", "layers", "inputs", "populations", "projections", "outputs"),
        *("reading", "dataset", "seed", "metrics", "notes", "versions"),
    )
)
"""All that a manifest with integers says."""


def write_manifest(part: Path, program: Program, reading: Reading | None, origin: Origin) -> None:
    """Write the manifest of all files that lie in `part`."""
    _write(part, of_program(program), reading, origin)


def of_program(program: Program) -> dict[str, Any]:
    """What a manifest says of the integer network, all of which follows from it."""
    decision = {"rule": program.decision.rule, "ignore_first": program.decision.ignore_first}
    found = {"spec_version": program.spec_version, "program_sha256": content_hash(program), **describe(program)}
    return {**found, "decision": decision, "quantization": recorded_findings(program)}


def difference_of_manifest(manifest: Mapping[str, Any], program: Program) -> str | None:
    """How a manifest differs from what an export of `program` says of it, in a few words; None where it does not."""
    expected = json.loads(json.dumps(of_program(program)))
    if "quantization" not in manifest and expected["quantization"] is None:  # version 0.1 had no such entry
        del expected["quantization"]
    for key, value in expected.items():
        if key not in manifest or json.dumps(manifest[key], sort_keys=True) != json.dumps(value, sort_keys=True):
            return f"its '{key}' is not that of the program"
    unknown = sorted((set(manifest) - ENTRIES) | (set(describe_keys(manifest)) - set(expected)))
    return f"its '{unknown[0]}' is no entry that an export writes" if unknown else None


def describe_keys(manifest: Mapping[str, Any]) -> set[str]:
    """Entries of a manifest that describe the network."""
    return {"input", "layers", "inputs", "populations", "projections", "outputs"} & set(manifest)


def write_float_manifest(part: Path, network: StepNetwork, reading: Reading | None, origin: Origin) -> None:
    """Write the manifest of a bundle without integers."""
    found = {
        "float_only": True,
        "spec_version": None,
        "program_sha256": None,
        "inputs": [{"name": i.name, "size": i.size, "low": i.low, "high": i.high} for i in network.inputs],
        "populations": [{"name": p.name, "model": p.kind, "size": p.size} for p in network.populations],
        "projections": [
            {"name": p.name, "source": p.source, "target": p.target, "kind": p.weights.kind, "delay": p.delay}
            for p in network.projections
        ],
        "outputs": list(network.outputs),
        "decision": dict(network.decision),
    }
    _write(part, found, reading, origin)


def _write(part: Path, network: Mapping[str, Any], reading: Reading | None, origin: Origin) -> None:
    files = sorted(p for p in part.rglob("*") if p.is_file())
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "files": {p.relative_to(part).as_posix(): {"sha256": file_hash(p), "bytes": p.stat().st_size} for p in files},
        **network,
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


def describe(program: Program) -> dict[str, Any]:
    """What a manifest says of the network: input and layers of a chain, else inputs, populations, projections and
    outputs."""
    if program.is_chain:
        return {
            "input": {"size": program.input.size, "low": program.input.low, "high": program.input.high},
            "layers": [{"name": layer.name, "model": layer.model, "size": layer.size} for layer in program.layers],
        }
    inputs = [{"name": item.name, "size": item.size, "low": item.low, "high": item.high} for item in program.inputs]
    populations = [{"name": item.name, "model": item.model, "size": item.size} for item in program.populations]
    projections = [
        {
            "name": item.name,
            "source": item.source,
            "target": item.target,
            "kind": item.synapses.kind,
            "delay": item.delay,
        }
        for item in program.projections
    ]
    named = {"inputs": inputs, "populations": populations, "projections": projections}
    return {**named, "outputs": list(program.outputs)}


def network_of(manifest: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What has neurons, under its own key: ``layers`` of a chain, else ``populations``."""
    key = "layers" if "layers" in manifest else "populations"
    return {key: list(manifest[key])}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle, its format and versions checked.

    Raises:
        ExportError: one line that names the file, what is wrong, and the fix.
    """
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
    files, float_only = manifest.get("files"), manifest.get("float_only") is True
    if not float_only and manifest.get("spec_version") not in SPEC_VERSIONS:
        found = manifest.get("spec_version")
        raise ExportError(
            f"{path}: made for specification version {found!r}, known are {', '.join(SPEC_VERSIONS)}; export again"
        )
    if not isinstance(files, dict) or not (float_only or isinstance(manifest.get("program_sha256"), str)):
        raise ExportError(f"{path}: 'files' or 'program_sha256' is missing; export the network again")
    _check_words(path, manifest)
    return manifest


_WORDS: dict[str, tuple[type, ...]] = {
    "dataset": (dict, type(None)),
    "notes": (dict, type(None)),
    "versions": (dict, type(None)),
    "seed": (int, type(None)),
}
"""What a manifest tells beside the network, and what it may be; bundles of old versions may lack it."""


def _check_words(path: Path, manifest: Mapping[str, Any]) -> None:
    for key, kinds in _WORDS.items():
        if not isinstance(manifest.get(key), kinds):
            raise ExportError(f"{path}: '{key}' is {str(manifest[key])[:40]!r}, which it cannot be; export again")
    options = (manifest.get("dataset") or {}).get("options")
    if not isinstance(options, (dict, type(None))):
        raise ExportError(f"{path}: 'dataset.options' is {str(options)[:40]!r}, which it cannot be; export again")
    training = (manifest.get("notes") or {}).get("training")
    if not isinstance(training, (list, type(None))):
        raise ExportError(f"{path}: 'notes.training' is {str(training)[:40]!r}, which it cannot be; export again")


def refuse_links(folder: Path) -> None:
    """No file of a bundle may be read, or written, somewhere else, nor keep a reader waiting.

    Raises:
        ExportError: a link, a pipe or the like inside it, whether the manifest lists it or not.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink():
                raise ExportError(f"{path}: is a link, which may lead out of the bundle; put the file itself there")
            if not (path.is_file() or path.is_dir()):
                raise ExportError(f"{path}: is neither a file nor a folder; delete it")


def check_file(folder: Path, name: str, entry: Any) -> None:
    """Whether file `name` lies in the bundle and has the size and SHA-256 of its entry in the manifest.

    Raises:
        ExportError: it does not.
    """
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
