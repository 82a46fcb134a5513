"""What a file probably does not mean, in words: each line names the layer, the convention and the option."""

from __future__ import annotations

from collections.abc import Sequence

import nir
import numpy as np

from export.interchange.reading import Reading
from export.interchange.steps import StepPopulation
from export.interchange.topology import Stage, Topology

_LONG_TAU = 2000
"""Steps; a longer time constant is more often a unit than a meaning."""

_ASSUMED = {
    "reset": "its layers may reset otherwise (zero, subtract or none): --reset MODE, or --reset LAYER=MODE",
    "reset_timing": "a layer with another delay of its reset (snnTorch: reset_delay=False) needs --reset-timing "
    "carried_over for subtract, same_step for zero, or --reset-timing LAYER=TIMING",
}


def doubts(
    topology: Topology, populations: Sequence[StepPopulation], dt: float | None, reading: Reading
) -> tuple[str, ...]:
    """Warnings about a network as it was read.

    Args:
        populations: of the same order as the stages of `topology`. dt: seconds per step, None where there is none.
    """
    firing = any(isinstance(stage.node, (nir.LIF, nir.CubaLIF, nir.IF)) for stage in topology.stages)
    found = [
        f"{key} '{getattr(reading, key)}' is the default of {reading.tool}, which no file says; {_ASSUMED[key]}"
        for key in reading.assumed
        if firing
    ]
    for stage, population in zip(topology.stages, populations, strict=True):
        found += _of_stage(stage, population, dt, reading.of_layer(stage.name))
    return tuple(found)


def _of_stage(stage: Stage, population: StepPopulation, dt: float | None, reading: Reading) -> list[str]:
    node = stage.node if stage.integrator is None else stage.integrator
    where, found = f"layer '{stage.name}'", []
    if dt is not None:
        for key in ("tau", "tau_syn", "tau_mem"):
            tau = getattr(node, key, None)
            if tau is not None:
                found += _of_tau(where, key, np.ravel(np.asarray(tau, np.float64)), dt)
    if reading.tool == "Sinabs" and isinstance(node, (nir.IF, nir.LIF)):
        found.append(
            f"{where}: a min_v_mem of Sinabs is in no file; with one (IAFSqueeze read from NIR has -threshold) the "
            "membrane stops there, here it does not"
        )
    if isinstance(node, (nir.IF, nir.I)):
        found += _of_integrator(where, node, dt, reading)
    if population.initial and reading.start is not None:
        found.append(f"{where}: its membrane starts at {reading.start}, not at 0; --start zero says otherwise")
    elif not population.initial and reading.start is None and _starts_differ(node):
        found.append(
            f"{where}: its membrane starts at 0; SpikingJelly starts at v_reset, Norse at v_leak (--start v_reset, "
            "--start v_leak)"
        )
    return found


def _of_tau(where: str, key: str, tau: np.ndarray, dt: float) -> list[str]:
    i, j = int(np.argmin(tau)), int(np.argmax(tau))
    if dt > tau[i] * (1 + 1e-6):
        return [f"{where}: dt {dt:.6g} s exceeds {key} {tau[i]:.6g} s of neuron {i}; check --dt"]
    if tau[j] > _LONG_TAU * dt:
        return [
            f"{where}: {key} of neuron {j} is {tau[j]:.6g} s, {tau[j] / dt:.0f} steps of dt {dt:.6g} s; files use "
            "seconds: if this one has milliseconds, give dt in milliseconds too (--dt)"
        ]
    return []


def _of_integrator(where: str, node: nir.NIRNode, dt: float | None, reading: Reading) -> list[str]:
    r = np.asarray(node.r, np.float64)
    found = []
    if reading.integrator_gain is None and dt not in (None, 1.0) and np.all(r == 1):
        found.append(
            f"{where}: r is 1, so it integrates with gain r dt = {dt:.6g}; Norse and snnTorch integrate without dt "
            "(--integrator-gain r)"
        )
    if isinstance(node, nir.I):
        found.append(
            f"{where}: an integrator forgets nothing; in integers its state stops at its limits on long inputs"
        )
    return found


def _starts_differ(node: nir.NIRNode | None) -> bool:
    return any(np.any(getattr(node, key, 0)) for key in ("v_reset", "v_leak"))
