"""Scripts for other interpreters: run as ``python -m tests.end_to_end.lava_scripts NAME``.

Lava starts processes, so that each needs a process of its own with a ``__main__`` guard. Those that import Lava run in
the managed runtime.
"""

from __future__ import annotations

import signal
import sys
import time

import numpy as np

from hardware.chain import InputFormat, Layer, Synapses
from hardware.populations import Input, Population, Projection
from hardware.program import Program
from hardware.random_programs import random_inputs, random_program
from hardware.synapses import Dense


def brf_network(T: int = 60, B: int = 2) -> tuple[Program, np.ndarray]:
    """A small network of BRF and LI, and inputs."""
    rng = np.random.default_rng(5)
    program = random_program(rng, layers=2, models=("brf", "li"), sizes=6, recurrent=1.0, border=False)
    return program, random_inputs(rng, program, T, B)


def long_run() -> None:
    """Main side: a run of many minutes, for tests that interrupt it."""
    from hardware.lava.runtime import run

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit it ignored
    program, inputs = brf_network(T=20_000, B=50)
    run(program, inputs, connections="dense", progress=lambda *at: print(*at, flush=True))


def failing_process() -> None:
    """Lava side: a ProcessModel that raises in its fifth step; prints what the caller gets and how long it took."""
    from hardware.lava.builder import LavaNetwork
    from hardware.lava.processes.brf import PyBRFFixed
    from hardware.lava.request import LavaError

    healthy = PyBRFFixed.step

    def step(self, current):
        if self.time_step == 5:
            raise ArithmeticError("injected fault")
        return healthy(self, current)

    setattr(PyBRFFixed, "step", step)  # noqa: B010  (mypy knows it as a method)
    started = time.monotonic()
    try:
        LavaNetwork(*brf_network()).run()
    except LavaError as error:
        print(error)
        print("traceback:", error.traceback.strip().splitlines()[-1])
        print(f"seconds: {time.monotonic() - started:.1f}")
    setattr(PyBRFFixed, "step", healthy)  # noqa: B010  and the interpreter is still good for another run
    print(LavaNetwork(*brf_network()).run().output.shape)


def second_run() -> None:
    """Lava side: what the caller of a network that has run gets."""
    from hardware.lava.builder import LavaNetwork
    from hardware.lava.request import LavaError

    network = LavaNetwork(*brf_network())
    network.run()
    try:
        network.run()
    except LavaError as error:
        print(error)


def failing_build() -> None:
    """Lava side: a ProcessModel that cannot be built."""
    from hardware.lava.builder import LavaNetwork
    from hardware.lava.processes.brf import PyBRFFixed

    def broken(self, proc_params):
        raise MemoryError("injected fault")

    setattr(PyBRFFixed, "__init__", broken)  # noqa: B010
    try:
        LavaNetwork(*brf_network()).run()
    except Exception as error:
        print(type(error).__name__, error)


def standing_start() -> None:
    """Lava side: a ProcessModel that stands still while it is built."""
    from hardware.lava.builder import LavaNetwork
    from hardware.lava.processes.brf import PyBRFFixed
    from hardware.lava.request import LavaError

    def stand(self, proc_params):
        signal.pause()

    setattr(PyBRFFixed, "__init__", stand)  # noqa: B010
    try:
        LavaNetwork(*brf_network()).run(stall_s=1.0)
    except LavaError as error:
        print(error)


