"""What a windowed rule hands from one window to the next."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hypr.kernels.types import Eligibility
from hypr.network import LayerState


@dataclass
class Carry:
    """What goes from one window to the next.

    Attributes:
        states: of each layer.
        eligibilities: None where nothing has been carried yet: they are zero.
        inputs: (D, B, n_in), the last inputs, which may still be under way, D the longest delay.
    """

    states: list[LayerState]
    eligibilities: list[Eligibility | None]
    inputs: Tensor

    def reset_(self, samples: Tensor) -> None:
        """Zero the carry of the samples where ``samples`` (B,) bool is true, in place."""
        self.inputs[:, samples] = 0.0
        for state in self.states:
            for value in state:
                value[samples] = 0.0
        for eligibility in self.eligibilities:
            if eligibility is not None:
                tensors = (
                    eligibility.weight,
                    eligibility.recurrent,
                    eligibility.bias,
                    *eligibility.parameters.values(),
                )
                for tensor in tensors:
                    if tensor is not None:
                        tensor[samples] = 0.0
