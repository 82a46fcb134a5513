"""What passes through the seam between the learning rules and the kernels. Everything is time-major: T steps, B
samples, N neurons, d states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Mode = Literal["detached", "full"]
"""``detached``: z^{t-1} is a constant (rule ``hypr``). ``full``: recurrent, reset and z* paths are included (``bptt``,
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
        d_direct: (T, B, N), D^t g^t alone, the share that leaves the layer within the same step (rule ``hypr`` hands it
            to the layer below). None in full mode, where the whole of ``d_current`` goes down.
        d_parameters: effective parameter name -> (N,), sum over t and B of ds/dtheta . m^t + dz/dtheta g^t. Names as in
            ``layer.effective()``; the chain from effective to raw values is taken once afterwards, by
            ``layer.pull_back``.
        adjoint_start: (B, d, N), m^0 = dL/ds^0, which multiplies a carried eligibility.
        dz_start: (B, N), dL/dz^0 in full mode (through R, reset and z*), else None.
    """

    d_current: Tensor
    d_direct: Tensor | None
    d_parameters: Mapping[str, Tensor]
    adjoint_start: Tensor
    dz_start: Tensor | None


@dataclass(frozen=True)
class Eligibility:
    """Carried eligibility e^t = ds^t/dtheta with spikes of earlier steps held constant, one per sample and neuron.

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
