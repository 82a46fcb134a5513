"""Float and integer network side by side: rasters, traces, and where they first part."""

from __future__ import annotations

import numpy as np

from export.bundle.bundle import Bundle
from export.interchange import float_engine
from export.quantization.dequantize import formats_of
from hardware import classify, emulate
from hardware.program import Program
from hardware.trace import Trace
from hypr.data import SequenceDataset
from hypr.deployment.evaluation import first_spike_difference, membrane_state, time_major
from hypr.report import pictures
from hypr.report.explorer import pack
from hypr.report.page import Part, Picture, Table

DRAWN_NEURONS = 4
COMPARED_SEQUENCES = 16
LISTED_SEQUENCES = 8


def side_by_side(bundle: Bundle, data: SequenceDataset) -> list[Part]:
    """Rasters, membrane traces and the growth of differences on some test sequences."""
    program = bundle.program
    few = data.subset(slice(0, COMPARED_SEQUENCES))
    inputs = time_major(few)
    real = float_engine.run(bundle.float_network(), inputs, "all")
    whole = emulate(program, inputs, "all")
    drawn: list[Picture] = []
    for layer, form in zip(program.populations, formats_of(program), strict=True):
        if layer.spec.spiking:
            pair = (real.spikes[layer.name][:, 0], whole.spikes[layer.name][:, 0])
            drawn.append(
                Picture(
                    pictures.rasters(*pair, layer=f"{layer.name}: spikes of test sequence 0"),
                    "each mark is one spike",
                    "png",
                )
            )
            neurons = pictures.most_active(whole.spikes[layer.name][:, 0], DRAWN_NEURONS)
        else:
            neurons = list(range(min(DRAWN_NEURONS, layer.size)))
        state = membrane_state(layer)
        key = f"{state}/{layer.name}"
        figure = pictures.membranes(
            real.states[key][:, 0],
            whole.states[key][:, 0],
            form.unit,
            neurons,
            f"{layer.name}: state {state} of test sequence 0",
        )
        chosen = "the most active neurons" if layer.spec.spiking else "the first outputs"
        drawn.append(
            Picture(
                figure, f"{chosen}; integers are multiplied by the value of one state unit ({unit_text(form.unit)})"
            )
        )
    text = (
        "Both networks get the same integers. Rounding moves a membrane by a little, until a spike comes a step early "
        "or late in one of them; from there on the two are different trajectories. Whether the integer engines agree "
        "with each other is the table above."
    )
    growth = pictures.disagreement({name: real.spikes[name] for name in whole.spikes}, whole.spikes)
    shown = Picture(growth, f"share of neurons whose spike differs, mean over {len(few)} test sequences")
    partings = _partings(program, real, whole)
    return [
        Part(
            "Float and integer side by side",
            text,
            pictures=[shown],
            explorer=pack(program, real, whole, _titles(program, whole, few)),
            folded=drawn,
        ),
        Part("Where they first part", "The first spike that only one of the two has.", [partings]),
    ]


def _titles(program: Program, whole: Trace, data: SequenceDataset) -> list[str]:
    """A line for each sequence: its label, and what the integers decide, where it has one label."""
    if data.regression or data.per_step or program.decision.rule == "per_step":
        return [f"test sequence {index}" for index in range(len(data))]
    decided = classify(program, whole.output, np.ascontiguousarray(data.mask.T))
    return [
        f"{i}: label {label}, decided {found}"
        for i, (label, found) in enumerate(zip(data.labels, decided, strict=True))
    ]


def _partings(program: Program, real: Trace, whole: Trace) -> Table:
    """Where the two networks first part in each sequence."""
    rows: list[tuple[str, ...]] = []
    for sample in range(min(LISTED_SEQUENCES, whole.output.shape[1])):
        found = first_spike_difference(program, real, whole, sample)
        if found is None:
            rows.append((str(sample), "-", "-", "-", "no spike differs", "-", "-"))
        else:
            who = "float only" if found.float_spike else "integer only"
            values = (f"{found.float_value:.4f}", f"{found.integer_value:.4f}")
            rows.append((str(sample), found.layer, str(found.step), str(found.neuron), who, *values))
    columns = ("sequence", "layer", "step", "neuron", "spike in", "float membrane", "integer membrane")
    return Table(columns, rows, right=(0, 2, 3, 5, 6))


def unit_text(unit: np.ndarray) -> str:
    exponent = np.log2(unit)
    if np.all(exponent == exponent[0]) and exponent[0] == int(exponent[0]):
        return f"2^{int(exponent[0])}"
    return f"{unit.min():.3g} to {unit.max():.3g}"
