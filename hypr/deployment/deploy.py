"""From a trained run to a verified deployment: export, run one engine, verify all.

What the command line and the demo share.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from export import QuantizationSettings, Reading, discretise, quantize, read, to_nir
from export.bundle.bundle import TARGETS, Bundle, Origin, write_bundle, write_float_bundle
from export.errors import ExportError
from export.interchange.conventions import conventions_of
from export.interchange.presets import reading_of
from export.interchange.steps import StepNetwork
from export.quantization.formats import OF_VERSION_01
from export.quantization.quantize import FORMAT_KEY
from export.quantization.staircase import staircase
from export.verification import engines
from export.verification.agreement import agreement, lines
from export.verification.certificate import file_hash
from export.verification.engines import Engine
from export.verification.inputs import of_each
from export.verification.parts import run_in_parts
from export.verification.verify import Progress, VerificationResult, verify
from hardware import emulate
from hardware.inputs import Inputs
from hardware.models import STATE_BITS
from hardware.own import models_of
from hardware.program import Program
from hardware.ranges import UNBOUNDED, analyse
from hardware.trace import Trace
from hypr import extensions
from hypr.data import SequenceDataset
from hypr.deployment.arrays import InputFiles, sequences_of
from hypr.deployment.evaluation import integer_accuracy, outputs_of
from hypr.deployment.outcome import of_program
from hypr.deployment.sources import bundle_data, describe
from hypr.training.runs import Run

TIME_STEP_S = 1e-3
"""Seconds per step that NIR files name, unless told otherwise; the integers do not depend on it."""

CALIBRATION_SAMPLES = 64

AGREEMENT_SEQUENCES = 256


@dataclass(frozen=True)
class Exported:
    """What an export gave.

    Attributes:
        bundle: the folder, opened and checked.
        float_accuracy: on the test part, a fraction; None where training has not come to its end or ran on integers.
        integer_accuracy: likewise, of the integer network.
        ranges: see :func:`state_ranges`, with what some test sequences show.
        warnings: silent or saturated layers, and the like.
    """

    bundle: Bundle
    float_accuracy: float | None
    integer_accuracy: float | None
    ranges: list[dict[str, Any]]
    warnings: tuple[str, ...] = ()


def export_run(
    run: Run,
    out: Path,
    *,
    to: Sequence[str] = TARGETS,
    dt_s: float = TIME_STEP_S,
    overwrite: bool = False,
    **settings: Any,
) -> Exported:
    """Quantize a trained network and write its bundle.

    Args:
        run: a trained run.
        out: folder of the bundle.
        to: targets, of ``nir``, ``onnx``, ``lava``.
        dt_s: seconds per step for the NIR files.
        overwrite: replace a bundle that is there.
        **settings: fields of :class:`export.QuantizationSettings`, for example ``weight_bits=4``. A run of version 0.1
            gets that version's choices unless weight_scale is "auto". Without any, a run
            that trained on integers is exported with the formats of its training, and gives the integers of its last
            forward pass.

    Raises:
        ExportError: what cannot be converted exactly, with the reason. HyprError: missing or changed data.
    """
    training, test = run.load_data("train"), run.load_data("test")
    graph = to_nir(run.network, dt=dt_s)
    if run.settings is not None and not settings:
        program = quantize(graph, run.settings)
    else:
        if settings.get("weight_scale") != "auto" and "scale_choice" not in run.environment:
            settings = {**OF_VERSION_01, **settings}
        program = quantize(graph, calibration=training.dense(slice(0, CALIBRATION_SAMPLES)), **settings)
    integer = integer_accuracy(program, outputs_of(program, test), test)
    trained = (run.result or {}).get(run.which, {}).get("test")
    real = trained if run.settings is None else None  # of a run on integers, training measured the integer network
    metrics = {"integer_test_accuracy": integer} | ({} if real is None else {"float_test_accuracy": real})
    origin = Origin(dataset=describe(run, test, out), seed=run.config.training.seed, metrics=metrics, notes=_notes(run))
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    written = write_bundle(graph, program, out, to, origin=origin, overwrite=overwrite)
    few = sequences_of(test.subset(slice(0, CALIBRATION_SAMPLES)))
    seen = emulate(program, few.values, "all")
    return Exported(written, real, integer, state_ranges(program, seen), tuple(of_program(program, few).warnings))


def import_nir(
    path: Path,
    out: Path,
    preset: str | None,
    conventions: Mapping[str, Any],
    calibration: Any = None,
    *,
    to: Sequence[str] = TARGETS,
    float_only: bool = False,
    overwrite: bool = False,
    **settings: Any,
) -> Bundle:
    """Quantize a network from a NIR file and write its bundle. Its manifest's notes say under ``conventions`` how the
    file was read (:func:`export.interchange.conventions.conventions_of`).

    Args:
        path: the NIR file.
        out: folder of the bundle.
        preset: framework that wrote it, a key of :data:`export.interchange.presets.PRESETS`; None: what the file itself
            says.
        conventions: fields of :class:`export.Reading`; None keeps the preset's.
        calibration: inputs (T, B, N_in) from which the range of states is measured, by name where there are several
            inputs, or a sequence of such. A file that holds its integer formats needs none, and without settings gives
            the program it was written from.
        float_only: no integers, for networks that have no integer form; `calibration` and `settings` are not used.
        **settings: fields of :class:`export.QuantizationSettings`.

    Raises:
        ExportError: a damaged file, conventions that contradict it, or what has no exact form, with the reason.
    """
    reading = reading_for(preset, conventions)
    graph = read(path)
    network = discretise(graph, reading)
    inputs = calibration
    if calibration is not None and not isinstance(calibration, InputFiles):
        inputs = of_each(calibration, lambda value: value.transpose(1, 0, 2))
    program = None if float_only else quantize(graph, calibration=inputs, reading=reading, **settings)
    taken = conventions_of(network, reading.scheme or "euler")
    notes = {"run": path.name, "preset": preset, "file_sha256": file_hash(path), "conventions": taken}
    origin = Origin(notes=notes)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    if program is None:
        return write_float_bundle(graph, network, out, reading=reading, origin=origin, overwrite=overwrite)
    return write_bundle(graph, program, out, to, reading=reading, origin=origin, overwrite=overwrite)


def holds_formats(path: Path) -> bool:
    """Whether a NIR file records the integer formats of its layers.

    Raises:
        ExportError: a damaged file.
    """
    return any(FORMAT_KEY in (getattr(node, "metadata", None) or {}) for node in read(path).nodes.values())


def reading_for(preset: str | None, conventions: Mapping[str, Any]) -> Reading:
    """The reading of a preset with conventions changed by name; None keeps the preset's."""
    given = {key: value for key, value in conventions.items() if value is not None}
    return Reading(**given) if preset is None else reading_of(preset, **given)


