"""A Lava program that runs the network beside this file step by step and looks at it between steps.

    python example_steps.py INPUTS.npz OUT.npz

Two copies of the network run in one program and hear the same source, one with Lava's own Dense, the other with this
package's connections; every step its input is set and its states are read, as a control loop would do. Arrays as in
example_monitors.py; OUT.npz holds those of the first copy, after it was compared with the second.
"""

import sys
from pathlib import Path

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.proc.io.source import RingBuffer

from hardware.lava.launcher import read_inputs
from hardware.lava.network import Network
from hardware.lava.run_config import run_config
from hardware.program_file import load


def main(program_file: Path, inputs_file: Path, out_file: Path) -> None:
    program = load(program_file)
    inputs = read_inputs(inputs_file, program)
    steps, samples, _ = next(iter(inputs.values())).shape
    networks = Network(program, connections="dense"), Network(program, connections="batched")
    config = run_config([process for network in networks for process in network.processes], "fixed_pt")
    sources = {}
    for item in program.inputs:
        ports = [port for network in networks for port in network.inputs[item.name]]
        if ports:
            sources[item.name] = RingBuffer(data=np.zeros((item.size, 1), np.int32))  # one value until it is set again
            sources[item.name].s_out.connect(ports)

    traces: list[dict[str, np.ndarray]] = [{}, {}]
    for population in program.populations:
        names = [*population.spec.states, *(["spikes"] if population.spec.spiking else [])]
        for trace in traces:
            trace.update(
                {f"{name}/{population.name}": np.zeros((steps, samples, population.size), np.int32) for name in names}
            )

    networks[0].run(RunSteps(num_steps=1), config)  # Lava needs to run before Vars can be set
    for sample in range(samples):
        for network in networks:
            network.reset()
        for t in range(steps + networks[0].latency):
            for name, source in sources.items():
                now = inputs[name][t, sample] if t < steps else np.zeros(inputs[name].shape[2], np.int32)
                source.data.set(now[:, None].astype(np.int32))
            networks[0].run(RunSteps(num_steps=1), config)
            for network, trace in zip(networks, traces, strict=True):
                read(network, trace, t, sample)
    networks[0].stop()

    for key, values in traces[0].items():
        if not np.array_equal(values, traces[1][key]):
            raise SystemExit(f"{key}: the two copies differ")
    np.savez(out_file, **traces[0])  # type: ignore[arg-type]
    print(f"{samples} samples of {steps} steps -> {out_file}")


def read(network: Network, trace: dict[str, np.ndarray], t: int, sample: int) -> None:
    """Put the states and spikes after Lava step t of a sample in their places."""
    for key, values in trace.items():
        name, _, population = key.partition("/")
        step = t - network.starts[population]
        if 0 <= step < len(values):
            variable = network.populations[population].z if name == "spikes" else network.state(population, name)
            values[step, sample] = variable.get()


if __name__ == "__main__":  # Lava starts processes: the guard is needed
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} INPUTS.npz OUT.npz")
    main(Path(__file__).resolve().parent / "program.npz", Path(sys.argv[1]), Path(sys.argv[2]))
