"""The batched emulator: NumPy path (readable, its parts replaceable) and compiled path (:mod:`hardware.kernels`), one
entry point.

The NumPy path is the oracle of the compiled one, and is itself checked against :mod:`hardware.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace

import numpy as np

from hardware.errors import InputError, RuntimeMissing
from hardware.inputs import check_inputs, check_state
from hardware.neurons import STEPS, Step, constants
from hardware.program import Layer, Program
from hardware.trace import NetworkState, Trace, recorded_states

Drive = Callable[[Layer, np.ndarray, np.ndarray], np.ndarray]
BACKENDS = ("auto", "numpy", "numba")


def synaptic_drive(layer: Layer, pre: np.ndarray, spikes_before: np.ndarray) -> np.ndarray:
    """FP-2.1 without bias: ``((W_in x) << G_in) + ((W_rec z^{t-1}) << G_rec)``, int64 (B, N).

    The products run in float64, which is exact: a valid Program bounds every sum below 2^31.

    Args:
        pre: integers (B, N_pre) of the layer below at this step.
        spikes_before: bool (B, N), this layer's spikes one step earlier.
    """
    drive = (pre.astype(np.float64) @ layer.input.weight.T.astype(np.float64)).astype(np.int64) << layer.input.exponent
    if layer.recurrent is not None:
        recurrent = spikes_before.astype(np.float64) @ layer.recurrent.weight.T.astype(np.float64)
        drive += recurrent.astype(np.int64) << layer.recurrent.exponent
    return drive


class Emulator:
    """NumPy emulator whose neuron steps and synapses can be replaced, so that a changed copy can be tested against the
    others.

    Args:
        program: the network.
        steps: model name -> step, instead of those of :mod:`hardware.neurons`.
        step: a step for every layer's model at once: ``step(n, states, spikes_before, drive)`` with ``n["model"]``
            naming the model.
        drive: replaces :func:`synaptic_drive`.
        engine: name in the Trace.
    """

    def __init__(
        self,
        program: Program,
        *,
        steps: Mapping[str, Step] | None = None,
        step: Step | None = None,
        drive: Drive = synaptic_drive,
        engine: str = "emulator-numpy",
    ) -> None:
        self.program = program
        self.engine = engine
        self._drive = drive
        available = {**STEPS, **(steps or {})}
        self._steps = {layer.name: step or available[layer.model] for layer in program.layers}
        self._constants = {layer.name: {**constants(layer), "model": layer.model} for layer in program.layers}

    def step(
        self, layer: Layer, pre: np.ndarray, states: tuple[np.ndarray, ...], spikes_before: np.ndarray
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """One step of one layer: new int64 states (B, N) each, and bool spikes (B, N) (all False for a leaky
        integrator)."""
        drive = self._drive(layer, pre, spikes_before)
        new, spikes = self._steps[layer.name](self._constants[layer.name], states, spikes_before, drive)
        return tuple(np.asarray(s, dtype=np.int64) for s in new), np.zeros(
            drive.shape, bool
        ) if spikes is None else spikes

    def run(
        self, inputs: np.ndarray, record: str | Iterable[str] = (), initial_state: NetworkState | None = None
    ) -> Trace:
        """As :func:`emulate`."""
        inputs = check_inputs(self.program, inputs)
        steps, batch, _ = inputs.shape
        start = check_state(self.program, initial_state, batch)
        chosen = [f"{state}/{name}" for state, name in recorded_states(self.program, record)]
        states: dict[str, np.ndarray] = {}
        spikes: dict[str, np.ndarray] = {}
        final: dict[str, np.ndarray] = {}
        pre = inputs
        for layer in self.program.layers:
            names = [f"{state}/{layer.name}" for state in layer.spec.states]
            now = tuple(start.states[name].astype(np.int64) for name in names)
            z = start.spikes.get(layer.name, np.zeros((batch, layer.size), np.uint8)).astype(bool)
            kept = [name for name in names if name in chosen]
            if not layer.spec.spiking:
                kept = sorted({*kept, names[0]})
            states.update({name: np.empty((steps, batch, layer.size), np.int32) for name in kept})
            spikes[layer.name] = np.empty((steps, batch, layer.size), np.uint8)
            for t in range(steps):
                now, z = self.step(layer, pre[t], now, z)
                spikes[layer.name][t] = z
                for name, value in zip(names, now, strict=True):
                    if name in kept:
                        states[name][t] = value
            final.update({name: value.astype(np.int32) for name, value in zip(names, now, strict=True)})
            pre = spikes[layer.name]
        return _trace(self.program, self.engine, states, spikes, chosen, final)


def _trace(
    program: Program,
    engine: str,
    states: Mapping[str, np.ndarray],
    spikes: Mapping[str, np.ndarray],
    chosen: Container[str],
    final: Mapping[str, np.ndarray],
) -> Trace:
    out = program.output
    spiking = [layer.name for layer in program.layers if layer.spec.spiking]
    return Trace(
        engine=engine,
        output=spikes[out.name] if out.spec.spiking else states[f"{out.spec.states[0]}/{out.name}"],
        spikes={name: spikes[name] for name in spiking},
        states={key: value for key, value in states.items() if key in chosen},
        final_state=NetworkState(final, {name: spikes[name][-1].copy() for name in spiking}),
    )


def emulate(
    program: Program,
    inputs: np.ndarray,
    record: str | Iterable[str] = (),
    initial_state: NetworkState | None = None,
    backend: str = "auto",
    keep_spikes: bool = True,
    threads: int | None = None,
) -> Trace:
    """Run an integer network on a batch.

    Args:
        program: the network.
        inputs: integers or bool (T, B, N_in) within the program's input range.
        record: states to keep, ``"all"``, ``"u"``, ``"u/hidden0"``, ...; none by default.
        initial_state: ``final_state`` of the chunk before; zeros by default. Chunk by chunk, memory does not grow with
            the sequence.
        backend: ``numba``, ``numpy``, or ``auto`` (numba where it is installed).
        keep_spikes: False drops the spikes of hidden layers from the Trace, which then holds the output and what
            ``record`` names.
        threads: threads of the numba backend; by default all cores for large batches. Results do not depend on it.

    Raises:
        InputError: if an argument does not fit the program.
        RuntimeMissing: if backend ``numba`` is asked for and numba is not installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown backend '{backend}'; backends are {', '.join(BACKENDS)}")
    if backend != "numpy":
        try:
            from hardware import kernels
        except ImportError as error:
            if backend == "numba":
                raise RuntimeMissing(
                    f"numba cannot be imported ({error}); pip install numba, or use backend 'numpy'"
                ) from None
        else:
            return kernels.run(program, inputs, record, initial_state, keep_spikes, threads)
    trace = Emulator(program).run(inputs, record, initial_state)
    if keep_spikes:
        return trace
    return replace(trace, spikes={})


