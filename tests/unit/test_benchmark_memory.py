"""The benchmark of memory and the options that all benchmarks share."""

from __future__ import annotations

import json
import struct

import pytest

from benchmarks import memory, training


def test_growth_is_the_slope_from_the_shortest_to_the_longest_sequence():
    rows = [
        {"rule": "hypr", "steps": 3000, "peak_mib": 14.0, "inputs_and_outputs_mib": 3.0},
        {"rule": "hypr", "steps": 1000, "peak_mib": 10.0, "inputs_and_outputs_mib": 1.0},
        {"rule": "bptt", "steps": 1000, "peak_mib": 30.0, "inputs_and_outputs_mib": 1.0},
    ]
    assert memory.growth(rows) == {"hypr": (4 * 2**20 / 2000, 2 * 2**20 / 2000)}


def test_peaks_are_measured_printed_written_and_drawn(tmp_path, capsys):
    figures, picture = tmp_path / "figures.json", tmp_path / "memory.png"
    options = ["--rules=bptt", "--steps=50,2000", "--hidden=64", f"--json={figures}", f"--plot={picture}"]
    assert memory.main(options) == 0
    rows = json.loads(figures.read_text())["rows"]
    assert [row["steps"] for row in rows] == [50, 2000]
    recorded = 8 * 2000 * 64 * 4 * 5 / 2**20  # states, spikes and currents of the hidden layer, float32
    assert rows[1]["peak_mib"] > recorded > rows[0]["peak_mib"]
    assert "bytes per time step" in capsys.readouterr().out
    assert struct.unpack(">II", picture.read_bytes()[16:24])[0] > 400  # pixels wide


@pytest.mark.parametrize(
    ("main", "options", "message"),
    [
        (
            memory.main,
            ["--rules=hypr,bpt"],
            "'bpt' is unknown; choose from hypr, hypr-window, hypr-window-plain, bptt, eprop",
        ),
        (memory.main, ["--steps=1e3"], "'1e3' is no whole number of at least 1"),
        (memory.main, ["--plot=/nowhere/memory.png"], "must be a .png file in a folder that exists"),
        (training.main, ["--neurons=lif", "--windows=-1"], "'-1' is no whole number of at least 0"),
        (training.main, ["--neurons=izhikevich"], "'izhikevich' is unknown"),
        (training.main, ["--json=figures.txt"], "must be a .json file"),
    ],
)
def test_mistakes_are_named_before_anything_runs(main, options, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2 and message in capsys.readouterr().err
