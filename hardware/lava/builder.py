"""Program and inputs -> a Lava network that runs every sample under a schedule, once.

Needs Lava in the running interpreter. Import it where Lava is installed (Python 3.10), never in the main process;
there, use :func:`hardware.lava.runtime.run`. For a Lava program of one's own see :mod:`hardware.lava.network`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_conditions import RunSteps

from hardware.inputs import Inputs, check_state, named_inputs
from hardware.lava.network import Network, Trial
from hardware.lava.processes.source import Source
from hardware.lava.recorder import Recorder
from hardware.lava.request import LavaError, group_size
from hardware.lava.run_config import run_config
from hardware.lava.schedule import Schedule
from hardware.lava.start import Start
from hardware.lava.supervisor import Supervisor
from hardware.program import Program
from hardware.start_steps import rest_steps
from hardware.trace import NetworkState, Trace, make_trace, output_key, recorded_states


class LavaNetwork:
    """A Program and its inputs as Lava Processes, for one run.

    Args:
        program: what to run.
        inputs: integers (T, B, N_in) within the Program's input ranges; by name where there are several inputs.
        record: states to keep, as in every engine: names, ``name/population`` or ``"all"``.
        connections: ``"dense"`` puts Lava's own Dense between the neurons, one sample after another; ``"batched"``
            this package's connections for several samples at once.
        arithmetic: ``"fixed_pt"`` (the contract) or ``"floating_pt"`` (the same equations and parameters in real
            arithmetic).
        initial_state: what the samples start from; the program's initial states by default.

    Raises:
        ProgramError, InputError: what Lava cannot run, or inputs that do not fit.
    """

    def __init__(
        self,
        program: Program,
        inputs: Inputs,
        record: str | Iterable[str] = (),
        *,
        connections: str = "dense",
        arithmetic: str = "fixed_pt",
        initial_state: NetworkState | None = None,
    ) -> None:
        given = named_inputs(program, inputs)
        self.program, self.connections, self._ran = program, connections, False
        steps, self.samples, _ = next(iter(given.values())).shape
        self._start = check_state(program, initial_state, self.samples)
        group = 1 if connections == "dense" else group_size(program, self.samples)
        lead = 0 if initial_state is None else max(program.history.values(), default=0)
        rounds = -(-self.samples // group)
        self._times = Schedule(0, steps, rounds, group, rest_steps(program), max(lead, self._spikes_before()))
        self._padding = rounds * group - self.samples
        self._data = {name: self._padded(array.astype(np.int32), 1) for name, array in given.items()}
        self._keep = recorded_states(program, record)
        dtype = np.int32 if arithmetic == "fixed_pt" else np.float64
        self.recorders = {item.name: self._recorder(item.name, dtype) for item in program.populations}
        starts = {name: self._past(name, initial_state is not None) for name in program.sizes}
        self.network = Network(
            program,
            connections=connections,
            batch=None if connections == "dense" else group,
            arithmetic=arithmetic,
            trial=Trial(self._times, self.recorders, starts),
        )
        self.processes: list[AbstractProcess] = [*self._sources(starts), *self.network.processes]

    @property
    def lava_steps(self) -> int:
        """Time steps that Lava must run: all rounds, the rests between them, and the start of the last population."""
        return self._times.of(self.network.latency).last_step

    def run(self, *, stall_s: float | None = None, progress: Callable[[int, int], None] | None = None) -> Trace:
        """Compile, run and stop the network.

        Args:
            stall_s: seconds without a finished time step after which the run is given up; None: as
                :mod:`hardware.lava.stall` says.
            progress: called with (finished, total) Lava steps.

        Raises:
            LavaError: a Lava process failed (with its traceback), died, or made no progress; everything it started is
                gone by then.
        """
        if self._ran:
            raise LavaError("this network has run already, and a network runs once; build another one for another run")
        self._ran = True
        last = max(self.recorders, key=lambda name: self.network.starts[name])
        config = run_config(self.processes, self.network.arithmetic)
        supervisor = Supervisor(self.processes[0], config, self.recorders[last].progress, stall_s)
        started = time.perf_counter()
        supervisor.start()
        compiled = time.perf_counter()
        supervisor.run(RunSteps(num_steps=self.lava_steps, blocking=False), self.lava_steps, progress)
        self.startup_s, self.run_s = compiled - started, time.perf_counter() - compiled
        return self._trace()

    def _spikes_before(self) -> int:
        """Steps of the past that the samples' own spikes need: 1 where there are any."""
        return int(any(value.any() for value in self._start.spikes.values()))

    def _padded(self, array: np.ndarray, axis: int) -> np.ndarray:
        """Samples filled up to whole groups with zeros."""
        widths = [(0, self._padding if index == axis else 0) for index in range(array.ndim)]
        return np.pad(array, widths)

    def _past(self, name: str, given: bool) -> Start:
        states = {
            key.partition("/")[0]: value for key, value in self._start.states.items() if key.partition("/")[2] == name
        }
        if not given:  # the same for every sample
            return Start({state: value[0] for state, value in states.items()})
        sent = self._start.history.get(name)
        if sent is None and name in self._start.spikes:
            sent = self._start.spikes[name][None]
        padded = {state: self._padded(value, 0) for state, value in states.items()}
        return Start(padded, None if sent is None else self._padded(sent, 1))

    def _recorder(self, name: str, dtype: type) -> Recorder:
        population = self.program.population(name)
        kept = tuple(state for state in population.spec.states if (state, name) in self._keep)
        if not population.spec.spiking and output_key(self.program) == f"{population.spec.states[0]}/{name}":
            kept = tuple(dict.fromkeys((*kept, population.spec.states[0])))
        samples = self._times.rounds * self._times.group
        return Recorder(
            self._times.steps, samples, population.size, kept, population.spec.states, population.spec.spiking, dtype
        )

    def _sources(self, starts: dict[str, Start]) -> list[Source]:
        """A source for each input that anything hears."""
        sources = []
        for item in self.program.inputs:
            ports = self.network.inputs[item.name]
            if not ports:
                continue
            shape = (item.size,) if self.connections == "dense" else (self._times.group, item.size)
            source = Source(
                shape=shape, data=self._data[item.name], schedule=self._times, start=starts[item.name], name=item.name
            )
            source.s_out.connect(ports)
            sources.append(source)
        return sources

    def _trace(self) -> Trace:
        spikes = {n: r.spikes[:, : self.samples] for n, r in self.recorders.items() if r.spikes is not None}
        states = {
            f"{state}/{name}": values[:, : self.samples]
            for name, recorder in self.recorders.items()
            for state, values in recorder.states.items()
        }
        chosen = {f"{state}/{name}" for state, name in self._keep}
        engine = f"lava[{self.connections}]"
        return make_trace(self.program, engine, states, spikes, chosen, self._final_state(spikes))

    def _final_state(self, spikes: dict[str, np.ndarray]) -> NetworkState | None:
        if self.network.arithmetic != "fixed_pt":
            return None
        states = {
            f"{state}/{name}": values[: self.samples].copy()
            for name, recorder in self.recorders.items()
            for state, values in recorder.last.items()
        }
        history = {}
        for name, count in self.program.history.items():
            sent = spikes[name] if name in spikes else self._data[name][:, : self.samples]
            past = self._start.history[name]
            history[name] = np.concatenate([past, sent.astype(past.dtype)])[-count:]
        return NetworkState(states, {name: value[-1].copy() for name, value in spikes.items()}, history)
