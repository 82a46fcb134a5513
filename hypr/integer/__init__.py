"""The integer dynamics in torch: the S-stage that the chip will run, on CPU or GPU, for training on the very states
that are deployed.
"""

from __future__ import annotations

from hypr.integer.engine import run

__all__ = ["run"]
