"""The batched emulator: NumPy path (readable, its parts replaceable) and compiled path (:mod:`hardware.compiled`),
one entry point.

The NumPy path is the oracle of the compiled one, and is itself checked against :mod:`hardware.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hardware.errors import InputError, RuntimeMissing
from hardware.inputs import Inputs, check_state, named_inputs
from hardware.neurons import STEPS, Step, constants
from hardware.own import OWN, models_of
from hardware.populations import Population, Projection
from hardware.program import Program
from hardware.synapses import Convolution, Dense
from hardware.trace import NetworkState, Trace, make_trace, recorded_states

Drive = Callable[[Projection, np.ndarray], np.ndarray]
Arriving = Sequence[tuple[Projection, np.ndarray]]
BACKENDS = ("auto", "numpy", "numba")


def projection_drive(projection: Projection, values: np.ndarray) -> np.ndarray:
    """FP-2.1, one projection's part of the current: ``(W s) << exponent``, int64 (B, N_target).

    Args:
        values: integers (B, N_source), what the source had ``delay`` steps ago.
    """
    synapses = projection.synapses
    if isinstance(synapses, Dense):
        # float64 holds every partial sum below 2^22 * 127 * 2^24 < 2^53; wider rows are multiplied as int64
        carrier = np.float64 if synapses.shape[1] < 2**22 else np.int64
        sums = values.astype(carrier) @ synapses.weight.T.astype(carrier)
    elif isinstance(synapses, Convolution):
        sums = synapses.apply(values.astype(np.int64))
    else:
        products = values[:, synapses.indices].astype(np.int64) * synapses.weight
        running = np.concatenate([np.zeros((len(values), 1), np.int64), np.cumsum(products, axis=1)], axis=1)
        sums = running[:, synapses.indptr[1:]] - running[:, synapses.indptr[:-1]]
    return sums.astype(np.int64) << projection.exponent


class Emulator:
    """NumPy emulator whose neuron steps and synapses can be replaced, so that a changed copy can be tested against the
    others.

    Args:
        program: the network.
        steps: model name -> step, instead of those of :mod:`hardware.neurons`.
        step: a step for every population's model at once: ``step(n, states, spikes_before, drive)`` with ``n["model"]``
            naming the model.
        drive: replaces :func:`projection_drive`.
        engine: name in the Trace.
    """

    def __init__(
        self,
        program: Program,
        *,
        steps: Mapping[str, Step] | None = None,
        step: Step | None = None,
        drive: Drive = projection_drive,
        engine: str = "emulator-numpy",
    ) -> None:
        self.program = program
        self.engine = engine
        self._drive = drive
        available = {**STEPS, **{name: neuron.step for name, neuron in OWN.items()}, **(steps or {})}
        self._steps = {item.name: step or available[item.model] for item in program.populations}
        self._constants = {item.name: {**constants(item), "model": item.model} for item in program.populations}

    def step(
        self, population: Population, arriving: Arriving, states: tuple[np.ndarray, ...], spikes_before: np.ndarray
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """One step of one population.

        Args:
            arriving: projections into it, each with the integers (B, N_source) of its source ``delay`` steps ago.
            states: int64 (B, N) each. spikes_before: bool (B, N), its own spikes one step earlier.

        Returns:
            new states and bool spikes (B, N) (all False for a leaky integrator).
        """
        drive = np.zeros(spikes_before.shape, np.int64)
        for projection, values in arriving:
            drive = drive + self._drive(projection, values)
        new, spikes = self._steps[population.name](self._constants[population.name], states, spikes_before, drive)
        silent = np.zeros(drive.shape, bool)
        return tuple(np.asarray(s, dtype=np.int64) for s in new), silent if spikes is None else spikes

    def run(self, inputs: Inputs, record: str | Iterable[str] = (), initial_state: NetworkState | None = None) -> Trace:
        """Run from ``initial_state``, or from the start; ``inputs`` and ``record`` as for :func:`emulate`."""
        program = self.program
        given = named_inputs(program, inputs)
        steps, batch, _ = next(iter(given.values())).shape
        start = check_state(program, initial_state, batch)
        chosen = [f"{state}/{name}" for state, name in recorded_states(program, record)]
        states = {key: np.empty((steps, *value.shape), np.int32) for key, value in start.states.items()}
        spikes = {item.name: np.empty((steps, batch, item.size), np.uint8) for item in program.populations}
        now = {key: value.astype(np.int64) for key, value in start.states.items()}
        z = {item.name: np.zeros((batch, item.size), bool) for item in program.populations}
        z.update({name: value.astype(bool) for name, value in start.spikes.items()})
        line = {name: list(value) for name, value in start.history.items()}  # oldest first
        for t in range(steps):
            values = {name: sequence[t] for name, sequence in given.items()}  # of this step
            for item in program.populations:
                arriving = [
                    (into, line[into.source][-into.delay] if into.delay else values[into.source])
                    for into in program.into(item.name)
                ]
                keys = [f"{state}/{item.name}" for state in item.spec.states]
                new, z[item.name] = self.step(item, arriving, tuple(now[key] for key in keys), z[item.name])
                values[item.name] = spikes[item.name][t] = z[item.name]
                for key, value in zip(keys, new, strict=True):
                    now[key] = states[key][t] = value
            for name, rows in line.items():
                rows.append(values[name])
                del rows[0]
        spiking = {name: value for name, value in spikes.items() if name in start.spikes}
        final = NetworkState(
            {key: value.astype(np.int32) for key, value in now.items()},
            {name: value[-1].copy() for name, value in spiking.items()},
            {name: np.array(rows).astype(start.history[name].dtype) for name, rows in line.items()},
        )
        return make_trace(program, self.engine, states, spiking, chosen, final)


def emulate(
    program: Program,
    inputs: Inputs,
    record: str | Iterable[str] = (),
    initial_state: NetworkState | None = None,
    backend: str = "auto",
    keep_spikes: bool = True,
    threads: int | None = None,
) -> Trace:
    """Run an integer network on a batch.

    Args:
        program: the network.
        inputs: integers or bool (T, B, N_in) within the program's input range; with several inputs a mapping by name.
        record: states to keep, ``"all"``, ``"u"``, ``"u/hidden0"``, ...; none by default.
        initial_state: ``final_state`` of the chunk before; the program's initial states by default. Chunk by chunk,
            memory does not grow with the sequence.
        backend: ``numba``, ``numpy``, or ``auto`` (numba where it is installed).
        keep_spikes: False drops the spikes of hidden populations from the Trace, which then holds the output and what
            ``record`` names.
        threads: threads of the numba backend; by default all cores for large batches. Results do not depend on it.

    Raises:
        InputError: if an argument does not fit the program.
        RuntimeMissing: if backend ``numba`` is asked for and numba is not installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown backend '{backend}'; backends are {', '.join(BACKENDS)}")
    if backend != "numpy" and not models_of(program):
        try:
            from hardware.compiled import run
        except ImportError as error:
            if backend == "numba":
                raise RuntimeMissing(
                    f"numba cannot be imported ({error}); pip install numba, or use backend 'numpy'"
                ) from None
        else:
            return run.run(program, inputs, record, initial_state, keep_spikes, threads)
    trace = Emulator(program).run(inputs, record, initial_state)
    if keep_spikes:
        return trace
    return replace(trace, spikes={})


