"""What a report tells of a bundle's certificates: the verdict is computed from the entries, and only for a bundle whose
files are still those that were certified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from export.bundle.bundle import Bundle
from export.bundle.certified import changed_files, gaps
from export.bundle.names import CERTIFICATE, PARTIAL
from export.verification.certificate import read_certificate
from export.verification.verdict import Verdict, verdict_of
from hypr.report.page import Cell, Part, Table

MOST_CLASSES_SHOWN = 20


@dataclass(frozen=True)
class Proof:
    """A certificate beside the bundle that it lies in.

    Attributes:
        name: of its file. content: checked in form only. verdict: of its entries.
        wrong: file -> how the bundle is not the one that was verified.
    """

    name: str
    content: Mapping[str, Any]
    verdict: Verdict
    wrong: Mapping[str, str] = field(default_factory=dict)

    @property
    def about_this(self) -> bool:
        """Whether it may be believed about this bundle."""
        return not self.wrong and not self.verdict.contradictions


def proofs(bundle: Bundle) -> list[Proof]:
    """The certificates in a bundle, the full one first.

    Raises:
        ExportError: one of them is damaged.
    """
    found = []
    for name in (CERTIFICATE, PARTIAL):
        if (bundle.path / name).exists():
            content = read_certificate(bundle.path / name)
            found.append(
                Proof(name, content, verdict_of(content), changed_files(bundle, content) | gaps(bundle, content))
            )
    return found


def headline(found: list[Proof]) -> tuple[str, str, str] | None:
    """Word, sentence and mood for the top of the page; the worst certificate speaks."""
    if not found:
        return None
    for proof in found:
        if proof.wrong:
            text = "; ".join(f"{name}: {how}" for name, how in list(proof.wrong.items())[:5])
            return (
                "Not verified",
                f"{proof.name} is not about this bundle as it is now ({text}). Verify again.",
                "bad",
            )
        if proof.verdict.contradictions:
            text = "; ".join(proof.verdict.contradictions[:5])
            return ("Not verified", f"{proof.name} contradicts itself: {text}. Verify again.", "bad")
    worst = next((proof for proof in found if not proof.verdict.equal), found[0])
    return _of_verdict(worst.verdict, worst.name)


def _of_verdict(verdict: Verdict, name: str) -> tuple[str, str, str]:
    where = "" if name == CERTIFICATE else f" ({name})"
    if verdict.differing:
        text = f"{verdict.differing:,} of {verdict.compared:,} compared integers differ{where}; "
        return ("Different", f"{text}the first difference is named below.", "bad")
    if verdict.failed:
        text = f"No integer differs, but this does not hold{where}: {'; '.join(verdict.failed)}."
        return ("Not this program", text, "bad")
    text = f"0 of {verdict.compared:,} compared integers differ between {', '.join(verdict.engines)}."
    if verdict.silent:
        silent = ", ".join(verdict.silent)
        return ("Bit-exact, but silent", f"{text} {silent} fired no spike: equality proves little there.", "bad")
    return ("Bit-exact", text, "good")


def verification(found: list[Proof], folder: object) -> list[Part]:
    """A section for each certificate."""
    if not found:
        text = f"Not verified yet: run 'hypr verify {folder}', then write this report again."
        return [Part("Verification", text)]
    return [_section(proof) for proof in found]


def _section(proof: Proof) -> Part:
    content, verdict = proof.content, proof.verdict
    tables = [_comparisons(content)]
    divergences = _divergences(content)
    tables += [] if divergences is None else [divergences]
    reasons = content.get("reasons", {})
    checks: list[tuple[str, str | Cell]] = [
        (name, Cell("holds", "good") if held else Cell(f"does not hold: {reasons.get(name, '')}".rstrip(": "), "bad"))
        for name, held in content["checks"].items()
    ]
    checks += [(name, f"not compared: {why}") for name, why in content.get("not_compared", {}).items()]
    if checks:
        tables.append(Table(("exported file", "check"), checks))
    own = [
        (name, str(about.get("place", "")), ", ".join(f"{m} {h}" for m, h in (about.get("sources") or {}).items()))
        for name, about in content.get("own_engines", {}).items()
        if isinstance(about.get("sources"), Mapping)
    ]
    if own:
        tables.append(Table(("engine of the user's own", "object", "sha256 of its source"), own))
    inputs = content["inputs"]
    shape = " x ".join(map(str, inputs["shape"]))
    text = (
        f"Outputs, spikes and every state of every neuron at every step, {content['mode'].replace('_', '-')}, "
        f"on {inputs['name']} (steps x sequences x channels: {shape})."
    )
    doubts = [f"{name}: {how}" for name, how in proof.wrong.items()]
    doubts += [f"{proof.name} contradicts itself: {line}" for line in verdict.contradictions]
    statement = [verdict.statement] if proof.about_this else ["This certificate proves nothing about this bundle."]
    title = "Verification" if proof.name == CERTIFICATE else f"Verification ({proof.name})"
    return Part(title, text, tables, notes=[*doubts, *statement, *content["limits"]])


def _comparisons(content: Mapping[str, Any]) -> Table:
    rows = []
    for entry in content["comparisons"]:
        differing, spikes = entry["integers_differing"], entry["spikes"]
        rows.append(
            (
                entry["ran_as"],
                entry["against"],
                f"{entry['samples']:,}",
                f"{entry['steps']:,}",
                f"{entry['integers_compared']:,}",
                Cell(f"{differing:,}", "bad" if differing else "good"),
                f"{spikes:,}" if spikes else Cell("none", "bad"),
                f"{entry['seconds']:.2f} s",
            )
        )
    columns = ("engine", "against", "sequences", "steps", "integers", "differing", "spikes", "time")
    return Table(columns, rows, right=(2, 3, 4, 5, 6, 7))


def _divergences(content: Mapping[str, Any]) -> Table | None:
    found = [(entry, entry["first_divergence"]) for entry in content["comparisons"] if entry["first_divergence"]]
    cells = [
        (
            e["engine"],
            d["layer"],
            str(d["step"]),
            str(d["sample"]),
            str(d["neuron"]),
            d["state"],
            f"{d['value_against']:,}",
            f"{d['value_engine']:,}",
            d["clause"],
        )
        for e, d in found
    ]
    names = ("engine", "layer", "step", "sample", "neuron", "state", "expected", "found", "clause")
    return Table(names, cells, right=(2, 3, 4, 6, 7)) if cells else None


def outcome(found: Mapping[str, Any], confusion: bool = True) -> Part:
    """Decisions on the sequences of the verification, and what of the network is silent; ``confusion``: with the table
    of labels and decisions."""
    tables = []
    counts = found.get("confusion") if confusion else None
    if counts and len(counts) <= MOST_CLASSES_SHOWN:
        names = [str(index) for index in range(len(counts))]
        rows = [(name, *map(str, row)) for name, row in zip(names, counts, strict=True)]
        tables.append(Table(("label \\ decision", *names), rows, right=tuple(range(1, len(names) + 1))))
    rates = [(name, f"{rate:.4f}") for name, rate in found.get("rates", {}).items()]
    tables.append(Table(("layer", "spikes per neuron and step"), rates, right=(1,)))
    score = found.get("accuracy")
    what = "R2" if found.get("metric") == "r2" else "accuracy"
    text = (
        "The sequences carry no labels."
        if score is None
        else f"{what} {100 * score:.2f} % of {found['decisions']:,} decisions."
    )
    return Part("What it decided", text, tables, notes=[f"Warning: {line}" for line in found.get("warnings", ())])
