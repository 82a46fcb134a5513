"""Compare imported networks with the outputs of the tools that wrote them: ``python -m tests.tool_networks FOLDER``

The format is that of ``cases/tools`` (its README): NAME.nir and NAME.npz per case, with ``expected.json`` naming the
tool, its layers, the preset and the options. A case is read with these first. Where that is refused, or gives another
output, it is read again with what the layer kinds say that the tool did and a file cannot say. One line per case:
``exact`` (in brackets the options that were needed beyond those named), ``DIFFERS``, or ``refused`` with the reason.
Silently wrong is an output that differs where no refusal and no warning named an option that would have changed it;
exit 1 on any, 2 where the folder holds no case. ``--integers`` quantizes each network too, calibrated with its own
inputs, and compares the engines integer by integer.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
import numpy as np

from export import quantize, read
from export.errors import ExportError
from export.interchange import float_engine
from export.interchange.discretise import discretise
from export.interchange.presets import reading_of
from export.interchange.reading import Reading
from export.verification.engines import get
from export.verification.verify import verify
from tests.tool_page import Row
from tests.tool_page import page as page_of

INTEGER_ENGINES = ("reference", "emulator", "onnx")

MEMBRANE_TOLERANCE = 1e-4
"""Of the largest membrane: the tools compute in float32, this engine in float64."""


@dataclass(frozen=True)
class Outcome:
    """What one reading gave: ``exact``, ``differs`` or ``refused``, in words, and the warnings on the way."""

    verdict: str
    detail: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A network file, its inputs and the tool's own output."""

    name: str
    folder: Path
    expected: Mapping[str, Any]
    graph: nir.NIRGraph | None = field(default=None)

    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{self.name}.npz") as file:
            return {key: file[key] for key in file}

    def reading(self, more: Mapping[str, Any]) -> Reading:
        return reading_of(self.expected["preset"], **{**self.expected["options"], **more})


def load_cases(folder: Path) -> list[Case]:
    """The cases that ``expected.json`` lists."""
    index = folder / "expected.json"
    if not index.is_file():
        return []
    return [Case(name, folder, entry) for name, entry in json.loads(index.read_text()).items()]


def compare(case: Case, more: Mapping[str, Any]) -> Outcome:
    """Run a case in float, with options beyond those that it names."""
    arrays = case.arrays()
    try:
        network = discretise(read(case.folder / f"{case.name}.nir"), case.reading(more))
        output = float_engine.run(network, arrays["input_spikes"]).output
    except ExportError as error:
        return Outcome("refused", str(error))
    if "output_spikes" in arrays:
        wanted = arrays["output_spikes"]
        wrong = int((output != wanted).sum())
    else:
        wanted = arrays["output_membrane"]
        limit = MEMBRANE_TOLERANCE * max(1.0, float(np.abs(wanted).max()))
        wrong = int((np.abs(output - wanted) > limit).sum())
    if wrong == 0:
        return Outcome("exact", warnings=network.warnings)
    return Outcome("differs", f"{wrong} of {wanted.size} values", network.warnings)


def told(case: Case) -> dict[str, Any]:
    """Conventions that follow from the kinds of layers, per layer where they differ."""
    kinds = case.expected["kinds"]
    tool = case.expected["tool"].split()[0]
    listed = [kinds] if isinstance(kinds, str) else list(kinds)
    found = [_conventions(tool, kind) for kind in listed]
    if all(item == found[0] for item in found):
        return found[0]
    names = [p.name for p in _populations(case)]
    if len(names) != len(found):
        return found[0]
    return {"layers": dict(zip(names, found, strict=True))}


def _populations(case: Case) -> Sequence[Any]:
    """Neurons of a case in order, read with any conventions: names do not depend on them."""
    every = {"spikes": "single", "scheme": "exponential", "synapse_gain": "w_in"}
    return discretise(read(case.folder / f"{case.name}.nir"), case.reading(every)).populations


def _conventions(tool: str, kind: str) -> dict[str, Any]:
    if tool == "sinabs":
        many = "multi" in kind or "default" in kind
        scaled = "norm" in kind or "default" in kind
        scheme = "exponential" if scaled else "exponential_unit_gain"
        return {"spikes": "multi" if many else "single", "scheme": scheme}
    if tool == "norse" and "LIFCell" in kind:
        return {"synapse_gain": "w_in"}
    if tool == "norse" and "CubaLIF" in kind:
        return {"synapse_gain": "w_in_dt"}
    if tool == "spikingjelly":
        return {"start": "v_reset"}
    return {}


