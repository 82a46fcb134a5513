"""The part of a report that is looked at by hand: rasters and traces of some sequences, float and integer, packed for
the page's script.

Numbers travel as gzip in base64: the browser unpacks them itself and asks no other host.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.quantization.dequantize import formats_of
from hardware.program import Program
from hardware.trace import Trace

MOST_VALUES = 600_000  # of states, float and integer counted once: about 4 MB of page
MOST_NEURONS = 96
MOST_SEQUENCES = 8


@dataclass(frozen=True)
class Explorer:
    """What the page's script gets.

    Attributes:
        header: JSON-able: ``steps``, ``sequences`` (a title each), ``layers``: each with ``name``, ``size``,
            ``neurons`` (whose traces are here), ``spiking``, ``states``, ``units``, and where its arrays lie.
        blob: gzip in base64 of all arrays, little-endian.
        caption: for people.
    """

    header: Mapping[str, Any]
    blob: str
    caption: str


def pack(program: Program, real: Trace, whole: Trace, titles: Sequence[str]) -> Explorer:
    """Pack runs of both networks on the same sequences.

    Args:
        program: the integer network, with formats. real, whole: traces with all states and spikes, float and integer.
        titles: a line for each sequence, at most as many as the traces have.

    Returns:
        As many sequences, neurons and steps as fit the page; the header says which.
    """
    steps = whole.output.shape[0]
    chosen = [(item.name, _chosen(whole, item.name, item.size)) for item in program.populations]
    each = steps * sum(
        len(item.spec.states) * len(neurons) for item, (_, neurons) in zip(program.populations, chosen, strict=True)
    )
    sequences = int(np.clip(MOST_VALUES // max(each, 1), 1, min(MOST_SEQUENCES, len(titles))))
    kept = min(steps, max(MOST_VALUES * steps // max(each, 1), 200))
    arrays: list[np.ndarray] = []
    layers = []
    for item, form, (name, neurons) in zip(program.populations, formats_of(program), chosen, strict=True):
        layer: dict[str, Any] = {
            "name": name,
            "model": item.model,
            "size": item.size,
            "spiking": item.spec.spiking,
            "neurons": neurons.tolist(),
            "units": np.broadcast_to(form.unit, (item.size,))[neurons].tolist(),
            "states": list(item.spec.states),
            "spikes": None,
            "traces": {},
        }
        if item.spec.spiking:
            both = [np.asarray(trace.spikes[name])[:kept, :sequences] > 0 for trace in (real, whole)]
            layer["spikes"] = _add(arrays, (both[0] + 2 * both[1].astype(np.uint8)).astype(np.uint8))
        for state in item.spec.states:
            integer = whole.states[f"{state}/{name}"][:kept, :sequences, neurons].astype("<i4")
            floats = _float_state(real, state, name, integer.shape, neurons)
            layer["traces"][state] = {
                "integer": _add(arrays, integer),
                "float": None if floats is None else _add(arrays, floats),
            }
        layers.append(layer)
    raw = b"".join(array.tobytes() for array in arrays)
    header = {"steps": kept, "all_steps": steps, "sequences": list(titles[:sequences]), "layers": layers}
    blob = base64.b64encode(gzip.compress(raw, 9, mtime=0)).decode("ascii")
    return Explorer(header, blob, _caption(header))


def _chosen(whole: Trace, name: str, size: int) -> np.ndarray:
    """All neurons of a narrow layer, those that spike most of a wide one, in ascending order."""
    if size <= MOST_NEURONS or name not in whole.spikes:
        return np.arange(min(size, MOST_NEURONS))
    counts = np.asarray(whole.spikes[name]).sum(axis=(0, 1))
    return np.sort(np.argsort(-counts, kind="stable")[:MOST_NEURONS])


def _float_state(real: Trace, state: str, name: str, shape: tuple[int, ...], neurons: np.ndarray) -> np.ndarray | None:
    """None for a state that the float network does not have."""
    values = real.states.get(f"{state}/{name}")
    return None if values is None else values[: shape[0], : shape[1], neurons].astype("<f4")


def _add(arrays: list[np.ndarray], values: np.ndarray) -> int:
    """Put an array (steps, sequences, neurons) into the blob as (sequences, neurons, steps); returns its first byte, a
    multiple of 4."""
    start = sum(array.nbytes for array in arrays)
    arrays.append(np.ascontiguousarray(values.transpose(1, 2, 0)))
    if arrays[-1].nbytes % 4:
        arrays.append(np.zeros(4 - arrays[-1].nbytes % 4, np.uint8))
    return start


def _caption(header: Mapping[str, Any]) -> str:
    text = "Choose a layer and a sequence; click a row, or type a neuron's number, to see its states."
    if header["steps"] < header["all_steps"]:
        text += f" The first {header['steps']:,} of {header['all_steps']:,} steps are in this page."
    for layer in header["layers"]:
        shown, size = len(layer["neurons"]), layer["size"]
        if shown < size:
            text += (
                f" Of the {size:,} neurons of {layer['name']}, the states of the {shown} most active are in this page."
            )
    return text
