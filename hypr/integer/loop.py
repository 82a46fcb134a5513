"""Which engine runs the S-stage in training: the emulator, or hardware in the loop.

An engine in the loop is ``engine(program, inputs, state) -> hardware.Trace``. ``program`` is the integer network of the
present weights, ``inputs`` int64 (T, B, N_in), ``state`` a ``hardware.NetworkState``: what every sample starts from,
never None. The trace holds every spike and every state after every step, (T, B, N), under their names in the program;
its ``output`` is not read. What the engine cannot do need not be the emulator's integers: gradients are those of the
states that it returns.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from export.errors import ExportError
from export.verification.engines import ENGINES, Engine, get
from export.verification.guarded import called, plain_trace
from hardware.inputs import state_limit
from hardware.program import Program
from hardware.trace import NetworkState, Trace
from hypr.errors import HyprError

Run = Callable[[Program, np.ndarray, NetworkState], Trace]

_OPTIONS = {"lava": {"connections": "batched"}}
"""A window of training has many samples: all of them at once."""


def in_the_loop(engine: Any) -> Run:
    """The engine as the S-stage calls it.

    Args:
        engine: name of a registered engine; a callable as above; or an object with ``run(program, inputs, record,
            initial_state=None)``, which is an engine for verification too.

    Raises:
        ExportError: unknown name. RuntimeMissing: it is not installed here. HyprError: no such callable or object.
    """
    if isinstance(engine, str):
        known = get(engine).require()
        run = functools.partial(known.run, **_OPTIONS.get(engine, {}))
        return lambda program, inputs, start: run(program, inputs, "all", initial_state=start)
    if isinstance(engine, type):
        raise HyprError(f"engine: {engine.__name__} is a class; give an object of it, {engine.__name__}(...)")
    method = getattr(engine, "run", None)
    if callable(method):
        if not _takes_a_state(method):
            raise HyprError(
                f"engine: run of a {type(engine).__name__} takes no initial_state, so it cannot go on from window to "
                "window; write it as run(program, inputs, record, initial_state=None)"
            )
        return functools.partial(_guarded, _named(engine), lambda p, i, s: method(p, i, "all", initial_state=s))
    if callable(engine):
        return functools.partial(_guarded, _named(engine), engine)
    raise HyprError(
        f"engine: {engine!r:.60} is no engine; give one of {', '.join(ENGINES)}, or a callable "
        "engine(program, inputs, state) -> hardware.Trace"
    )


def _guarded(name: str, run: Run, program: Program, inputs: np.ndarray, start: NetworkState) -> Trace:
    """What an engine of the caller's own returned, once it is known to be a full trace.

    Raises:
        HyprError: the engine raises; it returns something else than a Trace of plain integer arrays with every spike
            and state, or a value out of range (spikes 0 and 1 or counts, states 24 bits).
    """
    own = Engine(name=name, run=lambda *_: run(program, inputs, start))
    try:
        found = called(own, lambda: own.run(program, inputs, "all"))
        given = called(own, lambda: plain_trace(own, program, found, inputs.shape[:2], output=False))
    except ExportError as error:
        raise HyprError(str(error).replace(", or leave it out", "")) from error.__cause__
    for name_of, value, (low, high) in (
        *((f"spikes/{key}", value, program.ranges[key]) for key, value in given.spikes.items()),
        *((key, value, state_limit(program, key)) for key, value in given.states.items()),
    ):
        if value.size and not low <= int(value.min()) <= int(value.max()) <= high:
            seen = f"{value.min()} to {value.max()}"
            raise HyprError(f"engine '{name}' returned '{name_of}' from {seen}, its range is {low} to {high}")
    spikes = {key: value.astype(np.uint8) for key, value in given.spikes.items()}
    states = {key: value.astype(np.int32) for key, value in given.states.items()}
    return Trace(name, given.output, spikes, states)


def _takes_a_state(method: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):
        return True  # compiled code says nothing of itself; the call will
    open_ended = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values())
    return open_ended or "initial_state" in parameters


def _named(engine: Any) -> str:
    name = getattr(engine, "name", None) or getattr(engine, "__name__", None) or type(engine).__name__
    return str(name)
