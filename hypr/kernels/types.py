"""What passes through the seam between the learning rules and the kernels. Everything is time-major: T steps, B
samples, N neurons, d states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

from hypr.errors import HyprError

Mode = Literal["detached", "own", "full"]
"""``detached``: z^{t-1} is a constant (rule ``hypr``). ``own``: that of the other neurons is; a neuron's own spike
passes on through reset, adaptation and R_nn. ``full``: recurrent, reset and z* paths are included (``bptt``,
``hypr-window``).
"""


@dataclass(frozen=True)
class LayerTrajectory:
    """One window of one layer, as recorded by the S-stage. All tensors share one floating dtype and device; any
    strides are allowed (the compiled CPU kernels record ``states`` as a transposed view).

    Attributes:
        pre: (T, B, n_in), inputs of the layer (spikes of the layer below at the same step, or scaled network inputs).
        states: (T + 1, B, d, N), ``states[t]`` = s^t, ``states[0]`` the state at the window's start; d in the order of
            ``layer.state_names``.
        spikes: (T + 1, B, N), ``spikes[t]`` = z^t (0. or 1.; the output value for a readout), ``spikes[0]`` at the
            window's start.
        current: (T, B, N), I^t = W pre^t + b + R z^{t-1} (without b where ``layer.bias_in_current`` is False).
    """

    pre: Tensor
    states: Tensor
    spikes: Tensor
    current: Tensor

    @property
    def steps(self) -> int:
        return int(self.current.shape[0])


@dataclass(frozen=True)
class LayerCredit:
    """What the reverse scan over one window yields. Gradients are summed over the batch where the shape has no B.

    Attributes:
        d_current: (T, B, N), dL/dI^t = B^t . m^t + D^t g^t. One matrix product with ``pre`` (``spikes[:-1]``) gives the
            weight gradients.
        d_direct: (T, B, N), D^t dL/dz^t alone, with the error from above only: the share that leaves the layer within
            the same step (rule ``hypr`` hands it to the layer below). None in full mode, where the whole of
            ``d_current`` goes down.
        d_parameters: effective parameter name -> (N,), sum over t and B of ds/dtheta . m^t + dz/dtheta g^t. Names as in
            ``layer.effective()``; the chain from effective to raw values is taken once afterwards, by
            :func:`hypr.neurons.base.pull_back`.
        adjoint_start: (B, d, N), m^0 = dL/ds^0, which multiplies a carried eligibility.
        dz_start: (B, N), dL/dz^0 in full mode (through R, reset and z*) and mode ``own`` (through those of the neuron
            itself), else None.
    """

    d_current: Tensor
    d_direct: Tensor | None
    d_parameters: Mapping[str, Tensor]
    adjoint_start: Tensor
    dz_start: Tensor | None


@dataclass(frozen=True)
class Eligibility:
    """Carried eligibility e^t = ds^t/dtheta with spikes of earlier steps (or those of other neurons only,
    ``Boundary.own_spike``) held constant, one per sample and neuron.

    Attributes:
        weight: (B, d, N, n_in).
        recurrent: (B, d, N, N), last axis presynaptic; None for a layer without recurrence.
        bias: (B, d, N), or None where the bias is one of ``parameters`` (``layer.bias_in_current`` False).
        parameters: effective parameter name -> (B, d, N).
    """

    weight: Tensor
    recurrent: Tensor | None
    bias: Tensor | None
    parameters: Mapping[str, Tensor]


@dataclass(frozen=True)
class Boundary:
    """What passes the two ends of a window of one layer, beside its state.

    Attributes:
        before: the eligibility carried into the window; None: zero.
        spike_filters: kappas of the components that the eligibilities have beyond the layer's states, see
            :func:`hypr.kernels.reference.carry_eligibility`.
        filtered: for each of them dL/d(filtered spike) at the window's start, (B, N); None stands for the scan's own
            ``dz_start``.
        onward: whether the eligibility after the window is needed.
        own_spike: the first filter is 0, so that its component is the eligibility of the neuron's last spike, and what
            the neuron's state takes from its own spike passes on through it.
        overwritable: nobody reads ``before`` again: the eligibility after the window may stand in its memory.
    """

    before: Eligibility | None = None
    spike_filters: tuple[float, ...] = ()
    filtered: tuple[Tensor | None, ...] = ()
    onward: bool = False
    own_spike: bool = False
    overwritable: bool = False

    def __post_init__(self) -> None:
        if self.own_spike and self.spike_filters[:1] != (0.0,):
            raise HyprError(f"boundary: own_spike needs 0.0 as the first filter, got {self.spike_filters}")
        if len(self.filtered) != len(self.spike_filters):
            raise HyprError(
                f"boundary has {len(self.filtered)} adjoints of filtered spikes for {len(self.spike_filters)} filters"
            )


@dataclass
class LayerGradient:
    """Sums of gradients of one layer, in effective parameters. They are added to in place.

    Attributes:
        sums: by ``weight`` (N, n_in), ``recurrent_weight`` (N, N), ``bias`` (N,) and ``effective/NAME`` (N,).
        array: one array of which all sums are views, where the kernels that made them keep them so; else None.
    """

    sums: dict[str, Tensor] = field(default_factory=dict)
    array: np.ndarray | None = None

    def add(self, name: str, value: Tensor) -> None:
        """Adds to a sum."""
        if name in self.sums:
            self.sums[name].add_(value)
        else:
            self.sums[name] = value.clone()

    def add_product(self, name: str, left: Tensor, right: Tensor) -> None:
        """Adds a matrix product to a sum."""
        if name in self.sums:
            self.sums[name].addmm_(left, right)
        else:
            self.sums[name] = left @ right


Down = Literal["nothing", "direct", "whole"]
"""Which part of dL/dI leaves a layer downward: none is needed, that of the same step's spike (rule ``hypr``), all."""


@dataclass(frozen=True)
class WindowCredit:
    """What the P-stage of a layer leaves for others; gradients are added to a :class:`LayerGradient`.

    Attributes:
        down: (T, B, N), dL/dI^t as far as it goes to the layer below; None where that was not asked for.
        adjoint_start: (B, d, N), dL/ds at the window's start.
        after: the eligibility after the window, None where it was not asked for.
    """

    down: Tensor | None
    adjoint_start: Tensor
    after: Eligibility | None
