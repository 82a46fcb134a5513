"""What a Process begins a sample with: its initial states, and what it sent before (FP-2.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Start:
    """The past of one source or population.

    Attributes:
        states: state -> integers (N,), the same for every sample, or (samples, N).
        sent: (D, samples, N), what it sent in its last D steps, oldest first; None for zeros.
    """

    states: Mapping[str, np.ndarray] = field(default_factory=dict)
    sent: np.ndarray | None = None

    def state(self, name: str, samples: slice) -> np.ndarray:
        """Values before the first step: (N,), or (group, N) for these samples."""
        values = self.states[name]
        return values if values.ndim == 1 else values[samples]

    def message(self, ago: int, samples: slice) -> np.ndarray | None:
        """What was sent ``ago`` steps (1 or more) before the first one: (group, N), or None for zeros."""
        if self.sent is None or ago > len(self.sent):
            return None
        return self.sent[-ago, samples]
