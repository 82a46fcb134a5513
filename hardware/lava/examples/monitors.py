"""A Lava program of your own around the network beside this file: RingBuffer sources, sinks, Monitors, resets.

    python example_monitors.py INPUTS.npz OUT.npz

INPUTS.npz holds integers (T, B, N) for each input by its name, or ``input_spikes`` where there is one input. OUT.npz
gets ``spikes/NAME`` from sinks and ``STATE/NAME`` from Monitors, (T, B, N). Needs Python 3.10, the packages of
requirements.txt and the wheel beside this file.
"""

import sys
from pathlib import Path

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.monitor.process import Monitor

from hardware.lava.launcher import read_inputs
from hardware.lava.network import Network
from hardware.program_file import load


def main(program_file: Path, inputs_file: Path, out_file: Path) -> None:
    program = load(program_file)
    inputs = read_inputs(inputs_file, program)
    steps, samples, _ = next(iter(inputs.values())).shape
    network = Network(program)
    window = steps + network.latency  # results of the last population come that much later
    total = samples * window

    for name, ports in network.inputs.items():
        if not ports:  # no population hears this input
            continue
        values = np.pad(inputs[name], ((0, network.latency), (0, 0), (0, 0)))  # silence while they come
        source = Source(data=values.swapaxes(0, 1).reshape(total, -1).T.astype(np.int32))  # (N, Lava steps)
        source.s_out.connect(ports)

    sinks, monitors = {}, {}
    for population in program.populations:
        if population.spec.spiking:
            sinks[population.name] = Sink(shape=(population.size,), buffer=total)
            network.outputs[population.name].connect(sinks[population.name].a_in)
        for state in population.spec.states:
            monitors[state, population.name] = Monitor()
            monitors[state, population.name].probe(network.state(population.name, state), total)

    for _ in range(samples):
        network.run(RunSteps(num_steps=window))
        network.reset()

    def in_time(values: np.ndarray, name: str) -> np.ndarray:
        """(Lava steps, N) -> (T, B, N): each population's own steps."""
        start = network.starts[name]
        return values.reshape(samples, window, -1)[:, start : start + steps].swapaxes(0, 1)

    found = {f"spikes/{name}": in_time(sink.data.get().T, name).astype(np.uint8) for name, sink in sinks.items()}
    for (state, name), monitor in monitors.items():
        (values,) = monitor.get_data()[network.populations[name].name].values()
        found[f"{state}/{name}"] = in_time(values, name).astype(np.int32)
    network.stop()
    np.savez(out_file, **found)  # type: ignore[arg-type]
    print(f"{samples} samples of {steps} steps -> {out_file}")


if __name__ == "__main__":  # Lava starts processes: the guard is needed
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} INPUTS.npz OUT.npz")
    main(Path(__file__).resolve().parent / "program.npz", Path(sys.argv[1]), Path(sys.argv[2]))
