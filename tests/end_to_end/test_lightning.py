"""The example for PyTorch Lightning runs as it stands and ends in a verified bundle."""

from __future__ import annotations

import pytest

from tests.end_to_end.test_own_walks import certified, run_module


def test_a_network_trained_by_lightning_is_deployed_with_accuracy(tmp_path):
    pytest.importorskip("pytorch_lightning", reason="the extra 'lightning' is not installed")
    out = run_module("lightning_loop", tmp_path, warnings="default")  # Lightning warns about torch, not about us
    assert "equal: True" in out
    assert certified(tmp_path / "lightning-bundle")["outcome"]["accuracy"] >= 0.9
