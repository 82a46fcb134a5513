"""Program -> connected Lava Processes, for a Lava program of one's own.

Needs Lava in the running interpreter (Python 3.10). The Processes have ports and Vars like any of Lava's::

    network = Network(load("program.npz"))
    source = RingBuffer(data=spikes)                        # (N_in, steps), a user's own source
    source.s_out.connect(network.inputs["input"])
    monitor.probe(network.state("hidden0", "v"), steps + network.latency)
    network.run(RunSteps(num_steps=steps + network.latency))

Results of population p come ``network.starts[p]`` Lava steps late; until then it waits, holding its initial states
without decay or bias, so that step t of the Program is Lava step ``t + starts[p] + 1`` (Lava counts from 1). Between
two samples call :meth:`Network.reset`; the network may stop in any step. ``examples/`` holds two whole programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.run_conditions import AbstractRunCondition
from lava.magma.core.run_configs import RunConfig
from lava.proc.dense.process import Dense as LavaDense
from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

from hardware.errors import InputError
from hardware.lava.assignment import INPUT_SHIFT, LAVAS_LIF, Assignment, assign, bias_parts
from hardware.lava.processes.alif import ALIF
from hardware.lava.processes.brf import BRF
from hardware.lava.processes.convolution import BatchedConvolution
from hardware.lava.processes.cuba_lif import CubaLIF
from hardware.lava.processes.delay import Delay
from hardware.lava.processes.dense import BatchedDense
from hardware.lava.processes.lava_lif import LavaLIF
from hardware.lava.processes.li import LI
from hardware.lava.processes.lif import LeakyLIF
from hardware.lava.processes.se_adlif import SEAdLIF
from hardware.lava.processes.sparse import BatchedSparse
from hardware.lava.processes.tie import Tie
from hardware.lava.recorder import Recorder
from hardware.lava.request import CONNECTIONS, check_arithmetic
from hardware.lava.run_config import run_config
from hardware.lava.schedule import Schedule
from hardware.lava.start import Start
from hardware.lava.synapses import check_fits_dense, dense_weights
from hardware.populations import Population, Projection
from hardware.program import Program
from hardware.start_steps import line_steps, start_steps
from hardware.synapses import Dense, Sparse

NEURONS = {"brf": BRF, "li": LI, "se_adlif": SEAdLIF, "alif": ALIF, "lif": LeakyLIF, "cuba_lif": CubaLIF}


@dataclass(frozen=True)
class Trial:
    """What a run of many samples adds to each Process; without one a network runs freely.

    Attributes:
        schedule: when the sources work; populations follow.
        recorders: population -> where its trace goes.
        starts: source or population -> its past.
    """

    schedule: Schedule
    recorders: Mapping[str, Recorder] = field(default_factory=dict)
    starts: Mapping[str, Start] = field(default_factory=dict)


class Network:
    """A Program as connected Lava Processes.

    Args:
        program: what to run.
        connections: ``"dense"``: Lava's own Dense wherever the Program has dense synapses, one sample at a time, ports
            of shape (N,); ``"batched"``: this package's connections.
        batch: None, or samples at once: ports of shape (batch, N), with batched connections only.
        arithmetic: ``"fixed_pt"`` (the contract) or ``"floating_pt"`` (the same equations and parameters in real
            arithmetic); give the run configuration the same tag.
        begin: Lava steps after which the first values of the inputs come, for instance ``other.starts[name]`` where
            they are results of another network.
        trial: for a run under a schedule of this package.

    Attributes:
        inputs: name -> the ports to which a source of that input is to be connected, a list.
        outputs: name of every population -> its OutPort: spikes, or the state of a leaky integrator.
        populations: name -> its Process; states, parameters, ``z`` and ``bias`` are Vars under their names.
        projections: name -> its connection Process.
        starts: name -> Lava steps by which it runs behind the first Lava step.
        latency: the largest of them.
        assignment: which Process each population got, and why.
        processes: all of them.

    Raises:
        ProgramError: no schedule (:class:`hardware.start_steps.NoSchedule`), or sums that Lava's Dense cannot hold.
        InputError: an unknown kind of connections or arithmetic.
    """

    def __init__(
        self,
        program: Program,
        *,
        connections: str = "dense",
        batch: int | None = None,
        arithmetic: str = "fixed_pt",
        begin: int = 0,
        trial: Trial | None = None,
    ) -> None:
        _check(program, connections, batch, arithmetic)
        self.program, self.connections, self.arithmetic = program, connections, arithmetic
        self.starts = {name: begin + steps for name, steps in start_steps(program).items()}
        self.latency = max(self.starts.values())
        self.assignment: dict[str, Assignment] = {item.population: item for item in assign(program)}
        self._batch = () if batch is None else (batch,)
        self._trial = trial
        self.processes: list[AbstractProcess] = []
        self._silent: list[Any] = []  # Processes that reset() has to clear
        self.populations = {item.name: self._neurons(item) for item in program.populations}
        self.inputs: dict[str, list[InPort]] = {item.name: [] for item in program.inputs}
        self.outputs: dict[str, OutPort] = {name: process.s_out for name, process in self.populations.items()}
        steps = line_steps(program, self.starts)
        self.projections = {item.name: self._connect(item, steps[item.name]) for item in program.projections}
        self._tie()

    def state(self, population: str, state: str) -> Var:
        """The Var that holds a state of the Program; Lava's LIF has the ``u`` of a ``lif`` as its ``v``."""
        process = self.populations[population]
        if isinstance(process, LavaLIF):
            state = process.states[state]
        found: Var = getattr(process, state)
        return found

    def run(self, condition: AbstractRunCondition, run_cfg: RunConfig | None = None) -> None:
        """Run everything that is connected; the same as ``run`` of any of the Processes.

        Args:
            run_cfg: Lava's configuration with this network's arithmetic by default.
        """
        config = run_cfg or run_config(self.processes, self.arithmetic)
        self._first().run(condition=condition, run_cfg=config)

    def reset(self) -> None:
        """Back to the state before the first step, between two runs: initial states, no spikes, nothing on its way."""
        one = np.ones((1,), np.int32)
        for process in self._silent:
            if isinstance(process, LavaDense):
                process.a_buff.set(np.zeros(process.a_buff.shape, np.int32))
            else:
                process.clear.set(one)

    def stop(self) -> None:
        """End Lava's processes; as ``stop`` of any of the Processes."""
        self._first().stop()

    def _first(self) -> Any:
        return self.populations[self.program.populations[0].name]

    def _add(self, process: Any, clears: bool = True) -> Any:
        self.processes.append(process)
        if clears:
            self._silent.append(process)
        return process

    def _neurons(self, population: Population) -> Any:
        start = self.starts[population.name]
        own = Start({name: population.start(name) for name in population.spec.states})
        common: dict[str, Any] = {"shape": (*self._batch, population.size), "name": population.name}
        if self._trial is None:
            common.update(hold=start, start=own)
        else:
            common.update(
                schedule=self._trial.schedule.of(start),
                recorder=self._trial.recorders.get(population.name),
                start=self._trial.starts.get(population.name, own),
            )
        if self._on_lavas_lif(population):
            return self._add(LavaLIF(**common, **self._lif_arguments(population)))
        return self._add(
            NEURONS[population.model](
                **common,
                bias=population.bias,
                parameters=population.parameters,
                shifts=population.shifts,
                options=population.options,
            )
        )

    def _on_lavas_lif(self, population: Population) -> bool:
        if self.arithmetic == "floating_pt":
            return population.model == "cuba_lif" and not population.spec.needs_newer(population.options)
        return self.assignment[population.name].process == LAVAS_LIF

    def _lif_arguments(self, population: Population) -> dict[str, Any]:
        p = {name: value.astype(np.int64) for name, value in population.parameters.items()}
        if self.arithmetic == "floating_pt":  # Lava's float model knows neither the offset of du nor the shift of vth
            values = {"du": (p["du"] + 1) / 4096, "dv": p["dv"] / 4096, "vth": p["vth"] * 64.0}
            return {**values, "bias_mant": population.bias, "states": {"u": "u", "v": "v"}}
        mantissa, exponent, _ = bias_parts(population.bias)
        bias = {"bias_mant": mantissa, "bias_exp": exponent}
        if population.model == "cuba_lif":
            return {"du": p["du"], "dv": p["dv"], "vth": p["vth"], **bias, "states": {"u": "u", "v": "v"}}
        forgets = np.full(population.size, 4095)
        return {"du": forgets, "dv": 4096 - p["A"], "vth": p["TH"] >> INPUT_SHIFT, **bias, "states": {"u": "v"}}

    def _exponent(self, projection: Projection) -> int:
        """Lava's LIF shifts its input by 6 bits in fixed point only, where a ``lif`` has it in its exponents; elsewhere
        the weights do it."""
        target = self.program.population(projection.target)
        if not self._on_lavas_lif(target):
            return projection.exponent
        if self.arithmetic == "floating_pt":
            return projection.exponent + INPUT_SHIFT
        return projection.exponent - (INPUT_SHIFT if target.model == "lif" else 0)

    def _connect(self, projection: Projection, steps: int) -> Any:
        arguments: dict[str, Any] = {"exponent": self._exponent(projection), "name": projection.name}
        if isinstance(projection.synapses, Dense) and self.connections == "dense":
            connection = self._add(self._lava_dense(projection, **arguments))
            entry = self._delayed(connection, steps - 1, projection)
        else:
            kind: Any = BatchedConvolution
            if isinstance(projection.synapses, (Dense, Sparse)):
                kind = BatchedDense if isinstance(projection.synapses, Dense) else BatchedSparse
            connection = self._add(kind(synapses=projection.synapses, steps=steps, batch=self._batch, **arguments))
            entry = connection.s_in
        if projection.source in self.populations:
            self.outputs[projection.source].connect(entry)
        else:
            self.inputs[projection.source].append(entry)
        connection.a_out.connect(self.populations[projection.target].a_in)
        return connection

    def _delayed(self, connection: Any, steps: int, projection: Projection) -> InPort:
        """Where the source is to be connected: a line of that many steps, or the connection itself."""
        if steps == 0:
            return connection.s_in
        shape = (self.program.sizes[projection.source],)
        line = self._add(Delay(shape=shape, steps=steps, name=f"{projection.name}.delay"))
        line.s_out.connect(connection.s_in)
        return line.s_in

    def _lava_dense(self, projection: Projection, exponent: int, name: str) -> Any:
        assert isinstance(projection.synapses, Dense)
        message_bits = 0 if self.program.ranges[projection.source] == (0, 1) else 24
        if self.arithmetic == "floating_pt":
            weights = projection.synapses.weight.astype(float) * 2.0**exponent
            return LavaDense(weights=weights, num_message_bits=message_bits, name=name)
        sent = dense_weights(projection.synapses, exponent)
        sign_mode = determine_sign_mode(sent.weights)
        kept = truncate_weights(clip_weights(sent.weights, sign_mode, num_bits=8), sign_mode, sent.num_weight_bits)
        if not np.array_equal(kept, sent.weights):  # would be an error of this package, not of the user
            raise AssertionError(f"{name}: Lava's Dense would change the weights")
        return LavaDense(
            weights=sent.weights,
            weight_exp=sent.weight_exp,
            num_weight_bits=sent.num_weight_bits,
            num_message_bits=message_bits,
            name=name,
        )

    def _tie(self) -> None:
        """Join parts that no projection joins; Lava would run one of them only."""
        part = {name: name for name in self.program.sizes}

        def root(name: str) -> str:
            while part[name] != name:
                name = part[name]
            return name

        for projection in self.program.projections:
            part[root(projection.source)] = root(projection.target)
        first = self.program.populations[0].name
        for population in self.program.populations:
            if root(population.name) != root(first):
                sides = [self.outputs[name] for name in (first, population.name)]
                tie = Tie(one=sides[0].shape, other=sides[1].shape, name=f"{population.name}.tie")
                sides[0].connect(self._add(tie, clears=False).one_in)
                sides[1].connect(tie.other_in)
                part[root(population.name)] = root(first)


def _check(program: Program, connections: str, batch: int | None, arithmetic: str) -> None:
    if connections not in CONNECTIONS:
        raise InputError(f"connections must be one of {', '.join(CONNECTIONS)}, got {connections!r}")
    check_arithmetic(arithmetic)
    if connections == "dense":
        if batch is not None:
            raise InputError("Lava's own Dense takes one sample at a time; use connections='batched' with a batch")
        check_fits_dense(program)
