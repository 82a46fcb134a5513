"""Random programs with the clauses of specification 2.2: thresholds that fire themselves, several spikes in a step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hardware.errors import ProgramError
from hardware.models import MOST_SPIKES
from hardware.populations import Population, Projection
from hardware.program import Program
from hardware.random_graphs import random_graph
from hardware.random_programs import random_program


def random_count_program(rng: np.random.Generator, chain: bool = False) -> Program:
    """A random graph, or a chain, some of whose populations have options of 2.2; at least one has.

    Args:
        chain: dense layers one above the other, half of the time as large as those of applications.
    """
    while True:
        if chain:
            models = tuple(rng.choice(["lif", "cuba_lif"], int(rng.integers(1, 3))))
            sizes = (20, 70) if rng.random() < 0.5 else (1, 20)
            made = random_program(rng, layers=len(models) + 1, models=(*models, "li"), sizes=sizes)
        else:
            made = random_graph(rng)
        populations = tuple(_with_options(rng, item) for item in made.populations)
        try:
            found = fitted(made, populations)
        except ProgramError:  # too many synapses for what is sent now
            continue
        if found.spec_version == "2.2":
            return found


def _with_options(rng: np.random.Generator, item: Population) -> Population:
    if item.model not in ("lif", "cuba_lif") or rng.random() < 0.2:
        return item
    if rng.random() < 0.3:
        return replace(item, options={**item.options, "fires": "at"})
    spikes = str(rng.choice(list(MOST_SPIKES)[1:]))
    options = {"reset": "subtract", "reset_at": "same", "fires": "at", "spikes": spikes}
    name = "vth" if item.model == "cuba_lif" else "TH"
    # Small ones are passed many times in a step, up to the most that the option allows.
    small = rng.integers(1, 2 ** rng.integers(1, 17), item.size) * (rng.random(item.size) < 0.7)
    threshold = np.where(small > 0, small, np.maximum(item.parameters[name], 1)).astype(np.int32)
    return replace(item, options=options, parameters={**item.parameters, name: threshold})


def fitted(made: Program, populations: tuple[Population, ...]) -> Program:
    """With exponents low enough for what the populations can send now.

    Raises:
        ProgramError: no exponents are.
    """
    projections = made.projections
    while True:
        try:
            return replace(made, populations=populations, projections=projections)
        except ProgramError:
            if not any(item.exponent for item in projections):
                raise
            projections = tuple(_lower(item) for item in projections)


def _lower(item: Projection) -> Projection:
    return replace(item, exponent=max(0, item.exponent - 1))
