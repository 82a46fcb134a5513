"""What a plan costs per sample: events, energy and time by published figures, beside a dense float network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.mapping import routes
from hardware.mapping.limits import Figures, Time
from hardware.mapping.plan import Plan

KINDS = ("dense", "sparse", "convolution")
FLOAT_MAC_PJ = 4.6
FLOAT_MAC_SOURCE = "float32 multiply 3.7 pJ and add 0.9 pJ at 45 nm, Horowitz, ISSCC 2014 (C); memory accesses left out"


@dataclass(frozen=True)
class Counts:
    """Events of one sample, averaged over the samples.

    Attributes:
        steps: of a sample.
        input_spikes, spikes: messages of inputs, and spikes of neurons.
        synops: kind of synapses -> synaptic operations. updates: neurons times steps.
        messages: spikes times the cores they go to. hops: (east-west, north-south). between_chips: messages.
        dense_macs: operations of the dense float network with the same projections: every synapse at every step.
    """

    steps: int
    input_spikes: float
    spikes: float
    synops: dict[str, float]
    updates: float
    messages: float
    hops: tuple[float, float]
    between_chips: float
    dense_macs: int


@dataclass(frozen=True)
class Estimate:
    """What one source's figures say.

    Attributes:
        figures: the source.
        energy_uj: part -> microjoule per sample (synapses, updates, messages, hops, total); None where it has none.
        step_us: mean time of a step: of every step its slowest core, and the barrier; None where it has none.
        sample_ms: of a sample.
        slowest_core: number of the core that is the slowest on average, None likewise.
    """

    figures: Figures
    energy_uj: dict[str, float] | None
    step_us: float | None
    sample_ms: float | None
    slowest_core: int | None


@dataclass(frozen=True)
class Cost:
    """Counts, estimates of every source, and idle energy."""

    counts: Counts
    estimates: tuple[Estimate, ...]
    idle_power_mw: float | None
    step_ms: float

    def describe(self) -> dict[str, Any]:
        """Plain data (JSON-able), every figure with source, confidence and what it leaves out."""
        return {
            "per_sample": {**vars(self.counts), "synops_total": sum(self.counts.synops.values())},
            "estimates": [self._one(estimate) for estimate in self.estimates],
            "dense_float_network": {
                "macs": self.counts.dense_macs,
                "energy_uj": self.counts.dense_macs * FLOAT_MAC_PJ * 1e-6,
                "source": FLOAT_MAC_SOURCE,
                "macs_per_synop": self.counts.dense_macs / max(sum(self.counts.synops.values()), 1e-12),
            },
            "idle_power_mw_per_chip": self.idle_power_mw,
        }

    def _one(self, estimate: Estimate) -> dict[str, Any]:
        figures = estimate.figures
        words = {name: getattr(figures, name) for name in ("name", "title", "source", "confidence", "leaves_out")}
        return {
            **words,
            "energy_uj": estimate.energy_uj,
            "step_us": estimate.step_us,
            "sample_ms": estimate.sample_ms,
            "slowest_core": estimate.slowest_core,
            "idle_mj": self.idle_mj(estimate),
        }

    def idle_mj(self, estimate: Estimate) -> dict[str, float] | None:
        """Idle energy of the chips per sample: as fast as they can, and at the network's own time step."""
        if self.idle_power_mw is None or estimate.sample_ms is None:
            return None
        watt = self.idle_power_mw * 1e-3
        own = self.counts.steps * max(self.step_ms, (estimate.step_us or 0) * 1e-3)
        return {"unthrottled": watt * estimate.sample_ms, f"at {self.step_ms:g} ms per step": watt * own}


def cost_of(plan: Plan, step_ms: float = 1.0) -> Cost:
    """Cost of the activity that the plan was made for.

    Args:
        step_ms: time step of the network in the world, for idle energy.
    """
    loads = _Loads(plan)
    counts = _counts(plan, loads)
    estimates = tuple(_estimate(plan, loads, counts, figures) for figures in plan.target.figures)
    idle = plan.target.limits["idle_power_mw"].value
    return Cost(counts, estimates, None if idle is None else float(idle) * max(plan.placed.chips, 1), step_ms)


