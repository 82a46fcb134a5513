"""Limits of the target chip, each with its source and how sure it is. Public sources only; a target file can replace
any of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from hardware.errors import HardwareError

CONFIDENCES = ("primary", "secondary", "assumed", "user")


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        name: key in a target file.
        value: the limit, in ``unit``.
        source: where the number comes from.
        confidence: ``primary`` (maker's document or software), ``secondary`` (others report it), ``assumed`` (no public
            source found; taken from
            Loihi 1 or from what fits), ``user`` (from a target file).
    """

    name: str
    value: int
    unit: str
    source: str
    confidence: str


_BRIEF = "Intel, Taking Neuromorphic Computing to the Next Level with Loihi 2, technology brief 2021"
_LAVA = "lava-nc 0.10.0, source"
_NENGO = "nengo-loihi, hardware validation (Loihi 1)"

LOIHI2: Mapping[str, Limit] = MappingProxyType(
    {
        limit.name: limit
        for limit in (
            Limit("cores_per_chip", 128, "neuro-cores", _BRIEF, "primary"),
            Limit("placed_cores_per_chip", 120, "neuro-cores", f"{_LAVA}: the compiler places on 120", "primary"),
            Limit(
                "neurons_per_core",
                8192,
                "neurons",
                "reported in the literature on Loihi 2, no primary source found",
                "secondary",
            ),
            Limit("neurons_per_chip", 1_000_000, "neurons", _BRIEF, "primary"),
            Limit("synapses_per_chip", 120_000_000, "synapses", _BRIEF, "primary"),
            Limit("weight_bits", 8, "bits", f"{_LAVA}: Dense fixed-point weights, plus an exponent", "primary"),
            Limit("graded_spike_bits", 32, "bits", _BRIEF, "primary"),
            Limit("graded_spike_bits_lava", 24, "bits", f"{_LAVA}: payload of its fixed-point models", "primary"),
            Limit("max_delay", 62, "steps", f"{_LAVA}: DelayDense", "primary"),
            Limit("state_bits", 24, "bits", f"{_LAVA}: LIF fixed-point state", "primary"),
            Limit("decay_bits", 12, "bits", f"{_LAVA}: LIF du and dv", "primary"),
            Limit("threshold_bits", 17, "bits", f"{_LAVA}: LIF vth", "primary"),
            Limit("bias_mantissa_bits", 13, "bits", f"{_LAVA}: LIF bias_mant", "primary"),
            Limit("bias_exponent_bits", 3, "bits", f"{_LAVA}: LIF bias_exp", "primary"),
            Limit("synapse_bits_per_core", 2**20, "bits", f"{_NENGO}; no public figure for Loihi 2", "assumed"),
            Limit("input_axons_per_core", 4096, "axons", f"{_NENGO}; no public figure for Loihi 2", "assumed"),
            Limit("output_axons_per_core", 4096, "axons", f"{_NENGO}; no public figure for Loihi 2", "assumed"),
        )
    }
)


def load_limits(path: str | os.PathLike[str]) -> Mapping[str, Limit]:
    """Limits with those of a target file in place: a JSON object, ``{"neurons_per_core": 4096, ...}``.

    Raises:
        HardwareError: for an unreadable file, an unknown key or a value that is not a positive int.
    """
    path = Path(path)
    try:
        if path.stat().st_size > 2**20:
            raise HardwareError(f"{path}: larger than 1 MiB; this is no target file")
        given = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HardwareError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise HardwareError(
            f'{path}: not JSON ({reason}); write an object such as {{"neurons_per_core": 4096}}'
        ) from None
    if not isinstance(given, dict):
        raise HardwareError(f'{path}: must hold one JSON object, such as {{"neurons_per_core": 4096}}')
    limits = dict(LOIHI2)
    for name, value in given.items():
        if name not in limits:
            raise HardwareError(f"{path}: unknown limit '{name}'; limits are {', '.join(LOIHI2)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise HardwareError(f"{path}: limit '{name}' must be a positive int, got {value!r}")
        limits[name] = replace(limits[name], value=value, source=str(path), confidence="user")
    return MappingProxyType(limits)
