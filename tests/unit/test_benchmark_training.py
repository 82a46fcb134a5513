"""The benchmark of training steps: absent peers are left out, compile time stands apart, the chart is a PNG."""

from __future__ import annotations

import math

import pytest
import torch
from matplotlib.image import imread

from benchmarks import peers, training

OURS, THEIRS = "lif T=4 bptt | compiled", "peer spyx"


def timing(least: float, cpu: float) -> dict[str, object]:
    return {
        "first": 9.0,
        "least": least,
        "median": least,
        "quartiles": (least, least),
        "cpu": cpu,
        "repeats": 3,
    }


def test_frameworks_that_are_not_installed_are_left_out_and_named(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "jax" else object())
    assert "spyx" not in peers.available() and peers.missing() == ["spyx"]
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert list(peers.available()) == ["torch-autograd"]
    assert peers.missing() == ["snntorch", "norse", "spikingjelly", "spyx"]


def test_every_installed_peer_does_a_step_with_a_finite_loss():
    case = training.Case("lif", "bptt", steps=6, batch=2, hidden=5)
    x, y = training.batch(case)
    for name, build in peers.available().items():
        peer = build(x, y, case.hidden, case.outputs)
        first, again = float(peer.call()), float(peer.call())
        assert first > 0 and math.isfinite(first), name
        assert first == again, f"{name}: a step without an optimiser must not change the loss"
        assert (peer.compile_seconds is not None) == (name == "spyx")


def test_compile_time_is_a_column_of_its_own_and_not_in_the_ratio():
    timings = {OURS: timing(0.010, 0.009), THEIRS: timing(0.025, 0.024), "peer norse": timing(0.5, 0.4)}
    lines = training.peer_table(timings, {THEIRS: 0.77}).splitlines()
    assert lines[0] == "| BPTT step of | least ms | cpu ms | compile s | times lif T=4 bptt |"
    assert lines[2:] == ["| spyx | 25.0 | 24.0 | 0.77 | 2.5 |", "| norse | 500.0 | 400.0 |  | 50.0 |"]


def test_the_chart_is_a_png_with_room_for_every_bar(tmp_path):
    few = {OURS: timing(0.010, 0.009)}
    many = few | {f"peer {index}": timing(0.1 * (index + 1), 0.1) for index in range(12)}
    for name, timings in (("few.png", few), ("many.png", many)):
        training.draw(timings, tmp_path / name)
    heights = [imread(tmp_path / name).shape[0] for name in ("few.png", "many.png")]
    assert heights[1] - heights[0] == pytest.approx(12 * 0.36 * 120, abs=2)  # inches times dpi, rounded to pixels
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.png", "many.png"]


@pytest.mark.parametrize("name", ["chart.pdf", "absent/chart.png"])
def test_a_chart_that_cannot_be_written_is_refused_before_anything_is_timed(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "run", lambda *_: pytest.fail("timed first"))
    with pytest.raises(SystemExit) as stopped:
        training.main(["--plot", str(tmp_path / name), "--threads", str(torch.get_num_threads())])
    assert stopped.value.code == 2
    assert "must be a .png file in a folder that exists" in capsys.readouterr().err