def run_file(
    path: Path, preset: str | None, conventions: Mapping[str, Any], inputs: Inputs, record: Sequence[str] | str = ()
) -> tuple[Trace, StepNetwork, dict[str, Any]]:
    """Run a NIR file in float, without a bundle; arguments as of :func:`import_nir` and :func:`run_engine`.

    Returns:
        Trace, difference equations, and how the file was read.
    """
    from export.interchange import float_engine

    reading = reading_for(preset, conventions)
    network = discretise(read(path), reading)
    return float_engine.run(network, inputs, record), network, conventions_of(network, reading.scheme or "euler")


def run_engine(
    bundle: Bundle,
    engine: str,
    inputs: Inputs,
    record: Sequence[str] | str = (),
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
    lava: Mapping[str, Any] | None = None,
) -> Trace:
    """Run one engine on inputs (T, B, N_in), or a mapping of such by name; ``float`` is the float network, the others
    return integers.

    Args:
        jobs, executor, progress: samples divided over processes, see
            :func:`export.verification.parts.run_in_parts`; not of ``float``.

    Raises:
        RuntimeMissing: the engine is not installed. InputError, ExportError: unfit inputs, a state that no layer has.
    """
    if engine == "float":
        from export.interchange import float_engine

        if jobs != 1 or executor is not None:
            raise ExportError("engine float runs in one process; leave jobs out, or name an engine of integers")
        return float_engine.run(bundle.float_network(), inputs, record)
    chosen = _tuned(named_engine(bundle, engine), lava).require()
    kept = record if isinstance(record, str) else tuple(record)
    return run_in_parts(chosen, bundle.program, inputs, kept, jobs=jobs, executor=executor, progress=progress)


def verify_bundle(
    bundle: Bundle,
    inputs: Inputs,
    names: Sequence[str] = ("emulator", "onnx", "lava"),
    *,
    progress: Progress | None = None,
    lava: Mapping[str, Any] | None = None,
    **options: Any,
) -> VerificationResult:
    """Run engines on the same inputs and compare every integer of every step.

    An engine ``module:name`` is the user's own, an object with ``run(program, inputs, record) -> Trace`` that Python
    can import. ``options`` are those of :func:`export.verification.verify.verify`.
    """
    chosen = [named_engine(bundle, name) for name in names]
    if "lava" not in names or options.get("teacher_forced") or models_of(bundle.program):
        return verify(bundle.program, inputs, chosen, progress=progress, **options)
    from hardware.lava.kept import KeptRun, folder_for

    how = dict(lava or {})
    shown = progress if options.get("jobs", 1) == 1 and progress is not None else None
    within = _WithinLava(shown)
    kept = KeptRun(
        folder_for(bundle.program, inputs, *sorted(how.items())), **how, progress=within.lava if shown else None
    )
    chosen = [replace(engine, run=kept) if engine.name == "lava" and not engine.own else engine for engine in chosen]
    result = verify(bundle.program, inputs, chosen, progress=within.samples if shown else progress, **options)
    kept.forget()
    return result