def teacher_forced(program: Program, trace: Trace, inputs: Inputs, emulator: Emulator | None = None) -> Trace:
    """Compute every step from the other engine's own states of the step before, so that one wrong step does not spoil
    the following ones.

    Args:
        trace: the other engine's run from the program's initial states, all states recorded (``record="all"``).
        inputs: what that engine was given.
        emulator: engine that computes the steps (default: this module's), each from states alone.

    Returns:
        a Trace of all states and spikes; compare it with ``trace``: every difference is a step that differs by itself.

    Raises:
        InputError: if a state is not recorded or has the wrong shape.
    """
    sources: dict[str, np.ndarray] = dict(named_inputs(program, inputs))
    steps, batch, _ = next(iter(sources.values())).shape
    emulator = emulator or Emulator(program)
    for item in program.populations:
        keys = [f"{state}/{item.name}" for state in item.spec.states]
        for key in keys + ([f"spikes/{item.name}"] if item.spec.spiking else []):
            given = trace.arrays().get(key)
            if given is None or given.shape != (steps, batch, item.size):
                actual = "nothing" if given is None else f"shape {given.shape}"
                raise InputError(
                    f"teacher forcing needs '{key}' of shape {(steps, batch, item.size)}, got {actual}; "
                    f"record all states of that run"
                )
    sources.update(trace.spikes)
    states = {
        f"{state}/{item.name}": np.empty((steps, batch, item.size), np.int32)
        for item in program.populations
        for state in item.spec.states
    }
    spikes = {name: np.empty((steps, batch, program.sizes[name]), np.uint8) for name in trace.spikes}
    block = max(1, FORCED_BLOCK // batch)
    for begin in range(0, steps, block):
        window = slice(begin, min(begin + block, steps))
        for item in program.populations:
            _force_block(emulator, item, trace, sources, window, states, spikes)
    final = NetworkState(
        {key: value[-1].copy() for key, value in states.items()},
        {name: value[-1].copy() for name, value in spikes.items()},
        {name: _last_steps(sources[name], count) for name, count in program.history.items()},
    )
    name = f"{emulator.engine} (teacher-forced by {trace.engine})"
    return make_trace(program, name, states, spikes, tuple(states), final)


FORCED_BLOCK = 4096
"""Steps times samples that teacher forcing computes at once: bounds its memory."""


def _force_block(
    emulator: Emulator,
    population: Population,
    trace: Trace,
    sources: Mapping[str, np.ndarray],
    window: slice,
    states: Mapping[str, np.ndarray],
    spikes: Mapping[str, np.ndarray],
) -> None:
    shape = (window.stop - window.start, *trace.output.shape[1:2], population.size)
    keys = {f"{state}/{population.name}": state for state in population.spec.states}
    before = tuple(
        _earlier(trace.states[key], window, 1, population.start(state)).astype(np.int64) for key, state in keys.items()
    )
    own = np.zeros(before[0].shape, bool)
    if population.spec.spiking:
        own = _earlier(trace.spikes[population.name], window, 1).astype(bool)
    arriving = [
        (into, _earlier(sources[into.source], window, into.delay)) for into in emulator.program.into(population.name)
    ]
    new, z = emulator.step(population, arriving, before, own)
    if population.spec.spiking:
        spikes[population.name][window] = z.reshape(shape)
    for key, value in zip(keys, new, strict=True):
        states[key][window] = value.reshape(shape)


def _earlier(array: np.ndarray, window: slice, delay: int, start: np.ndarray | int = 0) -> np.ndarray:
    """Rows ``t - delay`` for t in the window, ``start`` before the first step, flattened to (steps * samples, N)."""
    missing = min(max(0, delay - window.start), window.stop - window.start)
    rows = (
        array[window.start - delay + missing : window.stop - delay]
        if missing < window.stop - window.start
        else array[:0]
    )
    first = np.broadcast_to(np.asarray(start, array.dtype), (missing, *array.shape[1:]))
    return np.concatenate([first, rows]).reshape(-1, array.shape[2])


def _last_steps(array: np.ndarray, count: int) -> np.ndarray:
    """The last ``count`` rows, oldest first, zeros before the first step; uint8 for spikes, int32 otherwise."""
    carrier = np.uint8 if array.dtype == np.uint8 else np.int32
    missing = max(0, count - len(array))
    return np.concatenate(
        [np.zeros((missing, *array.shape[1:]), carrier), array[len(array) - count + missing :]]
    ).astype(carrier)
