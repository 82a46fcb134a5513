"""Float network against its integers on the same inputs: decisions, firing rates, spike trains, and when trajectories
part. Not equality, which is between engines, but how much the integers behave like the network that was trained.

Every number has a 95 % interval from a bootstrap over sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from export.errors import ExportError
from hardware.decision import classify
from hardware.program import Program
from hardware.trace import Trace

TAU_STEPS = 10.0
"""Time constant of the kernel of the spike-train distance, in steps."""

RESAMPLES = 1000


def agreement(
    program: Program,
    real: Trace,
    whole: Trace,
    mask: np.ndarray | None = None,
    tau_steps: float = TAU_STEPS,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare a float and an integer run of one network.

    Args:
        program: the integer network. real, whole: runs with output and spikes, of the same inputs.
        mask: bool (T, B), steps that count for decisions.
        tau_steps: of the distance of van Rossum (2001).
        seed: of the bootstrap.

    Returns:
        ``sequences``, ``decisions`` (mean over sequences of the share of steps, or of whole sequences, that are decided
        alike), ``decided_alike`` (sequences without any other decision), ``layers``: name -> ``rate_correlation`` (of
        the firing rates of neurons and sequences), ``van_rossum`` (relative: the distance's square over that of the
        float trains to silence, summed over neurons), ``parted`` (share of sequences with any other spike) and
        ``first_difference`` (median step of the first one, over the sequences that part; None where none does). Numbers
        are ``{"value", "low", "high"}``.

    Raises:
        ExportError: runs of other sizes, or without spikes of a layer.
    """
    if real.output.shape != whole.output.shape:
        raise ExportError(
            f"runs to compare have outputs of shape {real.output.shape} and {whole.output.shape}; give the same inputs"
        )
    alike = _decided_alike(program, real.output, whole.output, mask)
    draws = np.random.default_rng(seed).integers(0, len(alike), (RESAMPLES, len(alike)))
    layers = {}
    for name, spikes in whole.spikes.items():
        if name not in real.spikes:
            raise ExportError(f"the float run has no spikes of layer {name}; run it again with this network")
        layers[name] = _layer(real.spikes[name], spikes, tau_steps, draws)
    return {
        "sequences": len(alike),
        "tau_steps": tau_steps,
        "decisions": _interval(lambda chosen: float(np.mean(alike[chosen])), draws),
        "decided_alike": _interval(lambda chosen: float(np.mean(alike[chosen] == 1.0)), draws),
        "layers": layers,
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    """For people, a line for decisions and one for each layer."""

    def text(entry: Mapping[str, float], scale: float = 1.0, unit: str = "") -> str:
        low, high = entry["low"] * scale, entry["high"] * scale
        return f"{entry['value'] * scale:.4g}{unit} ({low:.4g} to {high:.4g})"

    result = [f"float against integer: {text(found['decisions'], 100, ' %')} of decisions alike"]
    for name, layer in found["layers"].items():
        first = layer["first_difference"]
        when = "no other spike" if first is None else f"first other spike at step {text(first)}"
        result.append(
            f"  {name}: rates correlate {text(layer['rate_correlation'])}, spike trains differ by "
            f"{text(layer['van_rossum'], 100, ' %')} (van Rossum), {when}"
        )
    return result


def _decided_alike(program: Program, real: np.ndarray, whole: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """(B,): share of decisions of each sequence that are the same."""
    decided = classify(program, whole, mask)
    counts = np.ones(whole.shape[:2], bool) if mask is None else mask.copy()
    counts[: program.decision.ignore_first] = False
    if program.decision.rule == "per_step":
        same = (real.argmax(axis=-1) == decided) & counts
        return np.asarray(same.sum(axis=0) / np.maximum(counts.sum(axis=0), 1))
    return np.asarray(((real * counts[..., None]).sum(axis=0).argmax(axis=-1) == decided).astype(np.float64))


def _layer(real: np.ndarray, whole: np.ndarray, tau: float, draws: np.ndarray) -> dict[str, Any]:
    rates = real.mean(axis=0, dtype=np.float64), whole.mean(axis=0, dtype=np.float64)  # (B, N)
    apart, silence = _van_rossum(real, whole, tau), _van_rossum(real, np.zeros_like(real), tau)
    differs = (real != whole).any(axis=2)
    first = np.where(differs.any(axis=0), differs.argmax(axis=0), -1)

    def distance(chosen: np.ndarray) -> float:
        whole_sum = float(silence[chosen].sum())
        return float(apart[chosen].sum()) / whole_sum if whole_sum else float(apart[chosen].sum() > 0)

    def median(chosen: np.ndarray) -> float:
        steps = first[chosen]
        return float(np.median(steps[steps >= 0])) if (steps >= 0).any() else float(len(real))

    return {
        "rate_correlation": _interval(lambda chosen: _correlation(rates[0][chosen], rates[1][chosen]), draws[:200]),
        "van_rossum": _interval(distance, draws),
        "parted": _interval(lambda chosen: float(np.mean(first[chosen] >= 0)), draws),
        "first_difference": _interval(median, draws) if (first >= 0).any() else None,
    }


def _van_rossum(a: np.ndarray, b: np.ndarray, tau: float) -> np.ndarray:
    """(B,): squared distance of van Rossum, ``1/tau sum_t (f_t - g_t)^2`` of trains behind ``exp(-t / tau)``, summed
    over neurons."""
    trace, total = np.zeros(a.shape[1:]), np.zeros(a.shape[1])
    for t in range(len(a)):
        trace = trace * np.exp(-1.0 / tau) + (a[t].astype(np.float64) - b[t])
        total += np.sum(trace * trace, axis=1)
    return total / tau


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two lists of rates; where one of them does not vary, 1 for equal ones and else 0."""
    if a.std() == 0 or b.std() == 0:
        return float(np.array_equal(a, b))
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _interval(statistic: Callable[[np.ndarray], float], draws: np.ndarray) -> dict[str, float]:
    values = [statistic(chosen) for chosen in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    return {"value": statistic(np.arange(draws.shape[1])), "low": float(low), "high": float(high)}
