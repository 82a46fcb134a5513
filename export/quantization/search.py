"""Find the cheapest integer format of a network within a given loss of accuracy.

A staged coordinate search: all weight widths and scales at the finest coefficients and states; then, from the cheapest
formats that are accurate enough, fewer bits one setting at a time, for all layers together and for each by itself, as
long as the accuracy allows it. Accuracies are those of the integer Program, run by ``hardware.emulate``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np

from export.errors import ExportError, QuantizationError
from export.interchange.discretise import Reading, discretise
from export.interchange.float_engine import run
from export.interchange.steps import StepNetwork
from export.quantization.calibration import Signals, choose_formats, few_samples
from export.quantization.counts import is_open, limited
from export.quantization.findings import refuse_zero_tensors
from export.quantization.formats import QuantizationSettings
from export.quantization.memory import Memory, memory
from export.quantization.quantize import prepare, program_of
from export.quantization.recordings import statistics
from export.quantization.staircase import checked_data, right_by_sequence
from hardware.emulator import emulate

SCALES = ("power_of_two", "per_row")
WEIGHT_BITS = tuple(range(8, 1, -1))
FINEST_COEFFICIENT = 16
LEAST = {"weight_bits": 2, "coefficient_bits": 8, "state_fraction_bits": 0}
STARTS = 3
"""Accurate formats of the first stage from which the second one goes on, cheapest first."""

Report = Callable[[int, str], None]
"""``report(formats tried, what is tried now)``."""


@dataclass(frozen=True)
class Candidate:
    """One integer format.

    Attributes:
        settings: with a width for each layer; with the calibration inputs of the search they give the same Program
            again.
        accuracy: fraction of right decisions on the data of the search.
        memory: what the format costs.
        standard_error: of the mean loss against the float network, from the losses of single sequences (paired).
    """

    settings: QuantizationSettings
    accuracy: float
    memory: Memory
    standard_error: float = 0.0

    @property
    def sure(self) -> float:
        """The accuracy less one standard error of the loss."""
        return self.accuracy - self.standard_error


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        float_accuracy: of the float network on the same data.
        max_loss: how far below it a format may lie, a fraction, its mean loss and one standard error of it together.
        candidates: all formats that were tried, in that order.
        initial: the format of the settings that the search began with, or None where the network does not fit it.
        chosen: the cheapest within the loss, or None where there is none.
    """

    float_accuracy: float
    max_loss: float
    candidates: tuple[Candidate, ...]
    initial: Candidate | None
    chosen: Candidate | None

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Formats that no other beats in both memory and accuracy, cheapest first."""
        kept: list[Candidate] = []
        for candidate in sorted(self.candidates, key=lambda c: (c.memory.total, -c.accuracy)):
            if not kept or candidate.accuracy > kept[-1].accuracy:
                kept.append(candidate)
        return tuple(kept)

    @property
    def best(self) -> Candidate:
        """The most accurate one, the cheapest of several."""
        return self.front[-1]


def search(
    graph: nir.NIRGraph | StepNetwork,
    inputs: Any,
    labels: Any,
    mask: Any = None,
    *,
    calibration: Any,
    max_loss: float = 0.003,
    settings: QuantizationSettings | None = None,
    reading: Reading | None = None,
    report: Report | None = None,
) -> SearchResult:
    """Try formats on labelled data until none is cheaper within the loss.

    The accuracy of the chosen format is a little optimistic on the data that chose it: measure it on other data.

    Args:
        graph: the float network.
        inputs, labels, mask: (B, T, N_in) integers, (B, T) or (B,) classes, (B, T) steps that count; of a validation
            part, not of the test part.
        calibration: inputs (n, T, N_in) of the training part; the finest state units and the widths of states follow
            from the first 64.
        max_loss: accepted loss against the float network's accuracy, a fraction (0.003 is 0.3 points); the mean loss
            plus one standard error (paired, over sequences) must keep within it.
        settings: what is not searched for (``headroom_bits``, ``guard_bits``, ...), and the format tried first.
        report: called before each format.

    Raises:
        ExportError: shapes that do not fit, a negative loss, or a network that has no integer form.
    """
    if not 0 <= max_loss < 1:
        raise ExportError(f"max_loss is {max_loss:g}; give a fraction of at least 0 and below 1")
    base = settings or QuantizationSettings()
    original = graph if isinstance(graph, StepNetwork) else discretise(graph, reading)
    values, wanted, counts = checked_data(original, inputs, labels, mask)
    right, of = right_by_sequence(run(original, values).output, original.decision, wanted, counts)
    float_accuracy = float(right.sum() / of.sum()) if of.any() else 0.0
    network = prepare(original, None, base, {})
    network = limited(network, statistics(network, calibration)) if any(map(is_open, network.populations)) else network
    trial = _Trial(network, values, wanted, counts, right, calibration, report or (lambda done, what: None))
    least = float_accuracy - max_loss
    finest = _finest(network, base, calibration)
    initial = trial.accuracy_and_cost(finest)
    coefficients = (FINEST_COEFFICIENT,) * len(network.populations)
    for scale in SCALES:
        for bits in WEIGHT_BITS:
            weights = (bits,) * len(network.populations)
            trial.accuracy_and_cost(
                replace(finest, weight_scale=scale, weight_bits=weights, coefficient_bits=coefficients)
            )
    starts = sorted((c for c in trial.found if c.sure >= least), key=lambda c: c.memory.total)[:STARTS]
    for start in starts:
        _descend(trial, start, least)
    within = [c for c in trial.found if c.sure >= least]
    chosen = min(within, key=lambda c: (c.memory.total, -c.accuracy)) if within else None
    return SearchResult(float_accuracy, max_loss, tuple(trial.found), initial, chosen)


class _Trial:
    """Formats tried so far; each is quantized and run once."""

    def __init__(
        self,
        network: StepNetwork,
        values: Any,
        labels: np.ndarray,
        counts: np.ndarray,
        right: np.ndarray,
        calibration: Any,
        report: Report,
    ) -> None:
        self.found: list[Candidate] = []
        self._known: dict[str, Candidate | None] = {}
        self._network, self._values, self._labels, self._counts = network, values, labels, counts
        self._report, self._right = report, right
        self._calibration, self._signals = calibration, Signals(network, calibration)
        few = few_samples(calibration)
        self._few: Any = (
            {name: _integers(value) for name, value in few.items()} if isinstance(few, dict) else _integers(few)
        )

    def accuracy_and_cost(self, settings: QuantizationSettings) -> Candidate | None:
        """The format tried, or None where the network does not fit it."""
        key = settings.to_json()
        if key not in self._known:
            self._report(len(self.found), _short(settings))
            self._known[key] = candidate = self._try(settings)
            if candidate is not None:
                self.found.append(candidate)
        return self._known[key]

    def _try(self, settings: QuantizationSettings) -> Candidate | None:
        try:
            formats = choose_formats(
                self._network, settings, self._calibration, build=program_of, signals=self._signals
            )
            program = program_of(self._network, formats)
            refuse_zero_tensors(program, self._network, formats, settings.allow_zero)
        except QuantizationError:
            return None
        output = emulate(program, self._values, keep_spikes=False).output
        right, of = right_by_sequence(
            output, self._network.decision, self._labels, self._counts, program.decision.multiplier
        )
        accuracy = float(right.sum() / of.sum()) if of.any() else 0.0
        states = emulate(program, self._few, "all", keep_spikes=False).states
        peaks = {name: max(int(value.max()), -int(value.min())) for name, value in states.items()}
        return Candidate(
            settings, accuracy, memory(program, peaks, settings.headroom_bits), paired_error(self._right - right, of)
        )


def paired_error(losses: np.ndarray, of: np.ndarray) -> float:
    """Standard error of the mean loss of decisions, from the losses of each sequence.

    Args:
        losses: (B,), right decisions of one network less those of the other. of: (B,), decisions in all.
    """
    if losses.size < 2 or not of.any():
        return 0.0
    apart = losses - of * (losses.sum() / of.sum())
    return float(np.sqrt(losses.size / (losses.size - 1) * np.sum(apart**2)) / of.sum())


def _integers(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).astype(np.int64)


def _descend(trial: _Trial, start: Candidate, least: float) -> None:
    """Fewer bits, one setting after the other, until no single change is both cheaper and accurate enough."""
    bits = start.settings.weight_bits
    moves = list(_moves(len(bits) if isinstance(bits, tuple) else 1))
    best, improved = start, True
    while improved:
        improved = False
        for key, layer in moves:
            for step in (4, 2, 1):
                while (settings := _fewer(best.settings, key, layer, step)) is not None:
                    candidate = trial.accuracy_and_cost(settings)
                    if candidate is None or candidate.sure < least or candidate.memory.total >= best.memory.total:
                        break
                    best, improved = candidate, True


def _moves(layers: int) -> Iterator[tuple[str, int | None]]:
    """Settings to lower, for all layers (None) first, then layer by layer."""
    for key in ("coefficient_bits", "state_fraction_bits"):
        yield key, None
    for layer in range(layers):
        for key in LEAST:
            yield key, layer


def _fewer(settings: QuantizationSettings, key: str, layer: int | None, step: int) -> QuantizationSettings | None:
    """``step`` bits fewer in one layer, or in all that can; None where none can."""
    values = list(getattr(settings, key))
    places = range(len(values)) if layer is None else [layer]
    lowered = [value - step if i in places and value - step >= LEAST[key] else value for i, value in enumerate(values)]
    return None if lowered == values else _with(settings, {key: tuple(lowered)})


def _with(settings: QuantizationSettings, changes: Mapping[str, Any]) -> QuantizationSettings:
    return replace(settings, **changes)


def _finest(network: StepNetwork, settings: QuantizationSettings, calibration: Any) -> QuantizationSettings:
    """The settings with one number for each layer, and the most fraction bits that the calibrated states allow."""
    layers = len(network.populations)
    if settings.state_fraction_bits is None:
        forms = choose_formats(network, replace(settings, weight_scale="power_of_two"), calibration)
        settings = replace(settings, state_fraction_bits=tuple(int(form.fraction_bits or 0) for form in forms))
    return _with(settings, {key: tuple(settings.of_layer(key, i, layers) for i in range(layers)) for key in LEAST})


def _short(settings: QuantizationSettings) -> str:
    """For progress: widths of weights, coefficients and state fractions, and the scale."""
    texts = ["/".join(map(str, getattr(settings, key))) for key in LEAST]
    return f"weights {texts[0]}, coefficients {texts[1]}, states {texts[2]}, {settings.weight_scale}"
