"""Run an integer Program in torch: the same integers as ``hardware.emulate``, on any torch device.

This is the integer S-stage of training, written for clarity and for GPUs; on a CPU ``hardware.emulate`` computes the
same faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hardware.chain import Layer, Synapses
from hardware.inputs import check_inputs, check_state
from hardware.program import Program
from hardware.trace import NetworkState, Trace, recorded_states
from hypr.integer.steps import STEPS, State

_EXACT_FLOAT32 = 2**24
_EXACT_REDUCED = 2**8  # what the reduced products of float32 that a user may have allowed (TF32, bfloat16) keep whole
_EXACT_FLOAT64 = 2**53


@dataclass(frozen=True)
class IntegerLayer:
    """One layer of a Program as tensors on a device.

    Attributes:
        layer: the integers it was made from.
        parameters: int64 (N,) each, ``bias`` among them.
    """

    layer: Layer
    parameters: dict[str, Tensor]
    weight: Tensor
    recurrent: Tensor | None

    @staticmethod
    def build(layer: Layer, largest_input: int, device: torch.device) -> IntegerLayer:
        names = {**layer.parameters, "bias": layer.bias}
        parameters = {name: torch.from_numpy(np.asarray(value, np.int64)).to(device) for name, value in names.items()}
        recurrent = None if layer.recurrent is None else _carrier(layer.recurrent, 1, device)
        return IntegerLayer(layer, parameters, _carrier(layer.input, largest_input, device), recurrent)

    def drive(self, pre: Tensor) -> Tensor:
        """int64 (T, B, N): ``(W_in x) << G_in``, plus the bias where it belongs to the current (FP-2.1)."""
        total = _product(pre, self.weight) << self.layer.input.exponent
        return total if self.layer.model == "cuba_lif" else total + self.parameters["bias"]

    def steps(self, pre: Tensor, state: State, z: Tensor) -> Iterator[tuple[State, Tensor]]:
        """States and outputs (B, N) after each step of ``pre`` (T, B, n_in), all int64."""
        step, layer = STEPS[self.layer.model], self.layer
        for current in self.drive(pre):
            if self.recurrent is not None and layer.recurrent is not None:
                current = current + (_product(z, self.recurrent) << layer.recurrent.exponent)
            state, z = step(state, z, current, self.parameters, layer.shifts, layer.options)
            yield state, z


def run(
    program: Program,
    inputs: np.ndarray,
    record: str | Iterable[str] = (),
    initial_state: NetworkState | None = None,
    device: str | torch.device = "cpu",
) -> Trace:
    """Run a Program on a batch of sequences with torch integer arithmetic.

    Args:
        program: the integer network.
        inputs: integers (T, B, N_in) within the Program's input range.
        record: state names (``"u"``), ``"<state>/<layer>"`` or ``"all"``, as for ``hardware.emulate``.
        initial_state: ``final_state`` of the chunk before; zeros by default.
        device: torch device.

    Returns:
        Trace with engine name ``torch``.

    Raises:
        hardware.errors.InputError: inputs that do not fit the Program.
    """
    wanted = recorded_states(program, record)
    pre = torch.from_numpy(check_inputs(program, inputs).astype(np.int64)).to(device)
    largest = max(abs(program.input.low), abs(program.input.high))
    start = check_state(program, initial_state, pre.shape[1])
    spikes: dict[str, np.ndarray] = {}
    states: dict[str, np.ndarray] = {}
    final: dict[str, np.ndarray] = {}
    for layer in program.layers:
        integer = IntegerLayer.build(layer, largest, pre.device)
        first = tuple(_tensor(start.states[f"{name}/{layer.name}"], pre.device) for name in layer.spec.states)
        before = _tensor(start.spikes[layer.name], pre.device) if layer.spec.spiking else first[0]
        history: list[State] = []
        outputs: list[Tensor] = []
        for state, z in integer.steps(pre, first, before):
            history.append(state)
            outputs.append(z)
        pre, largest = torch.stack(outputs), 1
        if layer.spec.spiking:
            spikes[layer.name] = pre.to(torch.uint8).cpu().numpy()
        for index, name in enumerate(layer.spec.states):
            final[f"{name}/{layer.name}"] = history[-1][index].to(torch.int32).cpu().numpy()
            if (name, layer.name) in wanted:
                states[f"{name}/{layer.name}"] = (
                    torch.stack([state[index] for state in history]).to(torch.int32).cpu().numpy()
                )
    last = program.output
    output = spikes[last.name] if last.spec.spiking else pre.to(torch.int32).cpu().numpy()
    return Trace(
        "torch", output, spikes, states, NetworkState(final, {name: value[-1].copy() for name, value in spikes.items()})
    )


def _tensor(value: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(value.astype(np.int64)).to(device)


def _carrier(synapses: Synapses, largest: int, device: torch.device) -> Tensor:
    """Weights in a floating type in which every partial sum is an exact integer, because torch has no fast integer
    matrix product.
    """
    rows = np.abs(synapses.weight.astype(np.int64)).sum(1).max(initial=0) * largest
    if rows >= _EXACT_FLOAT64:
        raise OverflowError(f"a synaptic sum can reach {rows}, beyond the 2^53 that float64 holds exactly")
    dtype = torch.float32 if rows < _EXACT_FLOAT32 and largest <= _EXACT_REDUCED else torch.float64
    return torch.from_numpy(synapses.weight.astype(np.float64)).to(device=device, dtype=dtype)


def _product(pre: Tensor, weight: Tensor) -> Tensor:
    return (pre.to(weight.dtype) @ weight.T).to(torch.int64)
