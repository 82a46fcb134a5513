"""Run an integer Program in torch: the same integers as ``hardware.emulate``, on any torch device.

This is the integer S-stage of training, written for clarity and for GPUs; on a CPU ``hardware.emulate`` computes the
same faster.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from export.torch_network import IntegerModule
from export.torch_steps import ProjectionModule
from hardware.chain import Layer
from hardware.inputs import Inputs, check_state, named_inputs
from hardware.program import Program
from hardware.trace import NetworkState, Trace, make_trace, output_key, recorded_states


def run(
    program: Program,
    inputs: Inputs,
    record: str | Iterable[str] = (),
    initial_state: NetworkState | None = None,
    device: str | torch.device = "cpu",
) -> Trace:
    """Run a Program on a batch of sequences with torch integer arithmetic.

    Args:
        program: any integer network.
        inputs: integers (T, B, N_in) within the Program's input range; with several inputs a mapping by name.
        record: state names (``"u"``), ``"<state>/<population>"`` or ``"all"``, as for ``hardware.emulate``.
        initial_state: ``final_state`` of the chunk before; the program's initial states by default.
        device: torch device.

    Returns:
        Trace with engine name ``torch``.

    Raises:
        hardware.errors.InputError: inputs that do not fit the Program.
    """
    chosen = {f"{state}/{name}" for state, name in recorded_states(program, record)}
    given = {name: torch.from_numpy(value.astype(np.int32)) for name, value in named_inputs(program, inputs).items()}
    start = check_state(program, initial_state, next(iter(given.values())).shape[1])
    module = IntegerModule(program).to(device)
    found, end = module.run_steps(
        {name: value.to(device) for name, value in given.items()},
        chosen | {output_key(program)},
        {name: torch.from_numpy(value).to(device) for name, value in _flat(start).items()},
    )
    arrays = {name: value.cpu().numpy() for name, value in found.items()}
    spikes = {name.partition("/")[2]: value for name, value in arrays.items() if name.startswith("spikes/")}
    states = {name: value for name, value in arrays.items() if not name.startswith("spikes/")}
    final = {name: value.cpu().numpy() for name, value in end.items()}
    return make_trace(program, "torch", states, spikes, chosen, _nested(final))


def drive_from_below(program: Program, layer: Layer, pre: Tensor) -> Tensor:
    """What reaches a layer of a chain from the layer below, over all steps.

    Args:
        pre: integers (T, B, N_in).

    Returns:
        int64 (T, B, N), with the bias where it belongs to the current (FP-2.1).
    """
    projection = program.into(layer.name)[0]
    total = ProjectionModule(projection, *program.ranges[projection.source]).to(pre.device)(pre)
    return total if layer.model == "cuba_lif" else total + torch.from_numpy(layer.bias.astype(np.int64)).to(pre.device)


def _flat(state: NetworkState) -> dict[str, np.ndarray]:
    """A state under the keys of :data:`export.torch_network.State`."""
    spikes = {f"spikes/{name}": value for name, value in state.spikes.items()}
    return {**state.states, **spikes, **{f"history/{name}": value for name, value in state.history.items()}}


def _nested(flat: dict[str, np.ndarray]) -> NetworkState:
    kinds: dict[str, dict[str, np.ndarray]] = {"spikes": {}, "history": {}, "states": {}}
    for key, value in flat.items():
        kind, _, name = key.partition("/")
        if kind in ("spikes", "history"):
            kinds[kind][name] = value
        else:
            kinds["states"][key] = value
    return NetworkState(kinds["states"], kinds["spikes"], kinds["history"])
