"""Conventions of other frameworks, for NIR files that they wrote: time step, reset, its timing, bias of recurrent
synapses.

A file does not say these things, so the reader must be told who wrote it. Where a framework's dynamics have no exact
form here, its preset is an error with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any

from export.errors import ExportError, UnsupportedError
from export.interchange.reading import Reading

PRESETS: Mapping[str, Reading] = {
    "nir": Reading(scheme="euler", reset="zero", start="v_reset", tool="NIR"),
    "snntorch": Reading(
        dt=1e-4,
        scheme="euler",
        reset="subtract",
        reset_timing="next_step",
        feed_forward_keeps_input=True,
        integrator_gain="r",
        assumed=("reset", "reset_timing"),
        tool="snnTorch",
    ),
    "snntorch-2024": Reading(
        dt=1e-4,
        scheme="euler",
        reset="subtract",
        reset_timing="carried_over",
        integrator_gain="r",
        assumed=("reset",),
        tool="snnTorch",
    ),
    "norse": Reading(
        dt=1e-3,
        scheme="euler",
        reset="zero",
        recurrent_bias_at_start=False,
        start="v_leak",
        integrator_gain="r",
        ask=("synapse_gain",),
        assumed=("reset",),
        tool="Norse",
    ),
    "sinabs": Reading(
        dt=1.0, reset="subtract", spike_at="threshold", ask=("scheme", "spikes"), assumed=("reset",), tool="Sinabs"
    ),
    "spikingjelly": Reading(
        dt=1e-4, scheme="euler", reset="zero", start="v_reset", spike_at="threshold", tool="SpikingJelly"
    ),
    "spyx": Reading(
        dt=1e-4,
        scheme="euler_unit_gain",
        synapse_gain="w_in",
        reset="subtract",
        reset_timing="next_step",
        cuba_reset_timing="same_step",
        lag=1,
        tool="Spyx",
    ),
    "rockpool": Reading(
        dt=1e-3,
        scheme="exponential_unit_gain",
        synapse_gain="w_in_decayed",
        reset="subtract",
        spikes="multi",
        spike_at="threshold",
        tool="Rockpool",
    ),
    "nir-paper-braille": Reading(dt=1e-4, scheme="euler", reset="zero", decision="spike_count"),
}
"""Preset -> reading. ``snntorch`` is version 1.0 with its defaults (give ``reset="zero"`` for reset_mechanism="zero",
``reset_timing="carried_over"`` for reset_delay=False); ``snntorch-2024`` the version of the NIR paper; ``nir`` the
equations of NIR taken literally, dt to be given or inferred."""

REFUSED: Mapping[str, str] = {
    "nengo": "its neurons integrate between spikes and spike at fractions of a step; no update per step equals that",
}
"""Framework -> why its files cannot be converted exactly."""


def reading_of(preset: str, **changes: Any) -> Reading:
    """Reading of a preset.

    Args:
        preset: a name in :data:`PRESETS`.
        changes: fields of :class:`Reading` by name; None keeps the preset's.

    Raises:
        UnsupportedError: a framework whose dynamics have no exact form here; says why.
        ExportError: an unknown preset or field; names the nearest.
    """
    if preset in REFUSED:
        raise UnsupportedError(
            f"preset '{preset}': {REFUSED[preset]}; train or convert the network in another framework"
        )
    if preset not in PRESETS:
        near = get_close_matches(preset, [*PRESETS, *REFUSED], 1)
        raise ExportError(
            f"unknown preset '{preset}'{f'; did you mean {near[0]}?' if near else ''}; presets are {', '.join(PRESETS)}"
        )
    known = [f.name for f in fields(Reading)]
    unknown = [key for key in changes if key not in known]
    if unknown:
        raise ExportError(f"unknown convention '{unknown[0]}'; conventions are {', '.join(known)}")
    given = {key: value for key, value in changes.items() if value is not None}
    base = PRESETS[preset]
    return replace(base, **{"assumed": tuple(key for key in base.assumed if key not in given), **given})