def teacher_forced(program: Program, trace: Trace, inputs: np.ndarray, emulator: Emulator | None = None) -> Trace:
    """Compute every step from the other engine's own states of the step before, so that one wrong step does not spoil
    the following ones.

    Args:
        trace: the other engine's run from zero states, all states recorded (``record="all"``).
        inputs: what that engine was given, (T, B, N_in).
        emulator: engine that computes the steps (default: this module's), each from states alone.

    Returns:
        a Trace of all states and spikes; compare it with ``trace``: every difference is a step that differs by itself.

    Raises:
        InputError: if a state is not recorded or has the wrong shape.
    """
    inputs = check_inputs(program, inputs)
    steps, batch, _ = inputs.shape
    emulator = emulator or Emulator(program)
    states: dict[str, np.ndarray] = {}
    spikes: dict[str, np.ndarray] = {}
    for layer in program.layers:
        for key in [f"{state}/{layer.name}" for state in layer.spec.states] + (
            [f"spikes/{layer.name}"] if layer.spec.spiking else []
        ):
            given = trace.arrays().get(key)
            if given is None or given.shape != (steps, batch, layer.size):
                actual = "nothing" if given is None else f"shape {given.shape}"
                raise InputError(
                    f"teacher forcing needs '{key}' of shape {(steps, batch, layer.size)}, got {actual}; "
                    f"record all states of that run"
                )
        states.update(
            {f"{state}/{layer.name}": np.empty((steps, batch, layer.size), np.int32) for state in layer.spec.states}
        )
        spikes[layer.name] = np.empty((steps, batch, layer.size), np.uint8)
    block = max(1, FORCED_BLOCK // batch)
    for start in range(0, steps, block):
        _force_block(emulator, trace, inputs, slice(start, min(start + block, steps)), states, spikes)
    final = {key: value[-1].copy() for key, value in states.items()}
    return _trace(
        program, f"{emulator.engine} (teacher-forced by {trace.engine})", states, spikes, tuple(states), final
    )


FORCED_BLOCK = 4096
"""Steps times samples that teacher forcing computes at once: bounds its memory."""


def _force_block(
    emulator: Emulator,
    trace: Trace,
    inputs: np.ndarray,
    window: slice,
    states: dict[str, np.ndarray],
    spikes: dict[str, np.ndarray],
) -> None:
    pre = inputs[window].reshape(-1, inputs.shape[2])
    for layer in emulator.program.layers:
        names = [f"{state}/{layer.name}" for state in layer.spec.states]
        now = tuple(_one_step_earlier(trace.states[name], window).astype(np.int64) for name in names)
        before = np.zeros(now[0].shape, bool)
        if layer.spec.spiking:
            before = _one_step_earlier(trace.spikes[layer.name], window).astype(bool)
        new, z = emulator.step(layer, pre, now, before)
        shape = (window.stop - window.start, inputs.shape[1], layer.size)
        spikes[layer.name][window] = z.reshape(shape)
        for name, value in zip(names, new, strict=True):
            states[name][window] = value.reshape(shape)
        if layer.spec.spiking:
            pre = trace.spikes[layer.name][window].reshape(-1, layer.size)


def _one_step_earlier(array: np.ndarray, window: slice) -> np.ndarray:
    """Rows ``t - 1`` for t in the window, zeros before the first step, flattened to (steps * samples, N)."""
    if window.start > 0:
        rows = array[window.start - 1 : window.stop - 1]
    else:
        rows = np.concatenate([np.zeros_like(array[:1]), array[: window.stop - 1]])
    return rows.reshape(-1, array.shape[2])
