"""The benchmark of the GPU kernels: refuses without a GPU, counts the roof right, and its whole flow runs."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import gpu
from tests.unit.hypr_triton import interpreted


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
def test_without_a_gpu_it_says_so_in_one_line(capsys):
    assert gpu.main([]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "needs a CUDA GPU" in message


def test_the_roof_counts_bytes_and_operations():
    size = gpu.Size("tiny", 2, 3, 1, 10, 4, 5)
    numbers = 10 * 4 * 3 * (6 + 6 + 1 + 1)
    assert gpu.least_seconds(size, "bptt", gpu.Roof(1.0, 1e30)) == pytest.approx(4 * numbers)
    operations = 2 * 10 * 4 * (2 * 3 * 5 + 9)
    assert gpu.least_seconds(size, "bptt", gpu.Roof(1e30, 1.0)) == pytest.approx(operations)
    eligibilities = 2 * 10 * 4 * 3 * 3 * 5
    assert gpu.least_seconds(size, "hypr-window", gpu.Roof(1e30, 1.0)) == pytest.approx(operations + eligibilities)
    assert gpu.least_seconds(size, "eprop", gpu.Roof(1.0, 1e30)) > gpu.least_seconds(size, "hypr", gpu.Roof(1.0, 1e30))


def test_the_check_and_the_measurement_run_in_the_interpreter():
    interpreted("hypr.kernels.gpu.operations")
    device = torch.device("cpu")
    size = gpu.Size("tiny", 5, 6, 3, 4, 2, 2)
    rows = gpu.measure(size, list(gpu.RULES), device, "interpret", repeats=1, few=1)
    assert [row.rule for row in rows] == list(gpu.RULES)
    assert [row.scaled for row in rows] == [False, False, False, True]
    assert all(row.median_s > 0 and row.roof_s > 0 for row in rows)
    assert gpu.table(rows).count("\n") == 5
    assert json.loads(json.dumps(gpu.report(rows, {})))["rows"][0]["rule"] == "hypr"


@pytest.mark.slow
def test_the_gradient_check_passes_in_the_interpreter_and_finds_a_wrong_gradient(monkeypatch):
    interpreted("hypr.kernels.gpu.operations")
    found = gpu.check(torch.device("cpu"), "interpret", small=True)
    assert len(found) == 20 and max(found.values()) <= 1e-3
    right = gpu._gradients

    def wrong(net, rule, size, x, y, choice):
        gradients = right(net, "bptt", size, x, y, choice)
        return {k: v * 1.1 for k, v in gradients.items()} if choice == "interpret" else gradients

    monkeypatch.setattr(gpu, "_gradients", wrong)
    with pytest.raises(SystemExit, match="differs from the reference"):
        gpu.check(torch.device("cpu"), "interpret", small=True)
