"""The certificate of a verification: what was compared, on what, with which versions, and what it does not say. Plain
JSON, versioned."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from export.errors import ExportError
from export.files import own_version, write_atomically
from export.verification.verify import PairResult, VerificationResult, describe

FORMAT = "hypr-certificate"
FORMAT_VERSION = 1

STATEMENT_EQUAL = (
    "All integers compared are equal: outputs, spikes and every state of every neuron at every step of the samples "
    "listed. The engines are exact to the fixed-point specification named here and, where Lava is listed, to the "
    "fixed-point models of Lava 0.10's CPU backend; silicon was not checked."
)
STATEMENT_DIFFERENT = (
    "At least one integer differs: the engines listed with differences do not run the program that was exported."
)
LIMITS = (
    "Equality holds for the samples and steps listed; other inputs were not run.",
    "Lava means the CPU backend of lava-nc 0.10; no neuromorphic hardware took part.",
    "Accuracy of the integer network against the float network is a separate measurement.",
)


def certificate(
    result: VerificationResult,
    files: Mapping[str, str | os.PathLike[str]] | None = None,
    inputs_name: str | None = None,
    checks: Mapping[str, bool] | None = None,
) -> dict[str, Any]:
    """The certificate as plain data.

    Args:
        files: name -> path of every file that took part (program, graphs, inputs); their SHA-256 is recorded.
        inputs_name: where the inputs came from (data set and split, or file).
        checks: further named checks and whether they held (for example that the NIR file gives this very program).
    """
    checks = dict(checks or {})
    equal = result.equal and all(checks.values())
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "equal": equal,
        "statement": STATEMENT_EQUAL if equal else STATEMENT_DIFFERENT,
        "limits": list(LIMITS),
        "mode": "teacher_forced" if result.teacher_forced else "free_running",
        "spec_version": result.spec_version,
        "program_sha256": result.program_sha256,
        "inputs": _inputs(result, inputs_name),
        "files": {name: file_hash(path) for name, path in (files or {}).items()},
        "comparisons": [_comparison(pair) for pair in result.pairs],
        "checks": checks,
        "versions": {
            "hypr": own_version(),
            "python": platform.python_version(),
            **{k: dict(v) for k, v in result.versions.items()},
        },
        "host": {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "seconds": round(result.seconds, 3),
    }


def write_certificate(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write what :func:`certificate` returned; the file appears whole or not at all."""
    text = json.dumps(content, indent=2) + "\n"

    def write(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def read_certificate(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A certificate that :func:`write_certificate` wrote.

    Raises:
        ExportError: not readable, not a certificate, or of a newer format.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except ValueError:
        raise ExportError(f"{path}: damaged or no JSON file; verify again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ExportError(f"{path}: no certificate of hypr verify; give certificate.json of a bundle")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise ExportError(
            f"{path}: certificate format {version} is not {FORMAT_VERSION}, the one known here; verify again"
        )
    return content


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes."""
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None


def _inputs(result: VerificationResult, name: str | None) -> dict[str, Any]:
    said: dict[str, Any] = {"name": name, "sha256": result.inputs_sha256, "shape": list(result.inputs_shape)}
    if result.inputs_shapes:
        said["shapes"] = {key: list(shape) for key, shape in result.inputs_shapes.items()}
    return said


def _comparison(pair: PairResult) -> dict[str, Any]:
    d = pair.first_divergence
    return {
        "engine": pair.engine,
        "ran_as": pair.ran_as,
        "against": pair.baseline,
        "samples": len(pair.samples),
        "sample_ranges": _ranges(pair.samples),
        "steps": pair.steps,
        "integers_compared": pair.compared,
        "integers_differing": pair.differing,
        "spikes": pair.spikes,
        "saturated": dict(pair.saturated),
        "seconds": round(pair.seconds, 3),
        "against_seconds": round(pair.baseline_seconds, 3),
        "first_divergence": None
        if d is None
        else {
            "layer": d.layer,
            "step": int(d.step),
            "sample": int(d.sample),
            "neuron": int(d.neuron),
            "state": d.state,
            "value_against": int(d.value_a),
            "value_engine": int(d.value_b),
            "clause": d.clause,
            "text": describe(pair),
        },
    }


def _ranges(samples: tuple[int, ...]) -> list[list[int]]:
    """Sorted indices as [first, last] runs."""
    runs: list[list[int]] = []
    for sample in samples:
        if runs and sample == runs[-1][1] + 1:
            runs[-1][1] = sample
        else:
            runs.append([sample, sample])
    return runs
