"""How a network was read, in numbers and words: what an importer prints and records."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.interchange.steps import StepNetwork, StepPopulation

_DECAY = {"lif": "alpha", "li": "kappa", "cuba_lif": "alpha_mem"}
_GAIN = {"lif": "gain", "li": "gain", "cuba_lif": "mem_gain"}


def conventions_of(network: StepNetwork, scheme: str | None = None) -> dict[str, Any]:
    """Everything that the file did not say, as it was taken; JSON-able.

    Returns:
        ``dt`` (seconds, or None), ``scheme``, ``neurons`` (one dict each: name, model, reset, reset_timing, spikes,
        spike_at, start, and decay, gain as [smallest, largest], those of a CubaLIF's current as syn_decay, syn_gain),
        ``delays`` (projections with more than no delay), ``notes``, ``warnings``.
    """
    return {
        "dt": network.dt,
        "scheme": scheme,
        "neurons": [_neuron(item) for item in network.populations],
        "delays": {f"{p.source} -> {p.target}": p.delay for p in network.projections if p.delay},
        "notes": list(network.notes),
        "warnings": list(network.warnings),
    }


def _neuron(population: StepPopulation) -> dict[str, Any]:
    options, p = population.options, population.parameters
    found: dict[str, Any] = {"name": population.name, "model": population.kind}
    if "reset" in options:
        found["reset"] = options["reset"]
        found["reset_timing"] = options.get("reset_timing", "same_step")
        found["spikes"] = options.get("spikes", "single")
        found["spike_at"] = options.get("spike_at", "above")
        if "max_spikes" in options:
            found["max_spikes"] = options["max_spikes"]
    if population.kind in _DECAY:
        found["decay"] = _span(p[_DECAY[population.kind]])
        found["gain"] = _span(p[_GAIN[population.kind]])
    if population.kind == "cuba_lif":
        found["syn_decay"], found["syn_gain"] = _span(p["alpha_syn"]), _span(p["syn_gain"])
    starts = {state: _span(value) for state, value in population.initial.items() if np.any(value)}
    return {**found, "start": starts} if starts else found


def _span(values: np.ndarray) -> list[float]:
    return [float(values.min()), float(values.max())]
