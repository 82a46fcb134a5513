"""A chain of neuron layers: layer l reads layer l - 1 at the same step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hypr.errors import HyprError
from hypr.extensions import hint
from hypr.kernels import dispatch
from hypr.kernels.types import LayerTrajectory
from hypr.neurons import KINDS, Neuron

LayerState = tuple[Tensor, Tensor]
"""(state (B, d, N), spikes (B, N)) of one layer between two steps."""

Stage = Callable[[Tensor, Sequence[LayerState]], list[LayerTrajectory]]
"""An S-stage: arguments and result of :meth:`Network.run`."""

LONGEST_DELAY = 62
"""Steps that an input may be late: what an integer program can express (clause FP-2.3)."""

_EVALUATION_WINDOW = 256  # steps recorded at once when only outputs are wanted


class Network(nn.Module):
    """Layers in a row; the last one is the output (usually :class:`hypr.LI`).

    Args:
        layers: neuron layers, each with as many inputs as the layer below has neurons.
        input_scale: power of two by which every input is multiplied (1/16 for integer payloads 0..16), so that export
            folds it exactly.
        input_format: (low, high), the range of the integers that the deployed network is fed with.
        decision: how a class is read from the outputs, ``{"rule": "per_step" | "sum" | "spike_count", "ignore_first":
            steps}``.
        input_delays: axonal delays: for each input channel how many steps late it arrives, 0 to 62. Before the first
            step nothing arrives. Fixed, not trained; None: no delays.

    Raises:
        HyprError: no layers, layers that do not fit, a scale that is no power of two, delays out of range.
    """

    layers: Sequence[Neuron]
    stage: Stage | None
    """What runs the dynamics instead of the float steps, for instance integers (:mod:`hypr.integer`); None: those."""

    def __init__(
        self,
        layers: Sequence[Neuron],
        input_scale: float = 1.0,
        input_format: tuple[int, int] = (0, 1),
        decision: Mapping[str, Any] | None = None,
        input_delays: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not layers:
            raise HyprError("Network: no layers; give at least one, for example [hypr.BRF(4, 36), hypr.LI(36, 6)]")
        for index, layer in enumerate(layers):
            if not isinstance(layer, Neuron):
                raise HyprError(f"Network: layer {index} is a {type(layer).__name__}, not a hypr.Neuron")
            if index and layer.n_in != layers[index - 1].n:
                raise HyprError(
                    f"Network: layer {index} takes {layer.n_in} inputs, not the {layers[index - 1].n} neurons below; "
                    "make them equal"
                )
        if not (math.isfinite(input_scale) and input_scale > 0 and math.frexp(input_scale)[0] == 0.5):
            raise HyprError(f"Network: input_scale is {input_scale!r}, must be a power of two such as 1/16")
        self.layers = nn.ModuleList(layers)  # type: ignore[assignment]  # a ModuleList of Neurons
        self.input_scale = float(input_scale)
        self.input_format = (int(input_format[0]), int(input_format[1]))
        self.decision = {"rule": "per_step", "ignore_first": 0} | dict(decision or {})
        self.input_delays = checked_delays(input_delays, self.n_in)
        self.stage = None

    @property
    def n_in(self) -> int:
        """Number of input channels."""
        return self.layers[0].n_in

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.layers[-1].n

    @property
    def dtype(self) -> torch.dtype:
        """Precision in which the network computes."""
        return self.layers[0].weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.layers[0].weight.device

    def layer_names(self) -> tuple[str, ...]:
        """``hidden0``, ``hidden1``, ..., and ``readout`` for the last layer."""
        return (*(f"hidden{i}" for i in range(len(self.layers) - 1)), "readout")

    # ---- running

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of a batch from zero states; differentiable by autograd where gradients are enabled.

        Args:
            x: (B, T, n_in), any real dtype, finite.

        Returns:
            (B, T, n_out): membrane of the readout (spikes for a spiking last layer).
        """
        pre = self.arriving(x)
        states = self.initial_state(pre.shape[1])
        if torch.is_grad_enabled():
            return self.run(pre, states)[-1].spikes[1:].transpose(0, 1)
        parts = []
        for window in pre.split(_EVALUATION_WINDOW):
            trajectories = self.run(window, states)
            states = end_state(trajectories)
            parts.append(trajectories[-1].spikes[1:])
        return torch.cat(parts).transpose(0, 1)

    @torch.no_grad()
    def trajectory(self, x: Tensor) -> dict[str, LayerTrajectory]:
        """Everything recorded, by layer name, time-major; x as in :meth:`forward`. Memory grows with T."""
        pre = self.arriving(x)
        return dict(zip(self.layer_names(), self.run(pre, self.initial_state(pre.shape[1])), strict=True))

    def run(self, pre: Tensor, states: Sequence[LayerState]) -> list[LayerTrajectory]:
        """S-stage of one window.

        Args:
            pre: (T, B, n_in), scaled inputs as they arrive (:meth:`arriving`, :meth:`delayed`).
            states: of each layer at the window's start.
        """
        if self.stage is not None:
            return self.stage(pre, states)
        trajectories = []
        for layer, (state, spikes) in zip(self.layers, states, strict=True):
            trajectories.append(dispatch.run_layer(layer, pre, state, spikes))
            pre = trajectories[-1].spikes[1:]
        return trajectories

    def initial_state(self, batch: int) -> list[LayerState]:
        """Zero states and no spikes for ``batch`` samples."""
        return [
            (layer.weight.new_zeros(batch, len(layer.state_names), layer.n), layer.weight.new_zeros(batch, layer.n))
            for layer in self.layers
        ]

    def arriving(self, x: Tensor) -> Tensor:
        """What reaches the first layer of whole sequences: :meth:`prepare`, then delays; x as in :meth:`forward`."""
        pre = self.prepare(x)
        return self.delayed(pre, self.initial_inputs(pre.shape[1]))[0]

    def initial_inputs(self, batch: int) -> Tensor:
        """Inputs under way before the first step: zeros (D, B, n_in), D the longest delay, B = ``batch``."""
        return self.layers[0].weight.new_zeros(max(self.input_delays, default=0), batch, self.n_in)

    def delayed(self, pre: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs as they arrive, each channel late by its delay.

        Args:
            pre: (T, B, n_in), as returned by :meth:`prepare`.
            before: (D, B, n_in), the D steps before, oldest first.

        Returns:
            what arrives, (T, B, n_in), and the last D steps, for the chunk that follows.
        """
        if len(before) == 0:
            return pre, before
        steps, line = len(pre), torch.cat([before, pre])
        arrived = torch.empty_like(pre)
        for delay in sorted(set(self.input_delays)):
            channels = [index for index, value in enumerate(self.input_delays) if value == delay]
            first = len(before) - delay
            arrived[:, :, channels] = line[first : first + steps][:, :, channels]
        return arrived, line[steps:].clone()

    def prepare(self, x: Tensor) -> Tensor:
        """Checked, scaled, time-major inputs (T, B, n_in) in the network's dtype and on its device.

        Args:
            x: (B, T, n_in), real.

        Raises:
            HyprError: wrong shape, no steps or samples, or values that are not finite.
        """
        if not isinstance(x, Tensor):
            raise HyprError(f"x is a {type(x).__name__}, must be a torch.Tensor (B, T, {self.n_in})")
        if x.ndim != 3 or x.shape[2] != self.n_in or 0 in x.shape:
            raise HyprError(
                f"x has shape {tuple(x.shape)}, must be (batch, steps, {self.n_in}) with at least one sample and step"
            )
        if x.is_complex():
            raise HyprError("x is complex, must be real: spikes 0/1 or integer payloads")
        pre = x.detach().to(self.device, self.dtype).transpose(0, 1).contiguous()
        if not torch.isfinite(pre).all():
            t, b, i = (int(v) for v in torch.nonzero(~torch.isfinite(pre))[0])
            raise HyprError(
                f"x is {float(pre[t, b, i])} at sample {b}, step {t}, input {i}; all inputs must be finite: "
                "replace such values"
            )
        return pre if self.input_scale == 1.0 else pre * self.input_scale

    # ---- parameters and descriptions

    def constrain_(self) -> None:
        """Clip the neurons' parameters to their ranges, in place; call it after each update."""
        for layer in self.layers:
            layer.constrain_()

    def structure(self) -> dict[str, Any]:
        """Plain dictionary (JSON and TOML compatible) from which :meth:`from_structure` builds the network again,
        weights excepted.
        """
        return {
            "input_scale": self.input_scale,
            "input_format": list(self.input_format),
            "decision": dict(self.decision),
            "layers": [layer.structure() for layer in self.layers],
        } | ({"input_delays": list(self.input_delays)} if any(self.input_delays) else {})

    @classmethod
    def from_structure(cls, structure: Mapping[str, Any], generator: torch.Generator | None = None) -> Network:
        """Network with fresh weights from :meth:`structure`. Masks keep every synapse until ``load_state_dict`` brings
        them.

        Args:
            structure: as :meth:`structure` gives it.
            generator: of the fresh weights; None is torch's own.

        Raises:
            HyprError: an unknown kind or an unknown or wrong setting; names the layer.
        """
        known = ("input_scale", "input_format", "decision", "input_delays", "layers")
        unknown = [key for key in structure if key not in known]
        if unknown or not isinstance(structure.get("layers"), list):
            what = f"unknown item '{unknown[0]}'" if unknown else "no list of layers"
            raise HyprError(f"network structure: {what}; known are {', '.join(known)}")
        layers = [_build(index, dict(entry), generator) for index, entry in enumerate(structure["layers"])]
        return cls(layers, **{key: structure[key] for key in known[:4] if key in structure})

    def to_arrays(self) -> dict[str, Any]:
        """The trained network as plain float64 arrays, in the protocol of ``export.interchange.source``."""
        return {
            "layers": [layer.to_arrays() for layer in self.layers],
            "input_scale": self.input_scale,
            "input_format": {"low": self.input_format[0], "high": self.input_format[1]},
            "decision": dict(self.decision),
        } | ({"input_delays": list(self.input_delays)} if any(self.input_delays) else {})


def checked_delays(delays: Sequence[int] | None, channels: int) -> tuple[int, ...]:
    """One delay for each channel.

    Raises:
        HyprError: not one for each channel, or out of range.
    """
    if delays is None:
        return (0,) * channels
    found = tuple(delays)
    if len(found) != channels:
        raise HyprError(f"Network: {len(found)} input_delays for {channels} input channels; give one for each")
    for index, delay in enumerate(found):
        if not isinstance(delay, int) or isinstance(delay, bool) or not 0 <= delay <= LONGEST_DELAY:
            raise HyprError(
                f"Network: input_delays[{index}] is {delay!r}, must be a whole number of steps, 0 to {LONGEST_DELAY}"
            )
    return found


def end_state(trajectories: Sequence[LayerTrajectory]) -> list[LayerState]:
    """State of each layer after a window, detached from the window's memory."""
    return [(t.states[-1].detach().clone(), t.spikes[-1].detach().clone()) for t in trajectories]


def _build(index: int, entry: dict[str, Any], generator: torch.Generator | None) -> Neuron:
    kind = entry.pop("kind", None)
    if kind not in KINDS:
        known = ", ".join(name for name in KINDS if name)
        raise HyprError(
            f"network structure: layer {index} has kind {kind!r}; known are {known}; "
            f"import the module that defines it first{hint('hypr.neurons', str(kind)) or ' (--with MODULE)'}"
        )
    try:
        for name, sources in (("mask", "n_in"), ("recurrent_mask", "n")):
            if entry.pop(name, False):
                entry[name] = torch.ones(entry["n"], entry[sources], dtype=torch.bool)
        return KINDS[kind](**entry, generator=generator)
    except (TypeError, KeyError) as error:
        raise HyprError(f"network structure: layer {index} ({kind}): {error}") from None