def plain_lif() -> None:
    """Lava side: Lava's untouched LIF and Dense, states read after every step, against this project's CubaLIF."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.dense.process import Dense as LavaDense
    from lava.proc.io.source import RingBuffer
    from lava.proc.lif.process import LIF

    from hardware.lava.builder import LavaNetwork

    rng = np.random.default_rng(6)
    n, n_in, steps = 5, 3, 30
    weights = {"in": rng.integers(-127, 128, (n, n_in)), "rec": rng.integers(-127, 128, (n, n))}
    du, dv, vth = rng.integers(0, 2000, n), rng.integers(0, 2000, n), rng.integers(50, 400, n)
    spikes = rng.integers(0, 2, (n_in, steps))

    source = RingBuffer(data=spikes.astype(np.int32))
    lif = LIF(shape=(n,), du=du, dv=dv, vth=vth, bias_mant=0)
    exponents = {"in": 2, "rec": 1}
    for name, pre in (("in", source), ("rec", lif)):  # mixed 8-bit weights are even numbers: 2 W and one exponent less
        dense = LavaDense(weights=2 * weights[name], weight_exp=exponents[name] - 1)
        pre.s_out.connect(dense.s_in)
        dense.a_out.connect(lif.a_in)
    states: dict[str, list[np.ndarray]] = {"u": [], "v": []}
    for _ in range(steps + 1):
        lif.run(RunSteps(num_steps=1), Loihi2SimCfg(select_tag="fixed_pt"))
        states["u"].append(lif.u.get())
        states["v"].append(lif.v.get())
    lif.stop()

    def int32(values):
        return np.asarray(values, dtype=np.int32)

    layer = Layer(
        name="cuba",
        model="cuba_lif",
        input=Synapses(weights["in"].astype(np.int8), exponents["in"]),
        recurrent=Synapses(weights["rec"].astype(np.int8), exponents["rec"]),
        bias=np.zeros(n, dtype=np.int32),
        parameters={"du": int32(du), "dv": int32(dv), "vth": int32(vth)},
        shifts={},
    )
    trace = LavaNetwork(Program.chain((layer,), InputFormat(n_in)), spikes.T[:, None, :], "all").run()
    for name in states:
        expected = np.stack(states[name][1:])  # Lava's first step has no input yet
        print(name, np.array_equal(trace.states[f"{name}/cuba"][:, 0], expected), int(trace.output.sum()) > 0)


def real_step(model: str, n: dict, s: list[float], z: bool, drive: float) -> tuple[list[float], bool]:
    """One step of one neuron in real arithmetic: the specification's equations, never rounded or saturated."""
    k = 2.0 ** n.get("K", 0)
    current = drive + n["bias"]
    if model == "brf":
        u, v, q = s
        d, r = max(0.0, n["C"] - q * n["D"] / 2 ** n["Kd"]) / k, n["S"] / k
        new = [d * u - r * v + current, r * u + d * v]
        spike = new[0] - q > n["TH"]
        return [*new, q * n["R"] / 2 ** n["KR"] + n["J"] * spike], spike
    if model == "se_adlif":
        u = s[0] * n["A"] / k - s[1] / 2 ** n["g"] + current
        spike = u > n["TH"]
        u = 0.0 if spike else u
        adapting = spike if n["adaptation_spike"] == "current" else z
        return [u, s[1] * n["Be"] / k + u * n["At"] / 2 ** n["Ka"] + n["Bt"] * adapting], spike
    if model == "alif":
        a = s[0] * n["Rho"] / k + n["Ja"] * z
        u = s[1] * n["A"] / k + current - (n["B0"] + a) * z
        return [a, u], u > n["B0"] + a
    if model == "cuba_lif":
        u = s[0] * (4095 - n["du"]) / 4096 + 64 * drive
        v = s[1] * (4096 - n["dv"]) / 4096 + u + n["bias"]
        spike = v > 64 * n["vth"]
        return [u, 0.0 if spike else v], spike
    u = s[0] * n["A"] / k + current
    spike = model == "lif" and u > n["TH"]
    return [(0.0 if n["reset"] == "zero" else u - n["TH"]) if spike else u], spike


