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
from export.verification.form import check_form
from export.verification.result import PairResult, VerificationResult, describe
from export.verification.verdict import verdict_of

FORMAT = "hypr-certificate"
FORMAT_VERSION = 1

LIMITS = (
    "Equality holds for the samples and steps listed; other inputs were not run.",
    "Lava means the CPU backend of lava-nc 0.10; no neuromorphic hardware took part.",
    "Accuracy of the integer network against the float network is a separate measurement.",
    "What the manifest tells of training (seed, versions, notes) does not follow from the files and was not checked.",
)
WITHOUT_ORACLE = "The scalar oracle did not run: nothing ties the baseline to the specification on these samples."
OWN_ENGINES = (
    "Engines of the user's own ran in the same process; the certificate names them and the hash of their source."
)
MAX_BYTES = 2**26


def certificate(
    result: VerificationResult,
    files: Mapping[str, str | os.PathLike[str]] | None = None,
    inputs_name: str | None = None,
    checks: Mapping[str, bool] | None = None,
    *,
    reasons: Mapping[str, str] | None = None,
    not_compared: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The certificate as plain data.

    Args:
        files: name -> path of every file that took part (program, graphs, inputs); their SHA-256 is recorded.
        inputs_name: where the inputs came from (data set and split, or file).
        checks: further named checks and whether they held (for example that the NIR file gives this very program).
        reasons: check that does not hold -> why. not_compared: file -> why nothing is known about it.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "equal": False,
        "statement": "",
        "limits": _limits(result),
        "mode": "teacher_forced" if result.teacher_forced else "free_running",
        "spec_version": result.spec_version,
        "program_sha256": result.program_sha256,
        "inputs": _inputs(result, inputs_name),
        "files": {name: file_hash(path) for name, path in (files or {}).items()},
        "comparisons": [_comparison(pair) for pair in result.pairs],
        "silent": list(result.silent),
        "own_engines": {name: dict(about) for name, about in result.own_engines.items()},
        "checks": dict(checks or {}),
        "reasons": dict(reasons or {}),
        "not_compared": dict(not_compared or {}),
        "versions": {
            "hypr": own_version(),
            "python": platform.python_version(),
            **{k: dict(v) for k, v in result.versions.items()},
        },
        "host": {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()},
        "seconds": round(result.seconds, 3),
    }
    found = verdict_of(content)
    return {**content, "equal": found.equal, "statement": found.statement}


def _limits(result: VerificationResult) -> list[str]:
    oracle = "reference" in {name for pair in result.pairs for name in (pair.engine, pair.baseline)}
    more = [] if oracle else [WITHOUT_ORACLE]
    return [*LIMITS, *more, *([OWN_ENGINES] if result.own_engines else [])]


def write_certificate(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write what :func:`certificate` returned; the file appears whole or not at all."""
    text = json.dumps(content, indent=2) + "\n"

    def write(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def read_certificate(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A certificate that :func:`write_certificate` wrote.

    Raises:
        ExportError: not readable, not a certificate, of a newer format, or with an entry that is missing or of another
            type.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ExportError(f"{path}: larger than {MAX_BYTES} bytes; this is no certificate of hypr verify")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except ExportError:
        raise
    except (ValueError, RecursionError):
        raise ExportError(f"{path}: damaged or no JSON file; verify again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ExportError(f"{path}: no certificate of hypr verify; give certificate.json of a bundle")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise ExportError(
            f"{path}: certificate format {version} is not {FORMAT_VERSION}, the one known here; verify again"
        )
    try:
        check_form(content)
    except ExportError as error:
        raise ExportError(f"{path}: damaged ({error}); verify again") from None
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
        "spikes_by_layer": dict(pair.spikes_by_layer),
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
