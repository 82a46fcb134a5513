"""Program -> Lava network: a source, and for each layer its connections and its neurons.

Needs Lava in the running interpreter. Import it where Lava is installed (Python 3.10), never in the main process;
there, use :func:`hardware.lava.runtime.run`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

from hardware.chain import Layer, Synapses
from hardware.errors import InputError
from hardware.inputs import check_inputs
from hardware.lava.processes.alif import ALIF
from hardware.lava.processes.batched_dense import BatchedDense
from hardware.lava.processes.brf import BRF
from hardware.lava.processes.cuba_lif import CubaLIF
from hardware.lava.processes.li import LI
from hardware.lava.processes.lif import LeakyLIF
from hardware.lava.processes.se_adlif import SEAdLIF
from hardware.lava.processes.source import Source
from hardware.lava.recorder import Recorder
from hardware.lava.request import CONNECTIONS, group_size
from hardware.lava.schedule import Schedule
from hardware.lava.supervisor import Supervisor
from hardware.lava.synapses import check_fits_dense, dense_weights
from hardware.program import Program
from hardware.trace import Trace, recorded_states

NEURONS = {"brf": BRF, "li": LI, "se_adlif": SEAdLIF, "alif": ALIF, "lif": LeakyLIF}


class LavaNetwork:
    """A Program and its inputs as Lava Processes, for one run.

    Args:
        program: what to run.
        inputs: integers (T, B, N_in) within the Program's input range.
        record: states to keep, as in every engine: names, ``name/layer`` or ``"all"``.
        connections: ``"dense"`` puts Lava's own Dense between the neurons, one sample after another; ``"batched"``
            this package's connection for several samples at once.
        arithmetic: ``"fixed_pt"`` (the contract) or ``"floating_pt"`` (the same equations and parameters in real
            arithmetic).

    Raises:
        ProgramError, InputError: what Lava cannot run, or inputs that do not fit.
    """

    def __init__(
        self,
        program: Program,
        inputs: np.ndarray,
        record: str | Iterable[str] = (),
        *,
        connections: str = "dense",
        arithmetic: str = "fixed_pt",
    ) -> None:
        if connections not in CONNECTIONS:
            raise InputError(f"connections must be one of {', '.join(CONNECTIONS)}, got {connections!r}")
        inputs = check_inputs(program, inputs)
        self.program, self.connections, self.arithmetic = program, connections, arithmetic
        self.samples = inputs.shape[1]
        if connections == "dense":
            check_fits_dense(program)
        group = 1 if connections == "dense" else group_size(program, self.samples)
        self._times = Schedule(delay=0, steps=len(inputs), rounds=-(-self.samples // group), group=group)
        padding = self._times.rounds * group - self.samples
        self._data = np.pad(inputs.astype(np.int32), ((0, 0), (0, padding), (0, 0)))
        self._keep = recorded_states(program, record)
        self.recorders: dict[str, Recorder] = {}
        self.processes: list[AbstractProcess] = []
        self._wire()

    @property
    def lava_steps(self) -> int:
        """Time steps that Lava must run: all rounds, and one step of pipeline for each layer."""
        return self._schedule(len(self.program.layers) - 1).last_step

    def run(self, *, stall_s: float = 60.0, progress: Callable[[int, int], None] | None = None) -> Trace:
        """Compile, run and stop the network.

        Args:
            stall_s: seconds without a finished time step after which the run is given up.
            progress: called with (finished, total) Lava steps.

        Raises:
            LavaError: a Lava process failed (with its traceback), died, or made no progress; everything it started is
                gone by then.
        """
        supervisor = Supervisor(
            self.processes[0],
            Loihi2SimCfg(select_tag=self.arithmetic),
            self.recorders[self.program.output.name].progress,
        )
        started = time.perf_counter()
        supervisor.start()
        compiled = time.perf_counter()
        supervisor.run(RunSteps(num_steps=self.lava_steps, blocking=False), self.lava_steps, stall_s, progress)
        self.startup_s, self.run_s = compiled - started, time.perf_counter() - compiled
        return self._trace()

    def _schedule(self, layer: int) -> Schedule:
        return Schedule(layer + 1, self._times.steps, self._times.rounds, self._times.group)

    def _shape(self, size: int) -> tuple[int, ...]:
        return (size,) if self.connections == "dense" else (self._times.group, size)

    def _wire(self) -> None:
        source = Source(
            shape=self._shape(self.program.input.size), data=self._data, schedule=self._times, name="source"
        )
        self.processes.append(source)
        below, graded = source, (self.program.input.low, self.program.input.high) != (0, 1)
        for index, layer in enumerate(self.program.layers):
            neurons = self._neurons(index, layer)
            self._connect(below, neurons, self._lifted(layer, layer.input), f"{layer.name}.input", graded)
            if layer.recurrent is not None:
                feedback = self._lifted(layer, layer.recurrent)
                self._connect(neurons, neurons, feedback, f"{layer.name}.recurrent", graded=False)
            below, graded = neurons, False

    def _lifted(self, layer: Layer, synapses: Synapses) -> Synapses:
        """Lava's LIF shifts its input left by 6 bits in fixed point only (FP-3.5); otherwise the weights do it."""
        if layer.model == "cuba_lif" and self.arithmetic == "floating_pt":
            return replace(synapses, exponent=synapses.exponent + 6)
        return synapses

    def _connect(self, pre: Any, post: Any, synapses: Synapses, name: str, graded: bool) -> None:
        if self.connections == "dense":
            connection = self._lava_dense(synapses, name, graded)
        else:
            connection = BatchedDense(
                weights=synapses.weight.astype(np.int32), exponent=synapses.exponent, group=self._times.group, name=name
            )
        pre.s_out.connect(connection.s_in)
        connection.a_out.connect(post.a_in)
        self.processes.append(connection)

    def _lava_dense(self, synapses: Synapses, name: str, graded: bool) -> Dense:
        message_bits = 24 if graded else 0
        if self.arithmetic == "floating_pt":
            weights = synapses.weight.astype(float) * 2.0**synapses.exponent
            return Dense(weights=weights, num_message_bits=message_bits, name=name)
        sent = dense_weights(synapses)
        sign_mode = determine_sign_mode(sent.weights)
        kept = truncate_weights(clip_weights(sent.weights, sign_mode, num_bits=8), sign_mode, sent.num_weight_bits)
        if not np.array_equal(kept, sent.weights):  # would be an error of this package, not of the user
            raise AssertionError(f"{name}: Lava's Dense would change the weights")
        return Dense(
            weights=sent.weights,
            weight_exp=sent.weight_exp,
            num_weight_bits=sent.num_weight_bits,
            num_message_bits=message_bits,
            name=name,
        )

    def _neurons(self, index: int, layer: Layer) -> AbstractProcess:
        samples = self._times.rounds * self._times.group
        dtype = np.int32 if self.arithmetic == "fixed_pt" else np.float64
        kept = tuple(state for state in layer.spec.states if (state, layer.name) in self._keep)
        if not layer.spec.spiking:
            kept = tuple(dict.fromkeys((*kept, layer.spec.states[0])))  # its first state is the output
        recorder = Recorder(self._times.steps, samples, layer.size, kept, layer.spec.spiking, dtype)
        common: dict[str, Any] = {
            "shape": self._shape(layer.size),
            "schedule": self._schedule(index),
            "recorder": recorder,
            "name": layer.name,
        }
        self.recorders[layer.name] = recorder
        if layer.model == "cuba_lif":
            process: AbstractProcess = CubaLIF(**common, **self._cuba_arguments(layer))
        else:
            process = NEURONS[layer.model](
                **common, bias=layer.bias, parameters=layer.parameters, shifts=layer.shifts, options=layer.options
            )
        self.processes.append(process)
        return process

    def _cuba_arguments(self, layer: Layer) -> dict[str, Any]:
        du, dv, vth = (layer.parameters[name].astype(np.int64) for name in ("du", "dv", "vth"))
        if self.arithmetic == "floating_pt":  # Lava's float model knows neither the offset of du nor the shift of vth
            return {"du": (du + 1) / 4096, "dv": dv / 4096, "vth": vth * 64.0, "bias_mant": layer.bias}
        return {"du": du, "dv": dv, "vth": vth, "bias_mant": layer.bias, "bias_exp": 0}

    def _trace(self) -> Trace:
        spikes = {n: r.spikes[:, : self.samples] for n, r in self.recorders.items() if r.spikes is not None}
        states = {f"{s}/{name}": self.recorders[name].states[s][:, : self.samples] for s, name in self._keep}
        last = self.program.output
        output = spikes.get(last.name)
        if output is None:
            output = self.recorders[last.name].states[last.spec.states[0]][:, : self.samples]
        return Trace(engine=f"lava[{self.connections}]", output=output, spikes=spikes, states=states)
