"""What the compiled loop knows of a component: two tables, one row per population and one per visit of its synapses.

Arrays are given by address, so that one compiled function serves any number of them; whoever fills the tables keeps
the arrays alive. B is the whole batch, N a population's neurons, and rows of steps are those of the whole batch, (B N).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

POPULATION = np.dtype(
    [
        (name, np.int64)
        for name in (
            "model",  # code of the model
            "option",  # of its option, 0 or 1
            "size",  # N
            "rows",  # of parameters
            "count",  # of states
            "parameters",  # float64 (rows, width)
            "states",  # float64, count * width for each block; of a block (count, its lanes padded)
            "width",  # lanes of a block, padded
            "order",  # int32 (N,): neuron of each lane, or 0 where lanes are neurons
            "spikes",  # uint8 (steps, B N), or 0 for a model without spikes
            "row",  # of the chunk's first step in spikes
            "kept0",  # int32 (T, B N) of each state that is recorded, or 0
            "kept1",
            "kept2",
            "current",  # int32 (steps, B N) in the order of lanes, already computed, or 0
            "first",  # visits of this population: rows first to last - 1 of the other table
            "last",
        )
    ]
)
"""A population. Lanes of a sample are its neurons in the order of ``order``."""

IDLE, GROUPS, DENSE, SPARSE, CONVOLUTION = range(5)

VISIT = np.dtype(
    [
        (name, np.int64)
        for name in (
            "kind",  # one of the above
            "wide",  # whether the source holds int32, not uint8
            "source",  # steps of the source, (steps, B fan_in)
            "row",  # of what arrives at the chunk's first step
            "fan_in",
            "source2",  # GROUPS: the same of a second source, or fan_in2 = 0
            "row2",
            "fan_in2",
            "weight",  # int32: DENSE (fan_in, columns), GROUPS (table_rows, columns), else flat
            "table_rows",
            "columns",  # of the table, of dense weights, or of stamps
            "starts",  # SPARSE: int32 (fan_in + 1,), where a source's synapses begin
            "lanes",  # SPARSE: int32, the lane of each synapse
            "stamps",  # CONVOLUTION: int32 (area, columns), see events.add_convolution, as for the next four
            "area",
            "taps",
            "group_inputs",
            "channels",
        )
    ]
)
"""One projection, or two that are summed in groups, as they arrive at a population."""


def table(dtype: np.dtype, rows: Iterable[dict[str, int]]) -> np.ndarray:
    """Records of that type; what a row leaves out is 0."""
    items = list(rows)
    made = np.zeros(len(items), dtype)
    for record, row in zip(made, items, strict=True):
        for name, value in row.items():
            record[name] = value
    return made