class _WithinLava:
    """Puts Lava's steps beside the count of samples, which stands still while Lava runs."""

    def __init__(self, show: Progress | None) -> None:
        self._show, self._done, self._total = show, 0, 0

    def samples(self, done: int, total: int, label: str) -> None:
        self._done, self._total = done, total
        if self._show is not None:
            self._show(done, total, label)

    def lava(self, part: int, step: int, steps: int) -> None:
        if self._show is not None:
            self._show(self._done, self._total, f"lava: part {part + 1}, step {step:,} of {steps:,}")


def _tuned(engine: Engine, lava: Mapping[str, Any] | None) -> Engine:
    """Lava with connections, arithmetic and time limit as asked for; other engines as they are."""
    if not lava or engine.own or engine.name != "lava":
        return engine
    return replace(engine, run=partial(engines.run_lava, **lava))


def float_against_integer(bundle: Bundle, inputs: Inputs, most: int = AGREEMENT_SEQUENCES) -> dict[str, Any] | None:
    """How much the integers behave like the float network on the first sequences; None for a bundle without one.

    Returns:
        See :func:`export.verification.agreement.agreement`.
    """
    from export.interchange import float_engine
    from export.verification.inputs import of_samples

    try:
        network = bundle.float_network()
    except ExportError:
        return None
    few = of_samples(inputs, slice(most))
    return agreement(bundle.program, float_engine.run(network, few), emulate(bundle.program, few))


def agreement_lines(found: dict[str, Any] | None) -> list[str]:
    """For people."""
    return [] if found is None else lines(found)


def named_engine(bundle: Bundle, name: str) -> Engine:
    """A registered engine, the user's own ``module:name``, or one of an installed extension (``hypr.engines``).

    Raises:
        ExportError, HyprError: there is none of that name.
    """
    if ":" in name:
        return imported_engine(name)
    point = None if name in engines.RESERVED else extensions.offered("hypr.engines", name)
    if point is None:
        return bundle.engine(name)
    return engines.at_place(point.value, extensions.load(point), name)


def imported_engine(place: str) -> Engine:
    """The user's own engine at ``module:name``, under that name; the working folder is searched last.

    Raises:
        HyprError: no such module or name. ExportError: the object has no ``run``.
    """
    return engines.at_place(place, extensions.imported(place, "engine"))


def state_ranges(program: Program, trace: Trace | None = None) -> list[dict[str, Any]]:
    """The range check: for each state how many neurons it cannot prove, its proven bounds, and what a trace shows.

    Bounds hold for every input within the declared range; None where there is none.
    """
    return [
        {
            "layer": item.layer,
            "state": item.state,
            "neurons": len(item.low),
            "unproved": int((~item.proved).sum()),
            "low": _finite(int(item.low.min())),
            "high": _finite(int(item.high.max())),
            "limit": item.limit,
            "observed": item.observed,
        }
        for item in analyse(program, trace).states
    ]


def _finite(bound: int) -> int | None:
    return None if abs(bound) >= UNBOUNDED else bound


def staircase_of(bundle: Bundle, test: SequenceDataset, name: str | None = None) -> list[tuple[str, float, float]]:
    """(what was made integer, accuracy on ``test`` as a fraction, its standard error over sequences), from float to the
    Program of the bundle; ``name`` as of :func:`bundle_data`, for the training part that calibrates states.
    """
    program = bundle.program
    settings = QuantizationSettings.from_json(program.metadata["settings"])
    calibration = bundle_data(bundle, "train", name).dense(slice(0, CALIBRATION_SAMPLES))
    with _quiet():  # quantizes once more; what there is to say was said at export
        found = staircase(bundle.float_network(), test.dense(), test.labels, test.mask, settings, calibration)
    first = program.populations[0]
    bits = program.into(first.name)[0].synapses.weight_bits
    names = {
        "float": "float network",
        "weights": f"+ {bits}-bit weights",
        "coefficients": f"+ {first.coefficient_bits}-bit coefficients",
        "states": f"+ {STATE_BITS}-bit states",
        "integer": "all integers, as deployed",
    }
    return [(names[stair.name], stair.accuracy, stair.error) for stair in found]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the log ``export``."""
    log = logging.getLogger("export")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _notes(run: Run) -> dict[str, Any]:
    """What a report of the bundle tells about training."""
    keys = ("epoch", "loss", "train_accuracy", "validation_accuracy", "warnings")
    return {
        "run": run.config.name,
        "weights": run.which,
        "epoch": run.epoch,
        "rule": run.config.rule.name,
        "config": run.config.to_dict(),
        "environment": {
            key: run.environment.get(key) for key in ("hypr", "python", "platform", "packages", "device", "command")
        },
        "training": [{key: line.get(key) for key in keys} for line in run.metrics],
    }
