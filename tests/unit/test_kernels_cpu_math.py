"""Compiled cross entropy and exponential: equal to the reference, finite at the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numba import njit

from hypr.kernels import dispatch
from hypr.kernels.cpu.math import exponential
from hypr.learning.losses import CrossEntropy
from tests.unit.test_kernels_cpu import LIMITS, assert_close


@pytest.mark.parametrize("target", ["steps", "sequence", "steps_soft", "sequence_soft"])
@pytest.mark.parametrize("dtype", LIMITS)
def test_cross_entropy_equals_the_reference(dtype, target):
    torch.manual_seed(6)
    output, weight = 4 * torch.randn(300, 3, 6, dtype=dtype), torch.rand(300, 3, dtype=dtype)
    y = {
        "steps": torch.randint(0, 6, (300, 3)),
        "sequence": torch.randint(0, 6, (3,)),
        "steps_soft": torch.rand(300, 3, 6, dtype=dtype),
        "sequence_soft": torch.rand(3, 6, dtype=dtype),
    }[target]
    value, gradient = CrossEntropy()(output, y, weight)
    with dispatch.use("reference"):
        expected, slope = CrossEntropy()(output, y, weight)
    assert_close(value, expected, dtype, "value")
    assert_close(gradient, slope, dtype, "gradient")


def test_cross_entropy_of_huge_logits_is_finite():
    output = torch.tensor([[[1e4, -1e4, 0.0]]])
    value, gradient = CrossEntropy()(output, torch.tensor([[1]]), torch.ones(1, 1))
    assert float(value) == pytest.approx(2e4, rel=1e-6)  # float32
    assert gradient.flatten().tolist() == pytest.approx([1.0, -1.0, 0.0], abs=1e-30)  # exp(-1e4) is clamped


@njit
def _exponentials(x, y):
    for i in range(x.size):
        y[i] = exponential(x[i])


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.float32, -87.0, 88.0), (np.float64, -708.0, 709.0)])
def test_exponential_is_within_two_units_in_the_last_place(dtype, low, high):
    x = np.concatenate([np.linspace(low, high, 200_001), [0.0, -0.0, 1e-8, -1e-8]]).astype(dtype)
    found = np.empty_like(x)
    _exponentials(x, found)
    exact = np.exp(x.astype(np.longdouble))
    assert np.all(np.abs(found - exact) <= 2 * np.spacing(exact.astype(dtype)))


def test_exponential_beyond_the_range_is_clamped():
    x, y = np.array([-1e4, 1e4, -np.inf]), np.empty(3)
    _exponentials(x, y)
    assert 0.0 < y[0] < 1e-307 and np.isfinite(y[1]) and y[2] == y[0]
