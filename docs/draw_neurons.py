"""Draw ``neurons/KIND.svg``: ``python docs/draw_neurons.py``. Each neuron model of the package runs alone: its states
under a rectangular current, and its firing rate against what it is driven with."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
import torch

import hypr
from hypr.report.pictures import FLOAT, GREY, INTEGER, STYLE

HERE = Path(__file__).resolve().parent / "neurons"
STEPS, ON, OFF = 300, 40, 220
LABELS = {"u": "u", "v": "v", "w": "w, adaptation", "a": "a, adaptation", "q": "q, refractory trace"}


def main() -> None:
    torch.manual_seed(0)
    HERE.mkdir(exist_ok=True)
    for kind, neuron, current in CASES:
        with plt.rc_context(STYLE):
            figure, (states, rates) = plt.subplots(
                1, 2, figsize=(8.4, 2.9), width_ratios=[1.6, 1], layout="constrained"
            )
            _response(states, neuron, kind, current)
            (_resonance if kind == "brf" else _rate)(rates, neuron, current)
            figure.savefig(HERE / f"{kind}.svg", metadata={"Date": None, "Creator": None})
            plt.close(figure)


def one(make, **options):
    """A single neuron that hears one channel with weight 1 and not itself."""
    layer = make(1, 1, recurrent=False, **options) if make is not hypr.LI else make(1, 1, **options)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    return hypr.Network([layer])


def driven(network, currents):
    """Trajectories of the neuron under currents (T, B)."""
    with torch.no_grad():
        found = network.trajectory(torch.as_tensor(currents, dtype=torch.float32).T[:, :, None])
    return next(iter(found.values()))


def _response(axes, network, kind, current):
    drive = np.zeros((STEPS, 1))
    t = np.arange(ON, OFF)
    drive[ON:OFF, 0] = current * np.cos(0.04 * (t - ON)) if kind == "brf" else current
    trajectory, layer = driven(network, drive), network.layers[0]
    axes.axvspan(ON, OFF, color="#eef1f5", zorder=0, lw=0)
    for index, (name, colour) in enumerate(zip(layer.state_names, (FLOAT, INTEGER, GREY), strict=False)):
        axes.plot(trajectory.states[1:, 0, index, 0], color=colour, lw=1.2, label=LABELS[name])
    spikes = np.flatnonzero(trajectory.spikes[1:, 0, 0]) if layer.spiking else []
    top = axes.get_ylim()[1]
    axes.vlines(spikes, top, top * 1.12, color="black", lw=0.8)
    what = "a current that turns at 4 rad/s of its clock" if kind == "brf" else f"a current of {current:g}"
    axes.set(title=f"{what}, steps {ON} to {OFF}", xlabel="step")
    axes.legend(loc="lower left", fontsize=7)


def _rate(axes, network, current):
    levels = np.linspace(0, 3 * current, 60)
    trajectory, layer = driven(network, np.tile(levels, (1000, 1))), network.layers[0]
    value = trajectory.spikes[500:].mean(0)[:, 0] if layer.spiking else trajectory.states[-1, :, 0, 0]
    axes.plot(levels, value, color=FLOAT, lw=1.4)
    axes.set(
        title="spikes per step" if layer.spiking else "u after 1,000 steps", xlabel="constant current", ylim=(0, None)
    )


def _resonance(axes, network, current):
    layer = network.layers[0]
    turns = np.linspace(0.5, 12, 70)
    t = np.arange(1500)[:, None] * layer.dt
    for strength, colour in ((0.5, GREY), (1.0, FLOAT), (2.0, INTEGER)):
        trajectory = driven(network, strength * current * np.cos(turns * t))
        axes.plot(
            turns,
            trajectory.spikes[500:].mean(0)[:, 0],
            color=colour,
            lw=1.2,
            label=f"amplitude {strength * current:g}",
        )
    axes.axvline(4.0, color="black", lw=0.6, ls=":")
    axes.set(title="spikes per step", xlabel="frequency of the current (rad)", ylim=(0, None))
    axes.legend(fontsize=7)


CASES = (
    ("brf", one(hypr.BRF, omega_range=(4.0, 4.0), b_range=(0.5, 0.5)), 8.0),
    ("se_adlif", one(hypr.SEAdLIF, a_range=(0.5, 0.5), b_range=(0.5, 0.5)), 30.0),
    ("alif", one(hypr.ALIF, tau_u=(10.0, 0.0), tau_a=(100.0, 0.0)), 1.0),
    ("lif", one(hypr.LIF, tau_range=(15.0, 15.0)), 1.5),
    ("cuba_lif", one(hypr.CubaLIF, tau_syn_range=(5.0, 5.0), tau_mem_range=(15.0, 15.0)), 0.25),
    ("li", one(hypr.LI, tau_range=(20.0, 20.0)), 1.0),
)

if __name__ == "__main__":
    main()