def floating_point() -> None:
    """Lava side: largest relative difference of the floating-point models from :func:`real_step`, for each model."""
    from hardware.lava.builder import LavaNetwork
    from hardware.models import MODELS
    from hardware.reference import neuron_constants

    for model in MODELS:
        rng = np.random.default_rng(7)
        program = random_program(rng, layers=1, models=(model,), sizes=5, border=False, inputs=3, recurrent=1.0)
        inputs, layer = random_inputs(rng, program, T=12, B=2), program.layers[0]
        for connections in ("dense", "batched"):
            network = LavaNetwork(program, inputs, "all", connections=connections, arithmetic="floating_pt")
            trace = network.run()
            worst = 0.0
            for sample in range(2):
                states, z = [[0.0] * len(layer.spec.states) for _ in range(layer.size)], [False] * layer.size
                for t in range(12):
                    drive = layer.input.weight.astype(float) @ inputs[t, sample] * 2**layer.input.exponent
                    if layer.recurrent is not None:
                        drive = drive + layer.recurrent.weight.astype(float) @ z * 2**layer.recurrent.exponent
                    for i in range(layer.size):
                        states[i], z[i] = real_step(model, neuron_constants(layer, i), states[i], z[i], drive[i])
                    for index, name in enumerate(layer.spec.states):
                        found, wanted = trace.states[f"{name}/{layer.name}"][t, sample], np.array(states)[:, index]
                        worst = max(worst, np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))
            print(model, connections, trace.output.shape, f"{worst:.1e}")


def late_and_delayed() -> tuple[Program, np.ndarray]:
    """Populations that start late, with bias and initial states; delays up to 3; neurons that spike to the end."""
    one = np.ones(4, np.int32)
    rng = np.random.default_rng(8)

    def alif(name: str) -> Population:
        parameters = {"A": 3900 * one, "Rho": 4000 * one, "Ja": 20 * one, "B0": 90 * one}
        initial = {"u": 70 * one, "a": 5 * one}
        return Population(name, 4, "alif", 25 * one, parameters, {"K": 12}, initial=initial)

    def joined(name: str, source: str, target: str, delay: int) -> Projection:
        return Projection(name, source, target, Dense(rng.integers(-20, 60, (4, 4)).astype(np.int8)), 0, delay)

    projections = (
        joined("in", "input", "a", 0),
        joined("on", "a", "b", 0),
        joined("far", "a", "b", 3),
        joined("own", "b", "b", 1),
        joined("back", "b", "a", 2),
        joined("past", "input", "b", 0),
    )
    program = Program((Input("input", 4),), (alif("a"), alif("b")), projections, ("b",))
    return program, random_inputs(rng, program, T=15, B=3)


def mutants() -> None:
    """Lava side: differing integers of a graph, for the unchanged code and for each of some wrong ones."""
    from hardware.emulator import emulate
    from hardware.lava import builder, network
    from hardware.lava.neuron import Timed
    from hardware.start_steps import line_steps, rest_steps

    program, inputs = late_and_delayed()
    expected = emulate(program, inputs, "all", backend="numpy").arrays()
    resting, put_back = Timed.rest, Timed.put_back

    def decays(self: Timed) -> None:
        if self.timing.schedule is not None and self.time_step <= self.timing.schedule.start:
            self.work()  # a step before the first
        else:
            resting(self)

    def keeps_spikes(self: Timed, samples: slice) -> None:
        before = self.z.copy()
        put_back(self, samples)
        self.z[:] = before

    changes = {
        "nothing": (builder, "rest_steps", rest_steps),
        "one step fewer of rest": (builder, "rest_steps", lambda of: rest_steps(of) - 1),
        "a held population decays": (Timed, "rest", decays),
        "spikes survive the rest": (Timed, "put_back", keeps_spikes),
        "a line is a step longer": (
            network,
            "line_steps",
            lambda of, starts: {k: n + (k == "past") for k, n in line_steps(of, starts).items()},
        ),
    }
    for name, (place, attribute, value) in changes.items():
        before = getattr(place, attribute)
        setattr(place, attribute, value)
        for connections in ("dense", "batched"):
            found = builder.LavaNetwork(program, inputs, "all", connections=connections).run().arrays()
            print(f"{name}, {connections}:", sum(int((found[key] != expected[key]).sum()) for key in expected))
        setattr(place, attribute, before)


