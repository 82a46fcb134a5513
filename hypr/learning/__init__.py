"""Learning rules. One interface: ``rule.backward(x, y, mask)`` fills ``.grad``; any torch optimiser follows."""

from __future__ import annotations

from hypr.learning.eprop import EProp
from hypr.learning.windows import BPTT, HYPR, HYPRWindow

__all__ = ["BPTT", "HYPR", "EProp", "HYPRWindow"]
