"""The certificate of a bundle: made, put in its place, and later asked whether it is still about this bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.bundle.checks import Findings
from export.bundle.manifest import MANIFEST
from export.bundle.names import CERTIFICATE, PARTIAL
from export.bundle.opened import Bundle
from export.errors import ExportError
from export.verification.certificate import certificate, file_hash, read_certificate
from export.verification.guarded import sizes
from export.verification.result import VerificationResult
from export.verification.verdict import verdict_of


@dataclass(frozen=True)
class Statement:
    """One line of :func:`statements`: what a certificate says of ``about`` (a file, an engine), and whether that is so.

    ``held`` is None where nobody can tell.
    """

    about: str
    text: str
    held: bool | None


def certify(
    bundle: Bundle, result: VerificationResult, inputs_name: str | None, findings: Findings | None = None
) -> dict[str, Any]:
    """The certificate of a verification of a bundle, with hashes of all its files and of its manifest.

    Args:
        findings: those of the bundle, perhaps with more; None: made here.
    """
    found = bundle.findings() if findings is None else findings
    files = {**bundle.files(), MANIFEST: bundle.path / MANIFEST}
    return certificate(result, files, inputs_name, found.held, reasons=found.reasons, not_compared=found.not_compared)


def place_of(bundle: Bundle, content: Mapping[str, Any]) -> Path:
    """Where a new certificate goes: beside an older one that is about this bundle and covers more than the new one, and
    in its place otherwise."""
    standing = bundle.path / CERTIFICATE
    try:
        older = read_certificate(standing)
    except ExportError:
        return standing
    about_this = not changed_files(bundle, older)
    return bundle.path / PARTIAL if about_this and _covers_more(older, content) else standing


def _covers_more(older: Mapping[str, Any], newer: Mapping[str, Any]) -> bool:
    """Whether one certificate has an engine, samples or a way of running that the other lacks."""

    def covered(content: Mapping[str, Any]) -> dict[str, int]:
        return {entry["engine"]: entry["samples"] for entry in content["comparisons"]}

    new = covered(newer)
    return older["mode"] != newer["mode"] or any(new.get(name, 0) < count for name, count in covered(older).items())


def changed_files(bundle: Bundle, content: Mapping[str, Any]) -> dict[str, str]:
    """File of the bundle -> how it is not the one that a certificate is about.

    The manifest counts where the certificate has its hash; those of version 0.1 do not.
    """
    found = {}
    if content["program_sha256"] != bundle.manifest["program_sha256"]:
        found[MANIFEST] = "it names another program"
    elif content["spec_version"] != bundle.manifest["spec_version"]:
        found[MANIFEST] = "it names another version of the specification"
    recorded, present = content["files"], {**bundle.files(), MANIFEST: bundle.path / MANIFEST}
    for name in sorted(set(recorded) | set(present)):
        if name not in present:
            found[name] = "the bundle does not have it any more"
        elif name not in recorded:
            if name != MANIFEST or "not_compared" in content:
                found[name] = "the certificate does not know it"
        elif file_hash(present[name]) != recorded[name]:
            found[name] = "it has changed since"
    return found


def gaps(bundle: Bundle, content: Mapping[str, Any]) -> dict[str, str]:
    """Engine or file -> how a certificate says other things of it than a verification of this bundle can have found,
    without running or comparing anything again."""
    each, found = sum(sizes(bundle.program).values()), {}
    for entry in content["comparisons"]:
        if entry["integers_compared"] != entry["samples"] * entry["steps"] * each:
            found[entry["engine"]] = "it counts other integers than this program has"
    if "not_compared" in content:  # version 0.1 did not look at every file
        for name in bundle.files():
            if name not in content["not_compared"] and not any(
                line.startswith(f"{name} ") for line in content["checks"]
            ):
                found[name] = "the certificate has no check of it"
    return found


def statements(bundle: Bundle, content: Mapping[str, Any]) -> list[Statement]:
    """Everything that a certificate says and that can be looked up in the bundle without running an engine."""
    verdict = verdict_of(content)
    lines = [Statement("certificate", line, False) for line in verdict.contradictions]
    lines.append(Statement("certificate", verdict.line, verdict.equal))
    program = bundle.program
    same = content["spec_version"] == program.spec_version
    lines.append(Statement("certificate", f"specification {content['spec_version']}", same))
    changed = changed_files(bundle, content)
    for name in sorted(set(content["files"]) | set(bundle.files()) | {MANIFEST}):
        known = name in content["files"] or name in changed
        text = changed.get(name, "as it was when it was certified" if known else "version 0.1 certified no manifest")
        lines.append(Statement(name, text, name not in changed if known else None))
    for entry in content["comparisons"]:
        expected = entry["samples"] * entry["steps"] * sum(sizes(program).values())
        text = f"{entry['integers_compared']:,} integers compared on {entry['samples']:,} samples"
        right = expected == entry["integers_compared"]
        lines.append(Statement(entry["engine"], text if right else f"{text}, there are {expected:,}", right))
    for name, about in content.get("own_engines", {}).items():
        lines.append(Statement(name, f"an engine of the user's own, {about.get('place', '?')}: not looked at", None))
    found = bundle.findings()
    lines += [_of_check(check, reason) for check, reason in found.failed.items()]
    lines += [Statement(name, f"not compared: {why}", None) for name, why in found.not_compared.items()]
    missing = sorted(set(found.held) - set(content["checks"])) if "not_compared" in content else []
    lines += [Statement(check.partition(" ")[0], f"the certificate has no check '{check}'", False) for check in missing]
    return lines


def _of_check(check: str, reason: str) -> Statement:
    return Statement(check.partition(" ")[0], f"NOT SO: {check} ({reason})", False)
