"""How to read what a NIR file does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from export.errors import ExportError
from export.interchange.source import DECISION_RULES
from export.interchange.time_constants import SCHEMES

RESETS = ("zero", "subtract", "none")
OPEN = {
    "scheme": SCHEMES,
    "reset": RESETS,
    "reset_timing": ("same_step", "next_step", "carried_over"),
    "start": ("zero", "v_leak", "v_reset"),
    "integrator_gain": ("r_dt", "r"),
    "synapse_gain": ("w_in_dt", "w_in", "w_in_decayed"),
    "spikes": ("single", "multi"),
    "spike_at": ("above", "threshold"),
    "max_spikes": ("15", "31", "255"),
}
"""Conventions of a neuron that a file leaves open, and what each may be."""
OF_A_LAYER = (*OPEN, "feed_forward_keeps_input", "recurrent_bias_at_start")
"""Conventions that may differ between neurons of one file."""


@dataclass(frozen=True)
class Reading:
    """How to read what a NIR file does not say. None: from the file's metadata, else the default given here.

    Attributes:
        dt: seconds per step; else inferred where time constants differ and every gain ``r dt/tau`` is one, else an
            error.
        scheme: ``euler`` (default: ``1 - dt/tau``, gain ``r dt/tau``), ``euler_unit_gain`` (gain 1), ``exponential``
            (``exp(-dt/tau)``, gain ``r (1 - exp(-dt/tau))``) or ``exponential_unit_gain`` (gain 1).
        reset: ``zero`` (default: NIR's v_reset) or ``subtract`` (theta).
        reset_timing: ``same_step`` (default); ``next_step``: the spike of the previous step resets, after decay and
            input; ``carried_over``: as same_step, but a membrane that is still above theta loses another theta before
            the next spike is tested.
        feed_forward_keeps_input: with a ``zero`` reset at the next step, a LIF without recurrence loses its old
            membrane but keeps the new input.
        recurrent_bias_at_start: whether the bias of recurrent synapses acts at the first step already (default True).
        cuba_reset_timing: of CubaLIF neurons, where it differs.
        start: where membranes start: ``zero`` (default), ``v_leak`` or ``v_reset``.
        integrator_gain: of IF and I: ``r_dt`` (default, NIR's equation) or ``r``, without the time step.
        synapse_gain: of a CubaLIF's current: ``w_in_dt`` (default, NIR's equation), ``w_in``, undivided, or
            ``w_in_decayed``, where the input decays with the state already in its first step.
        spikes: ``single`` (default), or ``multi``: ``trunc(v / theta)`` spikes in one step.
        spike_at: ``above`` (default: v > theta) or ``threshold`` (v >= theta).
        max_spikes: with ``multi``, the most spikes in one step, ``15``, ``31`` or ``255``; default: no limit, in
            integers one that the calibration inputs do not reach.
        lag: steps after which a layer's spikes reach the next one, its output included; default 0.
        ask: conventions above that must be given, because the tool has two and its files do not say which.
        assumed: conventions of a preset that its tool's users change; warned of where they are not given.
        tool: who wrote the file, for messages.
        input_format: (low, high) of the input integers, default (0, 1).
        decision: rule; default ``sum`` of a leaky integrator, ``spike_count`` of a spiking output.
        order: names of neurons in the order in which a step evaluates them, where a cycle leaves two.
        output: Output node or neuron that the decision reads; default the last Output node by name.
        layers: neuron -> conventions of its own, of those in :data:`OF_A_LAYER`, instead of the ones above.
    """

    dt: float | None = None
    scheme: str | None = None
    reset: str | None = None
    reset_timing: str | None = None
    feed_forward_keeps_input: bool = False
    recurrent_bias_at_start: bool | None = None
    cuba_reset_timing: str | None = None
    start: str | None = None
    integrator_gain: str | None = None
    synapse_gain: str | None = None
    spikes: str | None = None
    spike_at: str | None = None
    max_spikes: str | None = None
    lag: int = 0
    ask: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    tool: str | None = None
    input_format: tuple[int, int] | None = None
    decision: str | None = None
    order: tuple[str, ...] = ()
    output: str | None = None
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        allowed = {**OPEN, "decision": DECISION_RULES}
        for key, values in allowed.items():
            if getattr(self, key) is not None and getattr(self, key) not in values:
                raise ExportError(f"{key} is '{getattr(self, key)}'; allowed: {', '.join(values)}")
        for key in ("order", "ask", "assumed"):
            object.__setattr__(self, key, tuple(getattr(self, key) or ()))
        object.__setattr__(self, "layers", {name: dict(own) for name, own in (self.layers or {}).items()})
        for name, own in self.layers.items():
            unknown = [key for key in own if key not in OF_A_LAYER]
            if unknown:
                raise ExportError(
                    f"layer {name}: '{unknown[0]}' is no convention of one layer; {', '.join(OF_A_LAYER)} are"
                )
            self.of_layer(name)
        if self.lag not in (0, 1):
            raise ExportError(f"lag is {self.lag}; allowed: 0, 1")
        if self.dt is not None and not (np.isfinite(self.dt) and self.dt > 0):
            raise ExportError(f"dt is {self.dt}; it must be a positive number of seconds")

    def of_layer(self, name: str) -> Reading:
        """The conventions of the neuron ``name``."""
        own = self.layers.get(name)
        return self if not own else replace(self, layers={}, **own)
