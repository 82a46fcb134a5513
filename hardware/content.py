"""What of a program counts: a canonical description and arrays of everything that an engine reads, and their hash.

A program has the lowest version of the specification that has all its clauses: a chain of dense layers is written, and
hashed, by the rules of 1.0, so that files, bundles and certificates of that time go on being about the same program.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from hardware.chain import Layer, Synapses
from hardware.populations import Decision, Input, Population, Projection
from hardware.synapses import Convolution, Sparse

Description = tuple[dict[str, Any], dict[str, np.ndarray]]


def digest(description: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """SHA-256, 64 hexadecimal digits."""
    sha = hashlib.sha256()
    sha.update(json.dumps(description, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def describe_chain(layers: Sequence[Layer], accepted: Input, decision: Decision) -> Description:
    """The rule of specification 1.0."""
    arrays: dict[str, np.ndarray] = {}
    items = []
    for index, layer in enumerate(layers):
        prefix = f"layer{index}"
        arrays[f"{prefix}.input"] = layer.input.weight
        if layer.recurrent is not None:
            arrays[f"{prefix}.recurrent"] = layer.recurrent.weight
        arrays[f"{prefix}.bias"] = layer.bias
        for name in layer.spec.parameters:
            arrays[f"{prefix}.parameter.{name}"] = layer.parameters[name]
        items.append(
            {
                "name": layer.name,
                "model": layer.model,
                "input": _chain_synapses(layer.input),
                "recurrent": None if layer.recurrent is None else _chain_synapses(layer.recurrent),
                "shifts": {name: int(layer.shifts[name]) for name in layer.spec.shifts},
                "options": layer.spec.written(layer.options),
                "coefficient_bits": int(layer.coefficient_bits),
            }
        )
    if decision.multiplier is not None:
        arrays["decision.multiplier"] = decision.multiplier
    description = {
        "spec_version": "1.0",
        "input": {"size": int(accepted.size), "low": int(accepted.low), "high": int(accepted.high)},
        "decision": {"rule": decision.rule, "ignore_first": int(decision.ignore_first)},
        "layers": items,
    }
    return description, _little_endian(arrays)


def describe_graph(
    version: str,
    inputs: Sequence[Input],
    populations: Sequence[Population],
    projections: Sequence[Projection],
    outputs: Sequence[str],
    decision: Decision,
) -> Description:
    """The rule of specification 2.0 and later."""
    arrays: dict[str, np.ndarray] = {}
    for index, population in enumerate(populations):
        prefix = f"population{index}"
        arrays[f"{prefix}.bias"] = population.bias
        for name in population.spec.parameters:
            arrays[f"{prefix}.parameter.{name}"] = population.parameters[name]
        for state in population.spec.states:
            if population.start(state).any():
                arrays[f"{prefix}.initial.{state}"] = population.start(state)
    described = []
    for index, projection in enumerate(projections):
        item, parts = _projection(projection)
        described.append(item)
        arrays.update({f"projection{index}.{name}": array for name, array in parts.items()})
    if decision.multiplier is not None:
        arrays["decision.multiplier"] = decision.multiplier
    description = {
        "spec_version": version,
        "inputs": [
            {"name": item.name, "shape": list(item.shape or ()), "low": int(item.low), "high": int(item.high)}
            for item in inputs
        ],
        "populations": [_population(population) for population in populations],
        "projections": described,
        "outputs": list(outputs),
        "decision": {
            "rule": decision.rule,
            "ignore_first": int(decision.ignore_first),
            "output": decision.output or outputs[-1],
        },
    }
    return description, _little_endian(arrays)


def _population(population: Population) -> dict[str, Any]:
    return {
        "name": population.name,
        "shape": list(population.shape or ()),
        "model": population.model,
        "shifts": {name: int(population.shifts[name]) for name in population.spec.shifts},
        "options": population.spec.written(population.options),
        "coefficient_bits": int(population.coefficient_bits),
    }


def _projection(projection: Projection) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    synapses = projection.synapses
    item: dict[str, Any] = {
        "name": projection.name,
        "source": projection.source,
        "target": projection.target,
        "kind": synapses.kind,
        "exponent": int(projection.exponent),
        "delay": int(projection.delay),
        "weight_bits": int(synapses.weight_bits),
    }
    if isinstance(synapses, Convolution):
        for name in ("stride", "padding", "dilation", "in_shape", "out_shape"):
            item[name] = [int(value) for value in getattr(synapses, name)]
        return {**item, "groups": int(synapses.groups)}, {"kernel": synapses.kernel}
    if isinstance(synapses, Sparse):
        arrays = {"indptr": synapses.indptr, "indices": synapses.indices, "weight": synapses.weight}
        return {**item, "shape": [int(length) for length in synapses.shape]}, arrays
    return item, {"weight": synapses.weight}


def _chain_synapses(synapses: Synapses) -> dict[str, int]:
    return {"exponent": int(synapses.exponent), "weight_bits": int(synapses.weight_bits)}


def _little_endian(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")) for name, array in arrays.items()}