def free_networks() -> None:
    """Lava side: networks without schedule or recorder in Lava programs of several kinds."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer

    from hardware.emulator import emulate
    from hardware.lava.network import Network
    from hardware.lava.run_config import run_config
    from hardware.models import MODELS

    rng = np.random.default_rng(9)

    def source(values: np.ndarray, silent: int) -> RingBuffer:
        """Values (T, N) and then some steps of silence, over and over."""
        return RingBuffer(data=np.pad(values, ((0, silent), (0, 0))).T.astype(np.int32))

    # A chain cut in two networks that run in one program, the second behind the first
    program = random_program(rng, layers=2, models=("se_adlif", "alif"), sizes=5, recurrent=1.0, border=False)
    inputs = random_inputs(rng, program, T=15, B=1)
    whole = emulate(program, inputs, "all")
    first, second = program.layers
    one = Network(Program.chain((first,), program.input))
    other = Network(
        Program.chain((second,), InputFormat(first.size)), connections="batched", begin=one.starts[first.name]
    )
    source(inputs[:, 0], other.latency).s_out.connect(one.inputs["input"])
    one.outputs[first.name].connect(other.inputs["input"])
    sink = Sink(shape=(second.size,), buffer=15 + other.latency)
    other.outputs[second.name].connect(sink.a_in)
    config = run_config([*one.processes, *other.processes], "fixed_pt")
    one.run(RunSteps(num_steps=15 + other.latency), config)
    found = sink.data.get().T[other.latency :]
    one.stop()
    print("chained networks equal the whole:", np.array_equal(found, whole.output[:, 0]), bool(found.any()))

    # A user who sets Vars instead of calling reset(): z is one of them
    layer = Program.chain((first,), program.input)
    network = Network(layer, connections="batched")
    source(inputs[:, 0], network.latency).s_out.connect(network.inputs["input"])
    neurons, runs = network.populations[first.name], []
    for _ in range(2):
        network.run(RunSteps(num_steps=15 + network.latency))
        runs.append(
            [variable.get() for variable in (*(getattr(neurons, name) for name in first.spec.states), neurons.z)]
        )
        for name in (*first.spec.states, "z"):
            getattr(neurons, name).set(np.zeros(first.size, np.int32))
        neurons.hold.set(np.array([network.latency]))
        for connection in network.projections.values():
            connection.clear.set(np.ones(1, np.int32))
    network.stop()
    expected = [whole.states[f"{name}/{first.name}"][-1, 0] for name in first.spec.states]
    expected.append(whole.spikes[first.name][-1, 0])
    same = all(np.array_equal(a, b) for run in runs for a, b in zip(run, expected, strict=True))
    print("Vars set by hand put the first sample back:", same, bool(expected[-1].any() or expected[0].any()))

    for model in (name for name, spec in MODELS.items() if spec.spiking):
        program = random_program(rng, layers=1, models=(model,), sizes=5, recurrent=1.0, border=False)
        inputs = random_inputs(rng, program, T=10, B=1)
        network = Network(program, arithmetic="floating_pt")
        source(inputs[:, 0], network.latency).s_out.connect(network.inputs["input"])
        state = network.state(program.output.name, program.output.spec.states[0])
        ends = []
        for _ in range(2):
            network.run(RunSteps(num_steps=10 + network.latency))
            ends.append(state.get())
            network.reset()
        network.stop()
        print(f"floating_pt {model} after reset:", np.array_equal(*ends), bool(np.abs(ends[0]).any()))


def wrapping_lif() -> tuple[Program, np.ndarray]:
    """A ``lif`` that would fit Lava's LIF but for its drive, which can pass 2^23 - 1; three steps, every other does."""
    one = np.ones(1, np.int32)
    population = Population("p", 1, "lif", 0 * one, {"A": 2000 * one, "TH": 6400 * one}, {"K": 12})
    weight = Dense(np.array([[127, 127]], np.int8))
    program = Program((Input("in", 2),), (population,), (Projection("w", "in", "p", weight, 16),), ("p",))
    return program, np.array([[1, 1], [1, 0], [1, 1]], np.int32)[:, None]


def forced_onto_lavas_lif() -> None:
    """Lava side: spikes of that network as it is run, and as it would be on Lava's LIF."""
    from hardware.lava import assignment
    from hardware.lava.builder import LavaNetwork

    program, inputs = wrapping_lif()
    print("ours", *LavaNetwork(program, inputs).run().output.ravel())
    setattr(assignment, "_not_lavas", lambda program, population: None)  # noqa: B010
    print("forced", *LavaNetwork(program, inputs).run().output.ravel())


if __name__ == "__main__":
    globals()[sys.argv[1]]()
