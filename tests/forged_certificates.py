"""Forged certificates, and bundles changed after they were certified."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.forgeries import content, manifest

CERTIFICATE = "certificate.json"


@dataclass(frozen=True)
class FalseProof:
    """One change of a bundle that holds a certificate of equality.

    Attributes:
        name: what was forged. about: what ``hypr certificate check`` must name. change: of the bundle's folder.
    """

    name: str
    about: str
    change: Callable[[Path], None]


def edit(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """A change of the certificate's content."""

    def forge(bundle: Path) -> None:
        proof = json.loads((bundle / CERTIFICATE).read_text())
        change(proof)
        (bundle / CERTIFICATE).write_text(json.dumps(proof))

    return forge


def _first(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda proof: proof["comparisons"][0].update({key: value})


def _all(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(proof: dict[str, Any]) -> None:
        for entry in proof["comparisons"]:
            entry[key] = value

    return change


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(proof: dict[str, Any]) -> None:
        where: Any = proof
        for key in path[:-1]:
            where = where[key]
        where[path[-1]] = value

    return change


def _renamed(proof: dict[str, Any]) -> None:
    proof["comparisons"][0].update(engine="lava", ran_as="lava[dense]")


def _doubled(proof: dict[str, Any]) -> None:
    proof["comparisons"].append(dict(proof["comparisons"][0]))


def _step(bundle: Path) -> None:
    content("integer_step.onnx", lambda old: old + b"\x00\x01")(bundle)


def _lost(bundle: Path) -> None:
    manifest(lambda content: content["files"].pop("quantized.nir"))(bundle)
    (bundle / "quantized.nir").unlink()


FALSE_PROOFS = (
    FalseProof("equal beside 7 differing integers", CERTIFICATE, edit(_first("integers_differing", 7))),
    FalseProof("all integers differ", CERTIFICATE, edit(_all("integers_differing", 5))),
    FalseProof("no comparison at all", CERTIFICATE, edit(_set("comparisons", value=[]))),
    FalseProof("nothing compared", "onnx", edit(_first("integers_compared", 0))),
    FalseProof("more integers than there are", "onnx", edit(_first("integers_compared", 10**9))),
    FalseProof("more samples than were run", "onnx", edit(_first("samples", 10**6))),
    FalseProof("samples that are not in the inputs", CERTIFICATE, edit(_first("sample_ranges", [[0, 10**6]]))),
    FalseProof("one entry twice", CERTIFICATE, edit(_doubled)),
    FalseProof("another engine's name", CERTIFICATE, edit(_renamed)),
    FalseProof(
        "a check that does not hold", CERTIFICATE, edit(_set("checks", "network.nir is this program", value=False))
    ),
    FalseProof("no check any more", "integer_step.onnx", edit(_set("checks", value={}))),
    FalseProof("a failed check called equal", CERTIFICATE, edit(_set("equal", value=False))),
    FalseProof("another program", "manifest.json", edit(_set("program_sha256", value="0" * 64))),
    FalseProof("another specification", CERTIFICATE, edit(_set("spec_version", value="9.9"))),
    FalseProof("another hash of a file", "program.npz", edit(_set("files", "program.npz", value="0" * 64))),
    FalseProof("a file left out", "float_scan.onnx", edit(lambda proof: proof["files"].pop("float_scan.onnx"))),
    FalseProof("a file that is not there", "extra.onnx", edit(_set("files", "extra.onnx", value="0" * 64))),
    FalseProof("another statement", CERTIFICATE, edit(_set("statement", value="Exact on silicon."))),
    FalseProof("other inputs", "digits", edit(_set("inputs", "sha256", value="0" * 64))),
    FalseProof("a layer called silent", CERTIFICATE, edit(_set("silent", value=["hidden0"]))),
    FalseProof("the bundle changed afterwards", "integer_step.onnx", _step),
    FalseProof("the manifest changed afterwards", "manifest.json", manifest(lambda c: c.update(seed=99))),
    FalseProof(
        "the bundle lost a file afterwards",
        "quantized.nir",
        _lost,
    ),
)

DAMAGED: tuple[tuple[str, Callable[[dict[str, Any]], None]], ...] = (
    ("comparisons", _set("comparisons", value={"a": 1})),
    ("integers_differing", _first("integers_differing", "0")),
    ("integers_compared", _first("integers_compared", -5)),
    ("samples", _first("samples", True)),
    ("sample_ranges", _first("sample_ranges", [[3, 1]])),
    ("files", _set("files", value=["program.npz"])),
    ("checks", _set("checks", value={"a": "yes"})),
    ("inputs.shape", _set("inputs", "shape", value=[1, 2])),
    ("host", _set("host", value="here")),
    ("versions", _set("versions", value=3)),
    ("limits", _set("limits", value="none")),
    ("outcome.rates", _set("outcome", "rates", value=[1])),
    ("first_divergence", _first("first_divergence", [1])),
    ("equal", _set("equal", value="true")),
)
"""Entry that is damaged -> how; the message must name the entry."""
