"""The report of a network that another tool made, with a data set that its bundle does not name."""

from __future__ import annotations

import numpy as np

from hypr import data
from tests.paths import cases_folder, data_folder


def test_an_imported_network_with_data_has_every_section(hypr, tmp_path, monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(data_folder("braille").parent))
    network = cases_folder("nir") / "braille_noDelay_bias_zero.nir"
    inputs = data.load("braille", "train").dense(slice(0, 64)).transpose(1, 0, 2)
    np.savez(tmp_path / "inputs.npz", input_spikes=inputs)
    options = ["--preset", "nir-paper-braille", "--calibration", tmp_path / "inputs.npz", "--out", tmp_path / "bundle"]
    code, _, error = hypr("import", network, *options)
    assert code == 0, error
    code, output, error = hypr("report", tmp_path / "bundle", "--data", "braille")
    assert code == 0, error
    assert "left out" not in output + error
    page = (tmp_path / "bundle" / "report.html").read_text()
    for title in (
        "From float to integer",
        "What quantization did",
        "Does the integer network behave like the float",
        "Where it fits: Intel Loihi 2",
        "What it costs: Intel Loihi 2",
    ):
        assert title in page
    assert "Left out" not in page