def judge(case: Case) -> tuple[str, str, dict[str, Any]]:
    """``exact``, ``differs``, ``refused`` or ``silent``; the line that says so; the options of the last reading."""
    named = compare(case, {})
    if named.verdict == "exact":
        return "exact", "exact", {}
    more = {} if not (more := told(case)) else more
    again = compare(case, more) if more else named
    options = json.dumps(more) if more else ""
    asked = named.verdict == "refused" or _warned(named, more)
    if again.verdict == "exact":
        line = f"exact (with {options}; without: {named.verdict}: {named.detail})"
        return ("exact", line, more) if asked else ("silent", f"SILENTLY WRONG without {options}: {named.detail}", more)
    if again.verdict == "differs":
        return "silent", f"DIFFERS {again.detail}, and no option is known that changes it", more
    return "refused", f"refused: {again.detail}", more


def _warned(outcome: Outcome, more: Mapping[str, Any]) -> bool:
    """Whether a warning names an option that makes the difference."""
    keys = set(more) - {"layers"} | {key for own in more.get("layers", {}).values() for key in own}
    flags = [f"--{key.replace('_', '-')}" for key in keys]
    return any(flag in warning for flag in flags for warning in outcome.warnings)


def integers(case: Case, more: Mapping[str, Any]) -> tuple[str, str]:
    """``equal``, ``unequal`` or ``refused``, and the words for it."""
    inputs = case.arrays()["input_spikes"]
    try:
        graph = read(case.folder / f"{case.name}.nir")
        program = quantize(graph, calibration=inputs.transpose(1, 0, 2), reading=case.reading(more))
    except ExportError as error:
        return "refused", f"refused: {error}"
    result = verify(program, inputs, [get(name) for name in INTEGER_ENGINES])
    return ("equal", f"equal on {', '.join(INTEGER_ENGINES)}") if result.equal else ("unequal", "ENGINES DIFFER")


def check(folder: Path, with_integers: bool, page: Path | None = None) -> int:
    """Exit status; prints a line per case and the totals, and writes the page of the documentation."""
    cases = load_cases(folder)
    if not cases:
        print(f"{folder}: no case here (expected.json beside NAME.nir and NAME.npz)", file=sys.stderr)
        return 2
    floats: Counter[str] = Counter()
    engines: Counter[str] = Counter()
    rows: list[Row] = []
    for case in cases:
        verdict, line, more = judge(case)
        floats[verdict] += 1
        found, words = integers(case, more) if with_integers else ("", "")
        if with_integers:
            engines[found] += 1
            line = f"{line}; integers {words}"
        rows.append(row_of(case, verdict, more, found, words))
        print(f"{case.name}: {line}", flush=True)
    print(
        f"{len(cases)} networks: exact {floats['exact']}, refused {floats['refused']}, silently wrong "
        f"{floats['silent']}"
    )
    if with_integers:
        print(f"integers: equal {engines['equal']}, refused {engines['refused']}, unequal {engines['unequal']}")
    if page is not None:
        page.write_text(page_of(rows))
    return 1 if floats["silent"] or engines["unequal"] else 0


def row_of(case: Case, verdict: str, more: Mapping[str, Any], found: str, words: str) -> Row:
    """A case as a row of the page."""
    kinds = case.expected["kinds"]
    own = {**case.expected["options"], **more}
    own |= {key: value for layer in own.pop("layers", {}).values() for key, value in layer.items()}
    flags = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in sorted(own.items()) if key != "dt")
    reason = re.sub(r"(layer|node) \S+: ", "", words.removeprefix("refused: "))
    named = kinds if isinstance(kinds, str) else ", ".join(kinds)
    return Row(case.expected["tool"], named, case.expected["preset"], verdict, flags, found, reason)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tool_networks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--integers", action="store_true", help="quantize too and compare the engines")
    parser.add_argument("--page", type=Path, help="with --integers: write the page of the documentation")
    chosen = parser.parse_args(arguments)
    if chosen.page and not chosen.integers:
        parser.error("--page shows integers, too; give --integers")
    return check(chosen.folder, chosen.integers, chosen.page)


if __name__ == "__main__":
    sys.exit(main())
