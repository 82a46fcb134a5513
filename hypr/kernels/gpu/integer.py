"""Run an integer Program with Triton kernels: the same integers as ``hardware.emulate``, a window per launch and layer.

The kernels know chains of dense layers; every other program is run by torch on the same device
(:func:`why_in_torch` says why, the Trace names the engine that ran).

Tested bit by bit against ``hardware.emulate``, in Triton's interpreter and on a GPU (tests/gpu).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hardware.chain import Layer
from hardware.inputs import Inputs, check_inputs, check_state
from hardware.program import Program
from hardware.trace import NetworkState, Trace, recorded_states
from hypr.integer.engine import drive_from_below
from hypr.integer.engine import run as run_in_torch
from hypr.kernels.gpu.integer_scan import ALIF, BRF, CUBA_LIF, LI, LIF, SE_ADLIF, integer_scan
from hypr.kernels.gpu.launch import in_chunks
from hypr.kernels.gpu.plan import Plan, plan

_CODES = {"brf": BRF, "se_adlif": SE_ADLIF, "alif": ALIF, "lif": LIF, "cuba_lif": CUBA_LIF, "li": LI}
_ROWS: Mapping[str, tuple[str, ...]] = {
    "brf": ("C", "S", "D", "R", "TH", "J"),
    "se_adlif": ("A", "Be", "At", "Bt", "TH"),
    "alif": ("A", "Rho", "Ja", "B0"),
    "lif": ("A", "TH"),
    "li": ("A",),
}
_SHIFTS: Mapping[str, tuple[str, ...]] = {"brf": ("K", "Kd", "KR"), "se_adlif": ("K", "Ka", "g")}
_CUBA_SHIFT = 12


@dataclass(frozen=True)
class IntegerData:
    """Tensors of :func:`hypr.kernels.gpu.integer_scan.integer_scan`; ``outgoing`` None without recurrence."""

    states: Tensor
    spikes: Tensor
    drive: Tensor
    record: Tensor
    coefficients: Tensor
    shifts: Tensor
    outgoing: Tensor | None


def why_in_torch(program: Program) -> str | None:
    """Why the kernels leave a program to torch, None where they run it."""
    if program.spec_version in ("2.1", "2.2"):
        return "the Triton kernels know the clauses of 1.0; this program has one of FP-3.7 to FP-3.9"
    if program.is_chain:
        return None
    return "the Triton kernels run chains of dense layers without delays or initial states; this program is a graph"


def run(
    program: Program,
    inputs: Inputs,
    record: str | Iterable[str] = (),
    initial_state: NetworkState | None = None,
    device: str | torch.device = "cuda",
) -> Trace:
    """Run a Program on a batch of sequences; arguments, result and errors of :func:`hypr.integer.run`. Engine name
    ``gpu``, or ``torch`` for what :func:`why_in_torch` gives a reason. Memory grows with T: 8 bytes per neuron and step
    of one layer at a time, 2 for its spikes, 4 for each recorded state.
    """
    if why_in_torch(program) is not None:
        return run_in_torch(program, inputs, record, initial_state, device)
    wanted = recorded_states(program, record)
    pre = torch.from_numpy(check_inputs(program, inputs).astype(np.int64)).to(device)
    start = check_state(program, initial_state, pre.shape[1])
    spikes: dict[str, np.ndarray] = {}
    states: dict[str, np.ndarray] = {}
    final: dict[str, np.ndarray] = {}
    for layer in program.layers:
        names = layer.spec.states
        kept = [name for name in names if (name, layer.name) in wanted or (not layer.spec.spiking and name == names[0])]
        data = _run_layer(program, layer, pre, start, kept)
        for index, name in enumerate(names):
            final[f"{name}/{layer.name}"] = data.states[index].cpu().numpy()
            if (name, layer.name) in wanted:
                states[f"{name}/{layer.name}"] = data.record[:, kept.index(name)].cpu().numpy()
        pre = data.spikes[1:] if layer.spec.spiking else data.record[:, 0]
        if layer.spec.spiking:
            spikes[layer.name] = pre.to(torch.uint8).cpu().numpy()
    last = program.output
    output = spikes[last.name] if last.spec.spiking else pre.cpu().numpy()
    before = {name: spikes[name][-1:].copy() for name in program.history}
    after = NetworkState(final, {name: value[-1].copy() for name, value in spikes.items()}, before)
    return Trace("gpu", output, spikes, states, after)


def _run_layer(program: Program, layer: Layer, pre: Tensor, start: NetworkState, kept: list[str]) -> IntegerData:
    """All steps of one layer."""
    device, (steps, batch), n = pre.device, pre.shape[:2], layer.size
    names = layer.spec.states
    first = np.stack([start.states[f"{name}/{layer.name}"] for name in names])
    spikes = torch.zeros(steps + 1, batch, n, dtype=torch.float16, device=device)
    if layer.spec.spiking:
        spikes[0] = torch.from_numpy(start.spikes[layer.name]).to(spikes)
    outgoing = None
    if layer.recurrent is not None:
        outgoing = torch.from_numpy(np.array(layer.recurrent.weight.T, np.float16, order="C")).to(device)
    data = IntegerData(
        torch.from_numpy(first.astype(np.int32)).to(device), spikes, drive_from_below(program, layer, pre),
        torch.empty(steps, len(kept), batch, n, dtype=torch.int32, device=device),
        _coefficients(layer).to(device), _shifts(layer).to(device), outgoing,
    )  # fmt: skip
    slots = tuple(kept.index(name) if name in kept else -1 for name in names) + (-1,) * (3 - len(names))
    layout = plan(batch, n, outgoing is not None, torch.float32)
    if layout.route == "whole":
        _scan(layer, layout, slots, data, 0, steps)
    else:
        _by_chunks(layer, layout, slots, data)
    return data


def _by_chunks(layer: Layer, layout: Plan, slots: tuple[int, ...], data: IntegerData) -> None:
    def by_step(held: IntegerData) -> None:
        for t in range(held.drive.shape[0]):
            _scan(layer, layout, slots, held, t, 1)

    def part(first: int, stop: int) -> IntegerData:
        return IntegerData(
            data.states, data.spikes[first : stop + 1], data.drive[first:stop], data.record[first:stop],
            data.coefficients, data.shifts, data.outgoing,
        )  # fmt: skip

    key = (layer.model, _option(layer), slots, layout)
    in_chunks(key, data.drive.shape[0], part, ("states", "spikes", "record"), by_step)


def _scan(layer: Layer, layout: Plan, slots: tuple[int, ...], data: IntegerData, first: int, steps: int) -> None:
    (d, batch, n), recurrent = data.states.shape, data.outgoing is not None
    block_n = min(64, layout.block_n)  # 64-bit integers take two registers each
    tiles = layout.tiles * (layout.block_n // block_n)
    with torch.cuda.device_of(data.states):
        integer_scan[layout.grid(batch, n)](
            data.states, data.spikes[first:], data.drive[first:], data.record[first:], data.coefficients, data.shifts,
            data.outgoing if recurrent else data.spikes, steps, batch, n,
            MODEL=_CODES[layer.model].value, OPTION=_option(layer), D=d, C=data.coefficients.shape[0],
            SLOT_0=slots[0], SLOT_1=slots[1], SLOT_2=slots[2], SLOTS=data.record.shape[1],
            RECURRENT=recurrent, TILES=tiles, STAGES=3, BLOCK_B=layout.block_b, BLOCK_N=block_n, BLOCK_K=32,
            num_warps=4, num_stages=1,
        )  # fmt: skip


def _option(layer: Layer) -> int:
    return int(layer.options.get("adaptation_spike") == "current" or layer.options.get("reset") == "subtract")


def _coefficients(layer: Layer) -> Tensor:
    """(C, N) int64, in the order of the kernel's branch."""
    values = {name: np.asarray(value, np.int64) for name, value in layer.parameters.items()}
    if layer.model == "cuba_lif":
        bias = np.asarray(layer.bias, np.int64)
        rows = [4096 - (values["du"] + 1), 4096 - values["dv"], values["vth"] << 6, bias]
    else:
        rows = [values[name] for name in _ROWS[layer.model]]
    return torch.from_numpy(np.stack(rows))


def _shifts(layer: Layer) -> Tensor:
    """(8,) int64: three counts, the recurrent exponent, three masks, nothing."""
    names = _SHIFTS.get(layer.model, ("K",))
    counts = [_CUBA_SHIFT] if layer.model == "cuba_lif" else [int(layer.shifts[name]) for name in names]
    counts += [0] * (3 - len(counts))
    exponent = 0 if layer.recurrent is None else layer.recurrent.exponent
    return torch.tensor([*counts, exponent, *((1 << count) - 1 for count in counts), 0], dtype=torch.int64)
