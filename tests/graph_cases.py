"""Graph programs with the traces of two independent emulators, as ``golden/graphs`` stores them: a JSON description and
an npz of arrays per case.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware import Convolution, Decision, Dense, Input, Population, Program, Projection, Sparse
from hardware.synapses import Connections


@dataclass(frozen=True)
class GraphCase:
    """One case on disk.

    Attributes:
        path: of the JSON description, beside an npz of the same name.
        description: the JSON object.
        arrays: of the npz, int arrays under the names of the folder's README.
    """

    path: Path
    description: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def refused(self) -> str | None:
        """The rule that refuses this program, None for a valid one."""
        return self.description.get("why") if self.name.startswith("refused") else None

    def program(self) -> Program:
        """Raises ProgramError for a program that is to be refused."""
        text = self.description
        inputs = tuple(Input(item["name"], item["size"], item["low"], item["high"]) for item in text["inputs"])
        populations = tuple(self._population(item) for item in text["populations"])
        projections = tuple(
            Projection(
                item["name"], item["source"], item["target"], self._synapses(item), item["exponent"], item["delay"]
            )
            for item in text["projections"]
        )
        decision = Decision(
            text["decision"]["rule"], text["decision"]["ignore_first"], None, text["decision"]["output"]
        )
        return Program(inputs, populations, projections, tuple(text["outputs"]), decision)

    def inputs(self) -> Any:
        """What every engine takes: an array (T, B, N), by name where there are several inputs."""
        named = {item["name"]: self.arrays[f"input/{item['name']}"] for item in self.description["inputs"]}
        return next(iter(named.values())) if len(named) == 1 else named

    def expected(self) -> dict[str, np.ndarray]:
        """Key of a Trace (``spikes/NAME``, ``STATE/NAME``) -> integers (T, B, N)."""
        found = {}
        for key, value in self.arrays.items():
            kind, _, rest = key.partition("/")
            population, _, state = rest.rpartition("/")
            if kind == "trace" and rest != "decision":
                found[f"{state}/{population}"] = value
        return found

    def _population(self, item: dict[str, Any]) -> Population:
        prefix = f"population/{item['name']}"
        return Population(
            item["name"],
            item["size"],
            item["model"],
            self.arrays[f"{prefix}/bias"],
            self._below(f"{prefix}/parameter/"),
            item["shifts"],
            item["options"],
            item["coefficient_bits"],
            self._below(f"{prefix}/initial/"),
            tuple(item["shape"]),
        )

    def _synapses(self, item: dict[str, Any]) -> Connections:
        parts: dict[str, Any] = self._below(f"projection/{item['name']}/")
        bits = item["weight_bits"]
        if item["kind"] == "dense":
            return Dense(**parts, weight_bits=bits)
        if item["kind"] == "sparse":
            sizes = {entry["name"]: entry["size"] for entry in self.description["inputs"]}
            sizes.update({entry["name"]: entry["size"] for entry in self.description["populations"]})
            shape = (sizes.get(item["target"], 1), sizes.get(item["source"], 1))
            if self.refused is None and (parts["weight"] == 0).any():
                parts = _without_zeros(parts)
            return Sparse(**parts, weight_bits=bits, shape=shape)
        pairs: dict[str, Any] = {
            name: tuple(item[name]) for name in ("stride", "padding", "dilation", "in_shape", "out_shape")
        }
        return Convolution(**parts, **pairs, groups=item["groups"], weight_bits=bits)

    def _below(self, prefix: str) -> dict[str, np.ndarray]:
        return {key[len(prefix) :]: value for key, value in self.arrays.items() if key.startswith(prefix)}


def _without_zeros(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Stored programs with traces may hold zeros as synapses, which the contract refuses; they change no integer."""
    kept = parts["weight"] != 0
    counts = np.concatenate([[0], np.cumsum(kept)])
    return {
        "indptr": counts[parts["indptr"]].astype(np.int32),
        "indices": parts["indices"][kept],
        "weight": parts["weight"][kept],
    }


def load_cases(folder: Path) -> list[GraphCase]:
    """All cases of a folder and the folders in it, by name."""
    cases = []
    for path in sorted(folder.rglob("*.json")):
        if not path.with_suffix(".npz").exists():
            continue
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as archive:
            cases.append(GraphCase(path, json.loads(path.read_text()), dict(archive)))
    return cases
