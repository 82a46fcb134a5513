"""A verification of a bundle run again: the same engines on the same inputs, and what its certificate says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export.bundle.bundle import Bundle
from export.bundle.certified import Statement
from export.errors import ExportError
from export.verification.certificate import certificate
from export.verification.engines import RESERVED
from export.verification.inputs import inputs_hash
from export.verification.verify import Progress
from hypr.deployment.arrays import Sequences, read_sequences, sequences_of
from hypr.deployment.deploy import verify_bundle
from hypr.deployment.sources import bundle_data
from hypr.errors import HyprError

_COMPARED = ("samples", "sample_ranges", "steps", "integers_compared", "integers_differing", "spikes")


def certified_inputs(
    bundle: Bundle, content: Mapping[str, Any], data: str | None = None, inputs: Path | None = None
) -> Sequences:
    """The inputs that a certificate is about.

    Args:
        data, inputs: as of ``hypr verify``; None: the data of the bundle.

    Raises:
        HyprError: they cannot be found, or are others.
    """
    found = _sequences(bundle, content, data, inputs)
    if inputs_hash(found.values) != content["inputs"]["sha256"]:
        raise HyprError(
            f"{found.name}: other inputs than those of the certificate ({content['inputs']['name']}, sha256 "
            f"{content['inputs']['sha256'][:16]}...); give those with --inputs FILE.npz or --data NAME"
        )
    return found


def _sequences(bundle: Bundle, content: Mapping[str, Any], data: str | None, inputs: Path | None) -> Sequences:
    """As many as the certificate counts."""
    count = int(content["inputs"]["shape"][1])
    if inputs is not None:
        return read_sequences(inputs).first(count)
    whole = bundle_data(bundle, name=data)
    return sequences_of(whole if count >= len(whole) else whole.subset(slice(0, count)))


def inputs_statement(
    bundle: Bundle, content: Mapping[str, Any], data: str | None = None, inputs: Path | None = None
) -> Statement:
    """Whether the inputs are those of the certificate; None where they cannot be found."""
    name = str(content["inputs"]["name"] or "inputs")
    try:
        found = _sequences(bundle, content, data, inputs)
    except (HyprError, ExportError, OSError) as error:
        return Statement(name, f"inputs: {' '.join(str(error).split())}", None)
    if inputs_hash(found.values) == content["inputs"]["sha256"]:
        return Statement(name, "inputs: the very values that were run", True)
    if data is None and inputs is None and found.name != name:
        return Statement(name, "inputs: not those of the bundle's data; give --inputs FILE.npz or --data NAME", None)
    return Statement(name, f"inputs: {found.name} has other values", False)


def rerun(
    bundle: Bundle,
    content: Mapping[str, Any],
    data: Sequences,
    own: Sequence[str] = (),
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[Statement]:
    """Run what a certificate says was run, and compare what came of it.

    Args:
        data: of :func:`certified_inputs`.
        own: engines of the user's own that may be imported, ``module:object``.

    Raises:
        HyprError: the certificate names an engine of somebody's own that is not in `own`.
    """
    entries = {entry["engine"]: entry for entry in content["comparisons"]}
    for name in entries:
        if name not in RESERVED and name not in own:
            raise HyprError(
                f"the certificate names '{name}', code that only a file names; name it too: --engines {name}"
            )
    result = verify_bundle(
        bundle,
        data.values,
        list(entries),
        teacher_forced=content["mode"] == "teacher_forced",
        sample_limits={name: entry["samples"] for name, entry in entries.items()} | _without_oracle(entries),
        jobs=jobs,
        progress=progress,
    )
    again = certificate(result)
    found = {entry["engine"]: entry for entry in again["comparisons"]}
    return [_statement(entry, found.get(name)) for name, entry in entries.items()]


def _without_oracle(entries: Mapping[str, Any]) -> dict[str, int]:
    return {} if "reference" in entries else {"reference": 0}


def _statement(entry: Mapping[str, Any], again: Mapping[str, Any] | None) -> Statement:
    name = str(entry["engine"])
    if again is None:
        return Statement(name, "run again: it is the baseline itself", None)
    other = [key for key in _COMPARED if entry[key] != again[key]]
    if other:
        return Statement(
            name, f"run again: {other[0]} is {again[other[0]]}, the certificate says {entry[other[0]]}", False
        )
    text = f"run again: {again['integers_differing']:,} of {again['integers_compared']:,} integers differ"
    return Statement(name, text, again["integers_differing"] == 0)
