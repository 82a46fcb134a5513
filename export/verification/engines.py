"""The engines that run a Program, by name: what each is, whether it runs here, and how to install it if not.

All engines take ``run(program, inputs, record) -> Trace`` and must return the same integers; ``inputs`` is an array
(T, B, N_in), or where the program has several inputs a mapping by name. A user's own engine is any object with such a
``run``; see :func:`get`. Engines are imported when they are first used. (The float
network is not one of them: it has other numbers.)
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from export.errors import ExportError, UnsupportedError
from export.verification.inputs import of_each
from hardware.errors import RuntimeMissing
from hardware.inputs import Inputs
from hardware.lava.endings import Ended
from hardware.own import models_of
from hardware.program import Program
from hardware.trace import NetworkState, Trace

Record = tuple[str, ...] | str
Values = Mapping[str, np.ndarray]
# Inputs are Any, so that an engine for networks with one input may ask for an array.
# Registered engines also take ``initial_state``, which verification does not need.
Run = Callable[..., Trace]
Step = Callable[[Program, Any, Values], Values]
"""``step(program, inputs (R, N_in), previous)``: one step of R independent rows from given spikes and states (R, N), by
trace name, and where a delay needs more than the spikes of the step before from ``history/<source>`` (D, R, N), oldest
first."""


class Runner(Protocol):
    """A user's own engine; it may also have a ``name``."""

    def run(self, program: Program, inputs: Any, record: Record) -> Trace: ...


def _always() -> str | None:
    """None: it runs everywhere."""
    return None


@dataclass(frozen=True)
class Engine:
    """One engine.

    Attributes:
        name: as on the command line and in certificates.
        run: ``run(program, inputs, record) -> Trace``.
        description: one line.
        install: what to type where it is missing.
        packages: distributions whose versions belong into a certificate.
        probe: returns None where the engine runs here, else one line that says why not.
        step: a single step from given values, where the engine can do that.
        extra_versions: versions that package metadata of this interpreter cannot give (a runtime of its own).
        own: whether the caller brought it; it is run with care (:mod:`export.verification.guarded`), and may not have
            a name of :data:`RESERVED`.
        place: ``module:object`` of an engine of the caller's own.
        sources: module -> SHA-256 of its file, of the modules where it was found and where its ``run`` is written.
    """

    name: str
    run: Run
    description: str = ""
    install: str = ""
    packages: tuple[str, ...] = ()
    probe: Callable[[], str | None] = _always
    step: Step | None = None
    extra_versions: Callable[[], Mapping[str, str]] = field(default=dict)
    own: bool = True
    place: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)

    def problem(self) -> str | None:
        """None where the engine runs here, else why not."""
        return self.probe()

    def require(self) -> Engine:
        """This engine, if it runs here.

        Raises:
            RuntimeMissing: it does not; the message ends with the line that installs it.
        """
        problem = self.problem()
        if problem is not None:
            raise RuntimeMissing(f"engine '{self.name}' cannot run here: {problem}; install it with: {self.install}")
        return self

    def versions(self) -> dict[str, str]:
        """Package name -> installed version, of what the engine computes with."""
        found = {name: _version(name) for name in self.packages}
        return {**found, **self.extra_versions()}


