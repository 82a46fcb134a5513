"""Training on the integers that will be deployed: an S-stage that quantizes the network as export does and runs the
integer dynamics.

Gradients are then taken on the very states that the chip will have (straight through the rounding of weights and
coefficients). The learning rules do not change: they see a trajectory, whoever produced it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export import to_nir
from export.interchange.steps import StepNetwork
from export.quantization.calibration import choose_formats
from export.quantization.dequantize import integer_steps
from export.quantization.findings import findings, refuse_zeros, speak
from export.quantization.formats import FEW_BITS, LayerFormat, QuantizationSettings
from export.quantization.quantize import prepare, program_of
from export.quantization.recordings import MAX_CALIBRATION_SAMPLES
from hardware.emulator import emulate
from hardware.models import STATE_MAX
from hardware.own import models_of
from hardware.program import Program
from hardware.trace import NetworkState, Trace
from hypr.errors import HyprError
from hypr.integer.engine import run as run_in_torch
from hypr.integer.loop import Run, in_the_loop
from hypr.integer.reals import LayerReals, chain_layers, layer_reals
from hypr.kernels.types import LayerTrajectory
from hypr.network import LayerState, Network
from hypr.neurons import Neuron

_LATER_CHOICE = {"state_error": "squared_error"}
"""How exponents follow the weights in training, where no calibration inputs are at hand."""

_TIME_STEP_S = 1e-3  # named in the NIR graph on the way; the integers do not depend on it


@dataclass(frozen=True)
class IntegerNetwork:
    """What one set of weights means in integers.

    Attributes:
        program: as export would write it.
        prompt: the same without the delays of the inputs, which is what runs: a window's inputs come as they arrive.
        formats: of each layer.
        reals: what the integers of each layer stand for.
    """

    program: Program
    prompt: Program
    formats: tuple[LayerFormat, ...]
    reals: tuple[LayerReals, ...]


class IntegerStage:
    """The integer S-stage of a network.

    Args:
        network: the network in training; its float weights stay the ones that are updated.
        settings: integer formats. State fraction bits that are left open, and with scales by row or by layer the state
            units, are chosen once, here, from the calibration inputs, so that training and export agree about them for
            good; see :attr:`settings`. ``auto`` means scales by row for at most 6 bits, else powers of two. Exponents
            follow the weights at every update.
        calibration: (n, T, N_in) integer inputs; needed where state fraction bits are open.
        engine: what runs the integers, hardware in the loop for example: a registered name (``lava``, ``onnx``,
            ``reference``, ``emulator``) or your own ``engine(program, inputs, state) -> hardware.Trace`` with every
            spike and state (:mod:`hypr.integer.loop`). None: the emulator, on a GPU its kernels.

    Raises:
        ExportError: what has no integer form (the exponential BRF, for example), with the reason; a tensor that would
            be 0 altogether; an unknown engine. RuntimeMissing: the engine is not installed. HyprError: no engine.
    """

    def __init__(
        self,
        network: Network,
        settings: QuantizationSettings,
        calibration: np.ndarray | None = None,
        engine: Any = None,
    ) -> None:
        self.network = network
        self.settings = settings
        self.engine = engine
        self._run_in_loop = None if engine is None else in_the_loop(engine)
        if not _is_chosen(settings):
            self.settings = self._chosen(settings, calibration)
        self.last: IntegerNetwork | None = None

    def of(self, network: Network) -> IntegerStage:
        """The same formats and engine for another network of the same structure (a checkpoint of the run, say)."""
        return self if network is self.network else IntegerStage(network, self.settings, engine=self.engine)

    def quantize(self) -> IntegerNetwork:
        """Integers of the network's present weights, by the functions that export uses."""
        steps = self._steps(self.settings)
        formats = choose_formats(steps, self.settings)
        program = program_of(steps, formats, {"settings": self.settings.to_json()})
        layers = chain_layers(integer_steps(program))
        reals = tuple(
            layer_reals(neuron, layer, form)
            for neuron, layer, form in zip(self.network.layers, layers, formats, strict=True)
        )
        return IntegerNetwork(program, _prompt(program), formats, reals)

    @contextmanager
    def active(self) -> Iterator[IntegerNetwork]:
        """Inside, the network runs on integers, and learning rules read the weights and parameters that those
        integers stand for. Update the weights outside: what is written to them inside is lost.

        Raises:
            ExportError: a weight or parameter out of the range of its format. HyprError: active already.
        """
        if self.network.stage is not None:
            raise HyprError("quantization: the network runs on integers already; leave that 'with' block first")
        integers = self.quantize()
        self.last = integers
        with ExitStack() as stack:
            for layer, real in zip(self.network.layers, integers.reals, strict=True):
                _substitute(layer, real, stack)
            self.network.stage = lambda pre, states: self._run(integers, pre, states)
            stack.callback(setattr, self.network, "stage", None)
            yield integers

    def _chosen(self, settings: QuantizationSettings, calibration: np.ndarray | None) -> QuantizationSettings:
        """Settings in which nothing is left to measure."""
        bits = settings.weight_bits if isinstance(settings.weight_bits, tuple) else (settings.weight_bits,)
        if settings.weight_scale == "auto" and min(bits) > FEW_BITS:
            settings = replace(settings, weight_scale="power_of_two")
        steps = self._steps(settings)
        few = None if calibration is None else calibration[:MAX_CALIBRATION_SAMPLES]
        formats = choose_formats(steps, settings, few)
        found = findings(program_of(steps, formats), steps, formats)
        refuse_zeros(found, settings.allow_zero)
        speak(found)
        chosen: dict[str, Any] = {
            "scale_choice": _LATER_CHOICE.get(settings.scale_choice, settings.scale_choice),
            "keep_leaks": False,
        }
        if settings.keep_leaks:
            chosen["coefficient_bits"] = tuple(form.coefficient_bits for form in formats)
        if all(form.fraction_bits is not None for form in formats):
            fractions = tuple(int(form.fraction_bits or 0) for form in formats)
            return replace(settings, state_fraction_bits=fractions, weight_scale="power_of_two", **chosen)
        return replace(settings, state_units=tuple(tuple(form.unit.tolist()) for form in formats), **chosen)

    def _steps(self, settings: QuantizationSettings) -> StepNetwork:
        return prepare(to_nir(self.network, dt=_TIME_STEP_S), None, settings, {})

    def _run(self, integers: IntegerNetwork, pre: Tensor, states: Sequence[LayerState]) -> list[LayerTrajectory]:
        """S-stage of one window, in the shapes of :meth:`hypr.Network.run`."""
        inputs = _whole_inputs(pre, self.network.input_scale)
        start = _integer_state(self.network.layers, integers, states)
        engine = self._run_in_loop or self._engine(torch.device("cpu") if models_of(integers.prompt) else pre.device)
        trace = engine(integers.prompt, inputs, start)
        _check_carrier(integers.program, trace, pre.dtype)
        trajectories = []
        for index, layer in enumerate(self.network.layers):
            trajectory = _trajectory(layer, integers, index, trace, pre, states[index])
            trajectories.append(trajectory)
            pre = trajectory.spikes[1:]
        return trajectories

    def _engine(self, device: torch.device) -> Run:
        if device.type == "cpu":
            return lambda program, inputs, start: emulate(program, inputs, "all", start)
        run = run_in_torch
        if device.type == "cuda" and importlib.util.find_spec("triton") is not None:
            from hypr.kernels.gpu.integer import run
        return lambda program, inputs, start: run(program, inputs, "all", start, device)


