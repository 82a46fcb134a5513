"""The page "which tool's networks come in and go out exactly", made from what :mod:`tests.tool_networks` found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from export.interchange.tool_nodes import IMPORTERS, REFUSED, Importer


@dataclass(frozen=True)
class Row:
    """What became of one network.

    Attributes:
        tool: name and version. kinds: its layers. preset: with which it was read. verdict: of the float network.
        options: that were needed beyond those named. integers: ``equal`` or ``refused``, and ``reason`` why.
    """

    tool: str
    kinds: str
    preset: str
    verdict: str
    options: str
    integers: str
    reason: str


HEAD = """# Which tool's networks come in and go out exactly

Made by `python -m tests.tool_networks FOLDER --integers --page docs/reference/tools.md` from a run over \
networks that the tools themselves wrote, with their own outputs. Exact means: every spike of every step, and \
membranes of readouts to the rounding of float32.

## In

`hypr import FILE.nir --preset PRESET ...`, `hypr run FILE.nir ...`. "Option" is what the file does not say and \
the preset alone does not either; without it the import asks, or warns.

| tool | layers | preset | networks | exact in float | option | integers equal on every engine |
|---|---|---|---|---|---|---|
"""

OUT = """
## Out

`hypr export RUN|BUNDLE|FILE.nir --for TOOL --out FILE.nir`, `export.nir_for`. What the named version's importer \
would read otherwise is refused with the reason; a network is a chain of layers there.

| tool | neurons and resets | spikes | recurrent layers | readout (LI) | step of the file | read it with |
|---|---|---|---|---|---|---|
"""

LIVE = """
The tools themselves are run by `make test-slow` (`tests/interop`): random networks that they make come in, \
random networks of ours go out, and each side's spikes are compared with the other's. No difference is allowed.
"""

_NEURONS = {"lif": "LIF", "cuba_lif": "CubaLIF"}


def page(rows: Iterable[Row]) -> str:
    """The page, in Markdown."""
    return HEAD + _inward(list(rows)) + OUT + _outward() + LIVE


def _inward(rows: list[Row]) -> str:
    lines, reasons = [], Counter[str]()
    for key in sorted({(row.tool, row.kinds, row.preset, row.options) for row in rows}):
        group = [row for row in rows if (row.tool, row.kinds, row.preset, row.options) == key]
        exact = sum(row.verdict == "exact" for row in group)
        equal = sum(row.integers == "equal" for row in group)
        reasons.update(row.reason for row in group if row.integers == "refused")
        cells = (key[0], key[1], f"`{key[2]}`", len(group), exact, f"`{key[3]}`" if key[3] else "", equal)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    total = len(rows)
    exact, equal = (
        sum(test) for test in zip(*((r.verdict == "exact", r.integers == "equal") for r in rows), strict=True)
    )
    lines.append(f"| **all** | | | **{total}** | **{exact}** | | **{equal}** |")
    refused = "".join(f"* {count} of them: {reason}\n" for reason, count in sorted(reasons.items()))
    return "\n".join(lines) + "\n" + (f"\nNo integers, and said so:\n\n{refused}" if refused else "")


def _outward() -> str:
    lines = [_tool(importer) for importer in IMPORTERS.values()]
    lines += [f"| {name.capitalize()} | none | | | | | refused: {why} |" for name, why in REFUSED.items()]
    return "\n".join(lines) + "\n"


def _tool(importer: Importer) -> str:
    resets = "; ".join(
        f"{_NEURONS[kind]}: {', '.join(f'{reset} ({timing})' for reset, timing in pairs)}"
        for kind, pairs in importer.resets.items()
    )
    spikes = "several per step, v >= theta" if importer.several else "one, v > theta"
    step = f"{importer.dt:g}" if importer.dt else "the network's"
    cells = (
        f"{importer.tool} {importer.version}",
        resets,
        spikes,
        f"refused: {importer.recurrent}" if importer.recurrent else "yes",
        "yes" if importer.readout else "refused: it reads none",
        step,
        f"`{importer.call.format(dt='DT', options='')}`",
    )
    return "| " + " | ".join(cells) + " |"