class _Loads:
    """Work of each core at each recorded step."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows = plan.activity.rows
        self.length = len(next(iter(self.rows.values())))
        self.sent = routes.destinations(plan.needs, plan.cores)

    def of(self, index: int) -> dict[str, Any]:
        """``synops`` by kind, ``messages_in``, ``messages_out``, ``spikes``: float64 (R,); ``neurons``."""
        core = self.plan.cores[index]
        synops = {kind: np.zeros(self.length) for kind in KINDS}
        received = np.zeros(self.length)
        for source, kinds in routes.fan_out(self.plan.needs, core).items():
            if source not in self.rows:
                continue
            received += self._weighted(source, routes.reached(kinds).astype(np.float64))
            for kind, counts in kinds.items():
                synops[kind] += self._weighted(source, counts.astype(np.float64))
        spikes, out = np.zeros(self.length), np.zeros(self.length)
        for piece in core.slices:
            if piece.population in self.rows:
                own = np.zeros(self.plan.needs.program.sizes[piece.population])
                own[piece.neurons] = 1
                spikes += self._weighted(piece.population, own)
                out += self._weighted(piece.population, own * self.sent[piece.population])
        return {"synops": synops, "messages_in": received, "messages_out": out, "spikes": spikes,
                "neurons": core.demand.neurons}  # fmt: skip

    def _weighted(self, source: str, weights: np.ndarray, chunk: int = 4096) -> np.ndarray:
        """float64 (R,): the source's messages, each times its weight, a part of the steps at a time."""
        rows = self.rows[source]
        parts = [rows[start : start + chunk].astype(np.float64) @ weights for start in range(0, self.length, chunk)]
        return np.concatenate(parts)


def _counts(plan: Plan, loads: _Loads) -> Counts:
    program, steps = plan.needs.program, plan.activity.steps
    totals = {name: float(plan.activity.rate(name, size).sum()) * steps for name, size in program.sizes.items()}
    inputs = {item.name for item in program.inputs}
    synops = dict.fromkeys(KINDS, 0.0)
    for wiring in plan.needs.wirings.values():
        rate = plan.activity.rate(wiring.projection.source, wiring.sources)
        synops[wiring.kind] += float(rate @ wiring.counts(np.arange(wiring.targets))) * steps
    return Counts(
        steps=steps,
        input_spikes=sum(totals[name] for name in inputs),
        spikes=sum(total for name, total in totals.items() if name not in inputs),
        synops=synops,
        updates=float(sum(item.size for item in program.populations) * steps),
        messages=plan.messages * steps,
        hops=(plan.hops[0] * steps, plan.hops[1] * steps),
        between_chips=plan.hops[2] * steps,
        dense_macs=sum(wiring.total for wiring in plan.needs.wirings.values()) * steps,
    )


def _estimate(plan: Plan, loads: _Loads, counts: Counts, figures: Figures) -> Estimate:
    energy = None
    if figures.energy is not None:
        price = figures.energy
        energy = {
            "synapses": sum(price.synop[kind] * counts.synops[kind] for kind in KINDS),
            "updates": price.update * counts.updates + price.spike * counts.spikes,
            "messages": price.message * counts.messages,
            "hops": price.hop_x * counts.hops[0] + price.hop_y * counts.hops[1],
        }
        energy = {name: value * 1e-6 for name, value in energy.items()}
        energy["total"] = sum(energy.values())
    if figures.time is None or not plan.cores:
        return Estimate(figures, energy, None, None, None)
    slowest, per_core = np.zeros(loads.length), []
    for index in range(len(plan.cores)):
        took = _core_time(figures.time, loads.of(index))
        per_core.append(float(took.mean()))
        slowest = np.maximum(slowest, took)
    step = float(slowest.mean()) + figures.time.barrier_ns(plan.placed.tiles)
    return Estimate(figures, energy, step * 1e-3, step * counts.steps * 1e-6, int(np.argmax(per_core)))


def _core_time(time: Time, load: dict[str, Any]) -> np.ndarray:
    """float64 (R,): ns of one core at each step, without the barrier."""
    synapses: Sequence[np.ndarray] = [time.synop[kind] * load["synops"][kind] for kind in KINDS]
    receiving = time.message_in * load["messages_in"] + sum(synapses)
    updating = time.update * load["neurons"] + time.spike * load["spikes"] + time.message_out * load["messages_out"]
    result: np.ndarray = receiving + updating if time.combine == "sum" else np.maximum(receiving, updating)
    return result