def _prompt(program: Program) -> Program:
    """A program whose inputs arrive at once."""
    if not any(item.name in program.history for item in program.inputs):
        return program
    names = [item.name for item in program.inputs]
    projections = tuple(replace(p, delay=0) if p.source in names else p for p in program.projections)
    return replace(program, projections=projections)


def _is_chosen(settings: QuantizationSettings) -> bool:
    """Whether units are given; with scales that are powers of two, fraction bits say the same."""
    bits = settings.state_fraction_bits
    if settings.state_units is not None:
        return True
    return settings.weight_scale == "power_of_two" and bits is not None and not settings.keep_leaks


def _whole_inputs(pre: Tensor, scale: float) -> np.ndarray:
    """Integers (T, B, n_in) behind scaled inputs; exact, because the scale is a power of two."""
    values = pre.double().cpu().numpy() / scale
    whole = np.rint(values)
    if not np.array_equal(values, whole):
        t, b, i = (int(item) for item in np.argwhere(values != whole)[0])
        raise HyprError(
            f"x is {values[t, b, i]:g} at sample {b}, step {t}, input {i}; training on integers takes whole numbers: "
            "encode as spikes or integer payloads first"
        )
    return whole.astype(np.int64)


def _integer_state(neurons: Sequence[Neuron], integers: IntegerNetwork, states: Sequence[LayerState]) -> NetworkState:
    """Integers at a window's start from the reals that stand for them.

    Exact: an integer below 2^23 times its unit, rounded once to float32, is off by less than half a unit.
    """
    values: dict[str, np.ndarray] = {}
    spikes: dict[str, np.ndarray] = {}
    populations = integers.program.populations
    for neuron, layer, reals, (state, z) in zip(neurons, populations, integers.reals, states, strict=True):
        after = neuron.after_reset(state.double(), z.double()).cpu().numpy()
        whole = np.rint(after / reals.units).astype(np.int32)
        for index, name in enumerate(neuron.state_names):
            values[f"{name}/{layer.name}"] = np.ascontiguousarray(whole[:, index])
        if neuron.spiking:
            spikes[layer.name] = z.cpu().numpy().astype(np.uint8)
    return NetworkState(values, spikes)


