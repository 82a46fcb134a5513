"""Running an engine that somebody else wrote: it gets copies, and what it returns is looked at before it is compared.

An engine that writes into its inputs or into the program would otherwise spoil the next one's run, and an answer with a
comparison of its own could claim anything. Whatever such an engine does wrong is one line that names it.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from export.errors import ExportError
from export.verification.engines import Engine, Record, Values, reason_of
from export.verification.inputs import inputs_shape, of_each
from hardware.inputs import Inputs
from hardware.lava.endings import Ended
from hardware.program import Program
from hardware.trace import Trace

Result = TypeVar("Result")
FULL: Record = "all"


def run_guarded(engine: Engine, program: Program, inputs: Inputs) -> Trace:
    """A full trace of an engine.

    Raises:
        ExportError: an engine of the caller's own raises, or returns something else than a Trace of plain arrays of
            integers with every spike and state. What a registered engine raises comes through.
    """
    if not engine.own:
        return engine.run(program, inputs, FULL)
    steps, batch, _ = inputs_shape(inputs)
    found = called(engine, lambda: engine.run(copy.deepcopy(program), of_each(inputs, _writable), FULL))
    return called(engine, lambda: plain_trace(engine, program, found, (steps, batch)))


def called(engine: Engine, call: Callable[[], Result]) -> Result:
    """What code of the caller's own returns. What it prints goes to stderr, for stdout may be one JSON document, and it
    cannot take the working folder away, where paths were named.

    Raises:
        ExportError: it raises anything. KeyboardInterrupt, Ended: it was the process that was to end.
    """
    with contextlib.ExitStack() as kept:
        kept.enter_context(_no_silent_exit())
        if threading.current_thread() is threading.main_thread():  # both belong to the whole process
            kept.enter_context(contextlib.redirect_stdout(sys.stderr))
            with contextlib.suppress(OSError):
                kept.callback(os.chdir, Path.cwd())
        try:
            return call()
        except (KeyboardInterrupt, Ended, ExportError):
            raise
        except BaseException as error:
            raise ExportError(failed(engine, error)) from error


@contextlib.contextmanager
def _no_silent_exit() -> Iterator[None]:
    """``os._exit`` ends the process with any exit code and not a word: a verification would have succeeded. Here it
    raises, but in processes that the engine forked.
    """
    process, before = os.getpid(), os._exit

    def refused(status: int) -> NoReturn:
        if os.getpid() != process:
            before(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = refused
    try:
        yield
    finally:
        os._exit = before


def plain_trace(engine: Engine, program: Program, found: Any, shape: tuple[int, ...], output: bool = True) -> Trace:
    """Own copies of the arrays of a full trace.

    Args:
        found: what the engine returned.
        shape: steps and samples.
        output: whether the output is wanted beside spikes and states; without, an empty one is returned.

    Raises:
        ExportError: no Trace of plain arrays of integers with every spike and state.
    """
    if not isinstance(found, Trace):
        raise ExportError(
            f"engine '{engine.name}' returned {_article(found)}, not a hardware.Trace; return Trace(engine, output, "
            "spikes, states)"
        )
    spikes, states = _mapping(engine, found.spikes, "spikes"), _mapping(engine, found.states, "states")
    given = {"output": found.output, **{f"spikes/{name}": value for name, value in spikes.items()}, **states}
    wanted = {key: (*shape, size) for key, size in sizes(program).items() if output or key != "output"}
    plain = _plain(engine, given, wanted)
    return Trace(
        engine=engine.name,
        output=plain.pop("output", np.zeros((*shape, 0), np.int32)),
        spikes={key.partition("/")[2]: value for key, value in plain.items() if key.startswith("spikes/")},
        states={key: value for key, value in plain.items() if not key.startswith("spikes/")},
    )


def step_guarded(engine: Engine, program: Program, inputs: Inputs, previous: Values) -> Values:
    """One step of an engine; arguments and result as :data:`export.verification.engines.Step`.

    Raises:
        ExportError: as :func:`run_guarded`, or an engine that takes no single steps.
    """
    if engine.step is None:
        raise ExportError(
            f"engine '{engine.name}' cannot start from given states; leave it out of a teacher-forced verification"
        )
    if not engine.own:
        return engine.step(program, inputs, previous)
    rows = len(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)
    before = {name: _writable(value) for name, value in previous.items()}
    step = engine.step
    found = called(engine, lambda: step(copy.deepcopy(program), of_each(inputs, _writable), before))
    given = _mapping(engine, found, "a step")
    return _plain(engine, given, {key: (rows, size) for key, size in sizes(program).items()})


def sizes(program: Program) -> dict[str, int]:
    """Key of every array of a full trace -> its neurons."""
    found = {"output": program.output.size}
    for item in program.populations:
        found |= {f"spikes/{item.name}": item.size} if item.spec.spiking else {}
        found |= {f"{state}/{item.name}": item.size for state in item.spec.states}
    return found


def _plain(engine: Engine, given: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Own copies of the arrays that are compared; ExportError where one is missing or is no plain array."""
    missing = sorted(set(shapes) - set(given))
    if missing:
        raise ExportError(
            f"engine '{engine.name}' returned no '{missing[0]}'; verification needs every spike and state"
        )
    found = {}
    for key, shape in shapes.items():
        value = given[key]
        where = f"engine '{engine.name}' returned {_article(value)} as '{key}'"
        if type(value) is not np.ndarray:  # a subclass may bring a comparison of its own
            raise ExportError(f"{where}; return a plain numpy array of integers")
        if value.dtype.kind not in "biu":
            raise ExportError(f"{where}, of {value.dtype}; return integers")
        if value.shape != shape:
            raise ExportError(f"{where}, of shape {value.shape}; expected {shape}")
        found[key] = value.copy()
    return found


def _mapping(engine: Engine, value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ExportError(f"engine '{engine.name}' returned {_article(value)} as {what}; return a mapping of arrays")
    return dict(value)


def _writable(value: np.ndarray) -> np.ndarray:
    return np.array(value)


def failed(engine: Engine, error: BaseException) -> str:
    """One line about what an engine raised."""
    return f"engine '{engine.name}' failed ({reason_of(error)}); repair it, or leave it out"


def _article(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
