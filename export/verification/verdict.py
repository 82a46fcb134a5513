"""What a certificate proves, computed from its entries and from nothing that it says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STATEMENT_EQUAL = (
    "All integers compared are equal: outputs, spikes and every state of every neuron at every step of the samples "
    "listed. The engines are exact to the fixed-point specification named here and, where Lava is listed, to the "
    "fixed-point models of Lava 0.10's CPU backend; silicon was not checked."
)
STATEMENT_DIFFERENT = (
    "At least one integer differs: the engines listed with differences do not run the program that was exported."
)
STATEMENT_FILES = "No integer differs, but not every file is what the program gives: {files}."
STATEMENT_SILENT = (
    " No spike was fired by {layers} on these inputs: what is equal there are zeros and resting states, which proves "
    "little."
)


@dataclass(frozen=True)
class Verdict:
    """What the entries of a certificate amount to.

    Attributes:
        compared, differing: integers over all entries.
        engines: names, sorted.
        failed: checks of files that do not hold.
        silent: layers that fired no spike.
        contradictions: what the certificate says and its entries do not, a line each.
    """

    compared: int
    differing: int
    engines: tuple[str, ...]
    failed: tuple[str, ...]
    silent: tuple[str, ...]
    contradictions: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether integers were compared, all of them are equal, and every check of a file holds."""
        return self.compared > 0 and self.differing == 0 and not self.failed

    @property
    def statement(self) -> str:
        """In words, with what silence takes from it."""
        if self.differing or not self.compared:
            return STATEMENT_DIFFERENT if self.differing else "Nothing was compared."
        silent = STATEMENT_SILENT.format(layers=", ".join(self.silent)) if self.silent else ""
        return (STATEMENT_FILES.format(files="; ".join(self.failed)) if self.failed else STATEMENT_EQUAL) + silent

    @property
    def line(self) -> str:
        """For people, on one line."""
        if not self.compared:
            return "NOTHING COMPARED: no entry compares any integer"
        if self.differing:
            return f"DIFFERENT: {self.differing:,} of {self.compared:,} integers differ"
        if self.failed:
            return f"NOT THIS PROGRAM: no integer differs, but this does not hold: {'; '.join(self.failed)}"
        text = f"EQUAL: all {self.compared:,} integers agree"
        if not self.silent:
            return text
        return f"{text}; {', '.join(self.silent)} fired no spike on these inputs, so equality proves little there"


def verdict_of(content: Mapping[str, Any]) -> Verdict:
    """The verdict of a certificate of the right form (:mod:`export.verification.form`)."""
    entries = content["comparisons"]
    engines = {entry["engine"] for entry in entries} | {entry["against"] for entry in entries}
    failed = tuple(name for name, held in content["checks"].items() if not held)
    found = Verdict(
        compared=sum(entry["integers_compared"] for entry in entries),
        differing=sum(entry["integers_differing"] for entry in entries),
        engines=tuple(sorted(engines)),
        failed=failed,
        silent=silent_layers(entries),
    )
    lines = tuple(_contradictions(content, found))
    return Verdict(found.compared, found.differing, found.engines, failed, found.silent, lines)


def silent_layers(entries: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """Layers that could spike and did not in any entry; certificates of version 0.1 count all layers together."""
    counts: dict[str, int] = {}
    for entry in entries:
        for name, count in entry.get("spikes_by_layer", {"all layers": entry["spikes"]}).items():
            counts[name] = counts.get(name, 0) + count
    return tuple(name for name, count in counts.items() if count == 0)


def _contradictions(content: Mapping[str, Any], found: Verdict) -> list[str]:
    lines = []
    if not content["comparisons"]:
        lines.append("it lists no comparison")
    if content["equal"] != found.equal:
        lines.append(f"it says 'equal': {str(content['equal']).lower()}, its entries say otherwise")
    if "silent" in content and tuple(content["silent"]) != found.silent:
        lines.append("it names other silent layers than its entries")
    if content["statement"] != found.statement and "not_compared" in content:  # version 0.1 had other words
        lines.append("its statement is not what its entries say")
    names = [entry["engine"] for entry in content["comparisons"]]
    lines += [f"{name}: it is listed twice" for name in sorted({name for name in names if names.count(name) > 1})]
    lines += [f"{name}: nothing says which version of it ran" for name in names if name not in content["versions"]]
    steps, batch = content["inputs"]["shape"][:2]
    for entry in content["comparisons"]:
        name, listed = entry["engine"], [range(first, last + 1) for first, last in entry["sample_ranges"]]
        if sum(map(len, listed)) != entry["samples"] or len({s for part in listed for s in part}) != entry["samples"]:
            lines.append(f"{name}: {entry['samples']} samples are not those that it lists")
        if any(not 0 <= sample < batch for part in listed for sample in (part[:1] or part[-1:])):
            lines.append(f"{name}: it lists samples that the inputs do not have")
        if entry["steps"] != steps:
            lines.append(f"{name}: {entry['steps']} steps, the inputs have {steps}")
        if not entry["integers_compared"]:
            lines.append(f"{name}: no integer was compared")
        if entry["integers_differing"] > entry["integers_compared"]:
            lines.append(f"{name}: more integers differ than were compared")
        if bool(entry["integers_differing"]) != (entry["first_divergence"] is not None):
            lines.append(f"{name}: differing integers and a first difference do not go together")
    return lines
