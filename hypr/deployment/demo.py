"""The whole way on real data in a few minutes: train, quantize, export, run every engine, verify bit by bit, report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from export.bundle.bundle import Bundle
from export.bundle.certified import certify
from export.verification.certificate import write_certificate
from export.verification.engines import Engine, Record
from export.verification.verify import PairResult, VerificationResult, verify
from hardware import emulate
from hardware.program import Program
from hardware.trace import Trace
from hypr.cli.progress import TrainingProgress
from hypr.data import SequenceDataset
from hypr.deployment.claims import examined
from hypr.deployment.deploy import Exported, bundle_data, export_run
from hypr.deployment.evaluation import float_accuracy, integer_accuracy, time_major
from hypr.training import config
from hypr.training.runs import open_run
from hypr.training.train import train

RECIPE = "digits-brf"
ENGINES = ("onnx", "onnx-step", "lava", "reference")
SAMPLE_LIMITS = {"lava": 64, "reference": 8, "onnx-step": 64}
"""Sequences that the slow engines run, spread over the test part; the others run all of it."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One line of the closing table.

    Attributes:
        engine: as it ran. what: one phrase. sequences: how many of the test part.
        accuracy: on those sequences, and that of the emulator on the same ones.
        compared, differing: integers, against the emulator; None where nothing is compared.
        seconds: of the engine.
    """

    engine: str
    what: str
    sequences: int
    accuracy: float | None
    emulator_accuracy: float | None = None
    compared: int | None = None
    differing: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class DemoResult:
    """What the demo found; all paths exist."""

    folder: Path
    run: Path
    bundle: Path
    certificate: Path
    report: Path
    rows: tuple[Row, ...]
    equal: bool
    missing: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)


class _Steps:
    """Announces each step and keeps how long it took."""

    def __init__(self, say: Say, total: int) -> None:
        self._say, self._total, self.seconds = say, total, dict[str, float]()

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        started = time.perf_counter()
        self._say(f"[{len(self.seconds) + 1}/{self._total}] {what}")
        yield
        self.seconds[name] = time.perf_counter() - started


def demo(folder: Path, say: Say, training: TrainingProgress | None = None) -> DemoResult:
    """Do everything; what an earlier call finished in the same folder (training) is used again.

    Args:
        folder: for the run, the bundle and the report.
        say: told one line per step.
        training: progress of the training step.
    """
    from hypr.report.content import page_of
    from hypr.report.page import write

    run_path, bundle_path, report = folder / "run", folder / "bundle", folder / "report.html"
    steps = _Steps(say, 4)
    with steps.step("training", f"training '{RECIPE}' with hybrid propagation"):
        train(config.load(RECIPE), run_path, resume=run_path.exists(), progress=training)
    with steps.step("export", "quantizing and writing NIR, ONNX and Lava files"):
        done = export_run(open_run(run_path), bundle_path, overwrite=True)
    bundle, test = done.bundle, bundle_data(done.bundle)
    with steps.step("verification", "running every engine on the same inputs and comparing every integer"):
        missing = {name: problem for name in ENGINES if (problem := bundle.engine(name).problem()) is not None}
        result, outputs = _verify(bundle, time_major(test), tuple(name for name in ENGINES if name not in missing))
        proof = certify(bundle, result, f"{test.name}, test part", examined(bundle))
        write_certificate(proof, bundle_path / "certificate.json")
    with steps.step("report", "writing the report"):
        rows = _rows(done, test, result, outputs)
        write(page_of(bundle_path), report)
    return DemoResult(
        folder=folder,
        run=run_path,
        bundle=bundle_path,
        certificate=bundle_path / "certificate.json",
        report=report,
        rows=rows,
        equal=bool(proof["equal"]),
        missing=missing,
        seconds=steps.seconds,
    )


def _verify(
    bundle: Bundle, inputs: np.ndarray, names: tuple[str, ...]
) -> tuple[VerificationResult, dict[str, np.ndarray]]:
    """Verification, and what each engine answered, (T, samples it ran, N_out)."""
    heard: dict[str, list[np.ndarray]] = {}
    engines = [_overheard(bundle.engine(name), heard) for name in names]
    result = verify(bundle.program, inputs, engines, sample_limits=SAMPLE_LIMITS)
    return result, {name: np.concatenate(parts, axis=1) for name, parts in heard.items()}


def _overheard(engine: Engine, heard: dict[str, list[np.ndarray]]) -> Engine:
    """The same engine, whose outputs are also kept, in the order of the samples."""

    def run(program: Program, inputs: np.ndarray, record: Record) -> Trace:
        trace = engine.run(program, inputs, record)
        heard.setdefault(engine.name, []).append(trace.output)
        return trace

    return dataclasses.replace(engine, run=run)


def _rows(
    done: Exported, test: SequenceDataset, result: VerificationResult, outputs: dict[str, np.ndarray]
) -> tuple[Row, ...]:
    from export.interchange import float_engine

    bundle, inputs = done.bundle, time_major(test)
    program = bundle.program
    network = bundle.float_network()
    started = time.perf_counter()
    real = float_engine.run(network, inputs).output
    nir_seconds = time.perf_counter() - started
    started = time.perf_counter()
    whole = emulate(program, inputs).output
    emulator_seconds = time.perf_counter() - started
    rows = [
        Row("torch", "float, as trained", len(test), done.float_accuracy),
        Row(
            "float",
            "float, read back from NIR",
            len(test),
            float_accuracy(network.decision, real, test),
            seconds=nir_seconds,
        ),
        Row(
            "emulator",
            "integers: the baseline",
            len(test),
            integer_accuracy(program, whole, test),
            seconds=emulator_seconds,
        ),
    ]
    return (*rows, *(_row(program, test, whole, pair, outputs[pair.engine]) for pair in result.pairs))


_WHAT = {
    "onnx": "integers: ONNX Runtime, Scan graph",
    "onnx-step": "integers: ONNX Runtime, step graph",
    "lava": "integers: Lava processes",
    "reference": "integers: scalar oracle",
}


def _row(program: Program, test: SequenceDataset, emulated: np.ndarray, pair: PairResult, output: np.ndarray) -> Row:
    chosen = list(pair.samples)
    part = test.subset(np.array(chosen))
    return Row(
        engine=pair.ran_as,
        what=_WHAT.get(pair.engine, "integers"),
        sequences=len(chosen),
        accuracy=integer_accuracy(program, output, part),
        emulator_accuracy=integer_accuracy(program, emulated[:, chosen], part),
        compared=pair.compared,
        differing=pair.differing,
        seconds=pair.seconds,
    )


def as_json(result: DemoResult) -> dict[str, Any]:
    """The result as plain data."""
    return dataclasses.asdict(result)
