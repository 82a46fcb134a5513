"""Float network against its integers on test sequences: what they decide, how they fire, where they part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from export.bundle.bundle import Bundle
from export.interchange import float_engine
from export.verification.agreement import agreement
from hardware import emulate
from hardware.program import Program
from hardware.trace import Trace
from hypr.data import SequenceDataset
from hypr.deployment.arrays import Sequences, sequences_of
from hypr.deployment.outcome import Outcome, of_floats, of_integers
from hypr.report import distributions
from hypr.report.page import Part, Picture, Table

MOST_SEQUENCES = 256
MOST_CLASSES_DRAWN = 40


def behaviour(bundle: Bundle, data: SequenceDataset) -> Part:
    """Agreement of decisions with its interval, confusion matrices, firing rates.

    Args:
        data: test sequences; the first :data:`MOST_SEQUENCES` are run.
    """
    program = bundle.program
    some = sequences_of(data.subset(slice(0, MOST_SEQUENCES)))
    network = bundle.float_network()
    real, whole = float_engine.run(network, some.values), emulate(program, some.values)
    found = agreement(program, real, whole, None if some.mask is None else np.ascontiguousarray(some.mask))
    pictures = []
    both = _outcomes(program, network.decision, real, whole, some)
    tables = None if both is None else (both[0].confusion, both[1].confusion)
    if tables and tables[0] is not None and tables[1] is not None and len(tables[1]) <= MOST_CLASSES_DRAWN:
        figure = distributions.confusions(tables[0], tables[1])
        pictures.append(Picture(figure, f"decisions of both networks on {found['sequences']} test sequences"))
    if whole.spikes:
        firing = [
            {name: np.asarray(trace.spikes[name]).mean(axis=(0, 1)) for name in whole.spikes} for trace in (real, whole)
        ]
        pictures.append(Picture(distributions.rates(*firing), "each dot is a neuron; on the line both fire alike"))
    return Part(
        "Does the integer network behave like the float one?",
        _sentence(found, both),
        [_layers(found)] if found["layers"] else [],
        pictures,
    )


def _outcomes(
    program: Program, decision: Mapping[str, Any], real: Trace, whole: Trace, some: Sequences
) -> tuple[Outcome, Outcome] | None:
    if some.labels is None:
        return None
    return of_floats(decision, real.output, some), of_integers(program, whole.output, some)


def _sentence(found: Mapping[str, Any], both: tuple[Outcome, Outcome] | None) -> str:
    decisions = found["decisions"]
    text = (
        f"On {found['sequences']} test sequences {_share(decisions['value'])} of the decisions are the same "
        f"(95 % interval over sequences: {_share(decisions['low'])} to {_share(decisions['high'])})."
    )
    if both is not None and both[0].accuracy is not None and both[1].accuracy is not None:
        what = "R2" if both[0].regression else "Accuracy"
        text += f" {what} there: float {_share(both[0].accuracy)}, integers {_share(both[1].accuracy)}."
    return text + " This is not the proof of equality, which is between engines, but what rounding changed."


def _layers(found: Mapping[str, Any]) -> Table:
    rows = []
    for name, layer in found["layers"].items():
        first = layer["first_difference"]
        rows.append(
            (
                name,
                _interval(layer["rate_correlation"]),
                _interval(layer["van_rossum"], 100),
                _interval(layer["parted"], 100),
                "never" if first is None else f"{first['value']:.0f}",
            )
        )
    columns = (
        "layer",
        "correlation of rates",
        "distance of spike trains, %",
        "sequences that part, %",
        "median step of parting",
    )
    return Table(columns, rows, right=(1, 2, 3, 4))


def _interval(entry: Mapping[str, float], scale: float = 1.0) -> str:
    return f"{entry['value'] * scale:.3g} ({entry['low'] * scale:.3g} to {entry['high'] * scale:.3g})"


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"