def get(engine: str | Engine | Runner) -> Engine:
    """The engine of that name, or the given object as an engine.

    Raises:
        ExportError: unknown name (the message has the nearest one), an object without ``run``, or one that is called
            as a registered engine is.
    """
    if isinstance(engine, Engine):
        return _with_source(engine, engine) if engine.own else engine
    if isinstance(engine, str):
        if engine not in ENGINES:
            near = difflib.get_close_matches(engine, ENGINES, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise ExportError(f"unknown engine '{engine}'; {hint}engines are {', '.join(ENGINES)}")
        return ENGINES[engine]
    if not callable(getattr(engine, "run", None)):
        raise ExportError(
            f"a {type(engine).__name__} is no engine: it has no run(program, inputs, record); give a name"
        )
    name = str(getattr(engine, "name", type(engine).__name__))
    return _with_source(Engine(name=name, run=engine.run, description="supplied by the caller"), engine)


def reason_of(error: BaseException) -> str:
    """Kind and beginning of the message of what somebody's code raised, in one line."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # its message is code, too
        text = type(error).__name__
    return " ".join(text.split())[:300]


def at_place(place: str, found: Any, name: str | None = None) -> Engine:
    """The caller's own engine under the name ``module:object``, whatever it calls itself.

    Args:
        place: where it was found. found: the object, or a class of such objects.
        name: under which an installed package offers it.

    Raises:
        ExportError: it cannot be made, has no ``run``, or is offered under the name of a registered engine.
    """
    try:
        made = found() if isinstance(found, type) else found
        runs = callable(getattr(made, "run", None))
    except Ended:
        raise
    except (Exception, SystemExit) as error:
        raise ExportError(f"engine '{place}' cannot be made ({reason_of(error)}); repair it") from error
    if not runs:
        raise ExportError(
            f"'{place}' is a {type(made).__name__} and no engine: it has no run(program, inputs, record); give another"
        )
    step = made.step if isinstance(made, Engine) else None
    engine = Engine(name or place, made.run, description="supplied by the caller", step=step, place=place)
    return _with_source(engine, made)


def _with_source(engine: Engine, made: Any) -> Engine:
    """The engine with place and hashes of what defines it; ExportError where its name is one of a registered engine."""
    name = engine.name
    if name.strip().lower() in RESERVED:
        raise ExportError(
            f"two different engines are called '{name}': the registered one and your own; give yours another name than "
            f"{', '.join(RESERVED)}"
        )
    if not (name and name.isascii() and name.isprintable() and name == name.strip()):
        raise ExportError(f"an engine is called {name!r}; give it a name of printable ASCII characters")
    run: Any = engine.run
    while isinstance(run, functools.partial):
        run = run.func
    written = str(getattr(run, "__module__", None) or type(run).__module__)
    kind = run if isinstance(made, Engine) else type(made)
    own_place = f"{kind.__module__}:{getattr(kind, '__qualname__', type(kind).__name__)}"
    modules = (engine.place.partition(":")[0], str(kind.__module__), written)
    found = {module: digest for module in modules if (digest := _source_hash(module)) is not None}
    return replace(engine, place=engine.place or own_place, sources=engine.sources or found)


def _source_hash(module: str) -> str | None:
    """SHA-256 of the file of an imported module; None where it has none (typed in, or compiled in)."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None


def status() -> list[dict[str, Any]]:
    """One row per engine: name, description, available, problem, install line and versions."""
    rows = []
    for engine in ENGINES.values():
        problem = engine.problem()
        rows.append(
            {
                "name": engine.name,
                "description": engine.description,
                "available": problem is None,
                "problem": problem,
                "install": engine.install,
                "versions": engine.versions() if problem is None else {},
            }
        )
    return rows


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _missing(*modules: str) -> str | None:
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            return f"module {module} cannot be imported ({error})"
    return None


def _reference(program: Program, inputs: Inputs, record: Record, initial_state: NetworkState | None = None) -> Trace:
    from hardware import reference

    return reference.run(program, inputs, record, initial_state)


def _emulator(program: Program, inputs: Inputs, record: Record, initial_state: NetworkState | None = None) -> Trace:
    from hardware import emulator

    return emulator.emulate(program, inputs, record, initial_state)


def _reference_step(program: Program, inputs: Inputs, previous: Values) -> Values:
    from hardware import reference

    return _as_one_step(reference.run(program, _one_step(inputs), "all", _state(previous)))


def _emulator_step(program: Program, inputs: Inputs, previous: Values) -> Values:
    from hardware import emulator

    return _as_one_step(emulator.emulate(program, _one_step(inputs), "all", _state(previous)))


def _one_step(inputs: Inputs) -> Inputs:
    return of_each(inputs, lambda value: value[np.newaxis])


def _state(values: Values) -> NetworkState:
    """What a step starts from, by the kind that stands before the first ``/`` of a name."""
    kinds: dict[str, dict[str, np.ndarray]] = {"spikes": {}, "history": {}}
    states = {}
    for key, value in values.items():
        kind, _, name = key.partition("/")
        if kind in kinds:
            kinds[kind][name] = value
        else:
            states[key] = value
    return NetworkState(states, kinds["spikes"], kinds["history"])


def _as_one_step(trace: Trace) -> Values:
    return {name: value[0] for name, value in trace.arrays().items()}


def _without_own(program: Program, engine: str) -> None:
    for name in models_of(program):
        raise UnsupportedError(
            f"engine '{engine}' does not know neuron '{name}', whose integer step is Python code; run emulator or "
            "reference"
        )


def _onnx(program: Program, inputs: Inputs, record: Record, initial_state: NetworkState | None = None) -> Trace:
    _without_own(program, "onnx")
    from export.onnx import runtime

    # A second thread gains nothing on operands this small.
    return runtime.run(program, inputs, record, 1, initial_state)


def _onnx_step(program: Program, inputs: Inputs, previous: Values) -> Values:
    from export.onnx import runtime

    return runtime.OnnxNetwork.open(program, "step", threads=1).step(inputs, previous)


def run_lava(program: Program, inputs: Any, record: Record, **options: Any) -> Trace:
    """The engine lava; options as of :func:`hardware.lava.runtime.run`."""
    _without_own(program, "lava")
    from hardware.lava import runtime

    return runtime.run(program, inputs, record, **options)


def _lava_problem() -> str | None:
    try:
        from hardware.lava import paths
    except ImportError as error:
        return f"its launcher cannot be imported ({error})"
    found = paths.status()
    return None if found.installed else f"its runtime is {found.problem} in {found.folder}"


def _lava_versions() -> Mapping[str, str]:
    from hardware.lava import paths

    return paths.status().versions


ENGINES: Mapping[str, Engine] = {
    engine.name: replace(engine, own=False)
    for engine in (
        Engine(
            "reference",
            _reference,
            "scalar oracle in plain Python, one neuron at a time",
            packages=("numpy",),
            step=_reference_step,
        ),
        Engine("emulator", _emulator, "batched integer emulator", packages=("numpy", "numba"), step=_emulator_step),
        Engine(
            "onnx",
            _onnx,
            "integer ONNX graph in ONNX Runtime",
            "pip install onnx onnxruntime",
            packages=("onnxruntime", "onnx"),
            # export.onnx first: it switches the runtime's telemetry off
            probe=functools.partial(_missing, "export.onnx", "onnx", "onnxruntime"),
            step=_onnx_step,
        ),
        Engine(
            "lava",
            run_lava,
            "Lava processes, fixed-point CPU models",
            "hypr lava install",
            probe=_lava_problem,
            extra_versions=_lava_versions,
        ),
    )
}

RESERVED = (*ENGINES, "onnx-step", "float")
"""Names that no engine of the caller's own may have: certificates say with them which engine ran."""
