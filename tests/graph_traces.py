"""Compare every engine with stored graph programs and traces: ``python -m tests.graph_traces FOLDER``

The format is that of ``golden/graphs`` (its README): NAME.json and NAME.npz per case. A case with traces must be
accepted and run equal, every spike and state and the decision; a case called ``refused_*`` must be refused. One line
per case; exit 1 on a difference or on a wrong acceptance or refusal, 2 where the folder holds no case. Lava runs the
programs that have a schedule; ``--engines reference,numpy,compiled,torch,onnx,onnx-step,lava`` chooses.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hardware import Program, ProgramError, Trace, classify
from tests.graph_cases import GraphCase, load_cases
from tests.trace_engines import ALL, ENGINES, differences, lava_ready, run_lava


def judge(case: GraphCase, program: Program, traces: dict[str, Trace]) -> tuple[int, list[str]]:
    """Number of integers compared, and a line for every difference."""
    compared, wrong = 0, []
    expected = case.expected()
    for engine, trace in traces.items():
        for key, count, first in differences(trace, expected):
            wrong.append(f"{engine}: {count} of {key} differ, {first}")
        compared += sum(values.size for values in expected.values())
        decided = classify(program, trace.output)
        if not np.array_equal(decided, case.arrays["trace/decision"]):
            wrong.append(f"{engine}: the decision differs")
    return compared, wrong


def check(folder: Path, engines: Sequence[str]) -> int:
    """Exit status; prints a line per case."""
    cases = load_cases(folder)
    if not cases:
        print(f"{folder}: no case here (NAME.json beside NAME.npz)", file=sys.stderr)
        return 2
    failures = compared = scheduled = 0
    programs: dict[str, Program] = {}
    for case in cases:
        try:
            programs[case.name] = case.program()
        except ProgramError as error:
            failures += case.refused is None
            print(f"{case.name}: {'ok, refused' if case.refused else 'WRONGLY REFUSED'}: {error}")
        else:
            if case.refused is not None:
                failures += 1
                del programs[case.name]
                print(f"{case.name}: WRONGLY ACCEPTED, should be refused: {case.refused}")
    running = [case for case in cases if case.name in programs]
    lava = run_lava([(programs[c.name], c.inputs()) for c in running]) if "lava" in engines else [""] * len(running)
    for case, in_lava in zip(running, lava, strict=True):
        program = programs[case.name]
        traces = {name: ENGINES[name](program, case.inputs()) for name in engines if name != "lava"}
        note = ""
        if isinstance(in_lava, Trace):
            traces["lava"] = in_lava
            scheduled += 1
        elif in_lava:
            note = f"; lava: {in_lava}"
        count, wrong = judge(case, program, traces)
        compared += count
        failures += bool(wrong)
        verdict = "DIFFERENT: " + "; ".join(wrong) if wrong else f"ok, {count} integers"
        print(f"{case.name}: {verdict}{note}", flush=True)
    lava_note = f", {scheduled} programs in Lava" if "lava" in engines else ""
    print(f"{len(cases)} cases, {compared} integers on {', '.join(engines)}{lava_note}: {failures} wrong")
    return 1 if failures else 0


def chosen_engines(text: str | None) -> list[str]:
    """Names from ``--engines``, by default all that run here."""
    if text is None:
        return [name for name in ALL if name != "lava" or lava_ready()]
    unknown = [name for name in text.split(",") if name not in ALL]
    if unknown:
        raise SystemExit(f"unknown engine '{unknown[0]}'; engines are {', '.join(ALL)}")
    return text.split(",")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.graph_traces", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engines", help=f"comma-separated, of {', '.join(ALL)}; by default all that run here")
    given = parser.parse_args()
    return check(given.folder, chosen_engines(given.engines))


if __name__ == "__main__":
    sys.exit(main())