def _check_carrier(program: Program, trace: Trace, dtype: torch.dtype) -> None:
    """Only the current of CubaLIF can leave 24 bits (FP-3.5); float32 cannot carry it then."""
    for layer in program.populations:
        if layer.model == "cuba_lif" and dtype != torch.float64:
            largest = int(np.abs(trace.states[f"u/{layer.name}"].astype(np.int64)).max())
            if largest > STATE_MAX:
                raise HyprError(
                    f"quantization: the current of layer {layer.name} reaches {largest}, beyond the {STATE_MAX} that "
                    "float32 carries exactly; lower state_fraction_bits, or train in float64"
                )


def _trajectory(
    layer: Neuron, integers: IntegerNetwork, index: int, trace: Trace, pre: Tensor, start: LayerState
) -> LayerTrajectory:
    """Recorded integers of one layer as the reals that they stand for."""
    name, units = integers.program.populations[index].name, torch.from_numpy(integers.reals[index].units)
    recorded = [torch.from_numpy(trace.states[f"{state}/{name}"]) for state in layer.state_names]
    after = torch.stack([(value * unit).to(pre.dtype) for value, unit in zip(recorded, units, strict=True)], 2).to(
        pre.device
    )
    outputs = torch.from_numpy(trace.spikes[name]).to(pre) if layer.spiking else after[:, :, 0]
    outputs = torch.cat([start[1][None], outputs])
    current = pre @ layer.weight.T
    if layer.bias_in_current:
        current = current + layer.bias
    if layer.recurrent_weight is not None:
        current = current + outputs[:-1] @ layer.recurrent_weight.T
    return LayerTrajectory(pre, _before_reset(layer, start, after, outputs, current), outputs, current)


def _before_reset(layer: Neuron, start: LayerState, after: Tensor, outputs: Tensor, current: Tensor) -> Tensor:
    """States (T + 1, B, d, N) as the float step keeps them: a neuron that spiked still holds the membrane that made
    it spike.

    An integer engine records the membrane after the reset, the float step resets through z^{t-1}. What the membrane
    was is computed once more from the recorded state one step earlier; it matters only to the gradient through the
    reset.
    """
    probe = layer.after_reset(torch.ones_like(after[0]), torch.ones_like(outputs[0]))
    reset = (probe != 1).any(-1).any(0)  # (d,): which states a reset touches
    if not bool(reset.any()):
        return torch.cat([start[0][None], after])
    earlier = torch.cat([layer.after_reset(start[0], start[1])[None], after[:-1]])
    with torch.no_grad():
        again, _ = layer.step(earlier.unbind(2), torch.zeros_like(outputs[1:]), current, layer.effective())
    membrane = torch.stack(again, 2).double()  # so that the reset takes away exactly what is added here
    lost = membrane - layer.after_reset(membrane, torch.ones_like(membrane[:, :, 0]))  # the membrane, or theta
    spiked = (outputs[1:, :, None] > 0) & reset[:, None]
    return torch.cat([start[0][None], torch.where(spiked, (after + lost).to(after), after)])


def _substitute(layer: Neuron, real: LayerReals, stack: ExitStack) -> None:
    """Let a layer's weights and effective parameters take the values of its integers until ``stack`` is closed."""
    for name, value in (("weight", real.weight), ("recurrent_weight", real.recurrent_weight), ("bias", real.bias)):
        parameter = getattr(layer, name)
        if parameter is not None and value is not None:
            stack.callback(setattr, parameter, "data", parameter.data)
            parameter.data = torch.from_numpy(np.ascontiguousarray(value)).to(parameter.data)
    original = layer.effective

    def straight_through() -> dict[str, Tensor]:
        values = original()
        for name, value in values.items():
            if name in real.effective:
                rounded = torch.from_numpy(real.effective[name]).to(value)
                values[name] = value + (rounded - value).detach()
        return values

    layer.effective = straight_through  # type: ignore[method-assign]
    stack.callback(delattr, layer, "effective")  # uncovers the method of the class
