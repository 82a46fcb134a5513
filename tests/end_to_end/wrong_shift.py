"""A copy of the emulator whose resonator shifts round down instead of toward zero: what a careless port would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hardware.emulator import Emulator
from hardware.fixed_point import sat
from hardware.program import Program
from hardware.trace import Trace


def _floor(x: np.ndarray, c: np.ndarray, k: int) -> np.ndarray:
    return (x * c) >> k


def _brf(
    n: Mapping[str, Any], states: tuple[np.ndarray, ...], spikes_before: np.ndarray, drive: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    u, v, q = states
    d = np.maximum(0, n["C"] - _floor(q, n["D"], n["Kd"]))
    u_new = sat(_floor(u, d, n["K"]) - _floor(v, n["S"], n["K"]) + drive + n["bias"])
    v_new = sat(_floor(u, n["S"], n["K"]) + _floor(v, d, n["K"]))
    z = (u_new - q) > n["TH"]
    return (u_new, v_new, sat(_floor(q, n["R"], n["KR"]) + np.where(z, n["J"], 0))), z


class WrongShift:
    """Engine ``tests.end_to_end.wrong_shift:engine``."""

    name = "wrong-shift"

    def run(self, program: Program, inputs: np.ndarray, record: Any) -> Trace:
        return Emulator(program, steps={"brf": _brf}, engine=self.name).run(inputs, record)


engine = WrongShift()
