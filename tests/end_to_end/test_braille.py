"""The recurrent Braille networks of the NIR paper: accuracy of float and 8-bit integers, and Lava's own LIF."""

from __future__ import annotations

import numpy as np
import pytest

from export import quantize, read
from export.interchange import float_engine
from export.interchange.presets import reading_of
from export.verification.engines import get
from export.verification.verify import verify
from hardware import emulate
from hardware.lava.assignment import assign
from tests.paths import cases_folder, data_folder

CASES = {
    "braille_noDelay_bias_zero": ({}, 96.37, 95.5),
    "braille_noDelay_noBias_subtract": ({"reset": "subtract"}, 97.32, 96.3),
}
"""File -> conventions, accuracy in float, least accuracy of 8-bit integers, percent of 1158 samples."""

SAMPLES = 144


def samples() -> tuple[np.ndarray, np.ndarray]:
    data = np.load(data_folder("braille") / "pool_trainval_1158.npz")
    return np.unpackbits(data["x_packed"], axis=-1)[..., :12].astype(np.int64), data["y"]


def program_and_reading(name: str):
    graph, reading = read(cases_folder("nir") / f"{name}.nir"), reading_of("nir-paper-braille", **CASES[name][0])
    return quantize(graph, calibration=samples()[0][:64], reading=reading), graph, reading


@pytest.mark.parametrize("name", CASES)
def test_float_and_eight_bits_have_the_accuracy_of_the_paper(name):
    inputs, labels = samples()
    program, graph, reading = program_and_reading(name)
    _, real, least = CASES[name]
    accuracies = []
    for output in (
        float_engine.run(graph, inputs.swapaxes(0, 1), reading=reading).output,
        emulate(program, inputs.swapaxes(0, 1)).output,
    ):
        accuracies.append(100 * float(np.mean(output.sum(0).argmax(1) == labels)))
    assert abs(accuracies[0] - real) < 0.01
    assert accuracies[1] >= least


@pytest.mark.slow
def test_lavas_own_lif_gives_every_integer_of_144_samples():
    lava = get("lava")
    if lava.problem() is not None:
        pytest.skip(str(lava.problem()))
    program, _, _ = program_and_reading("braille_noDelay_bias_zero")
    assert all(item.lavas_own for item in assign(program))
    given = samples()[0][:SAMPLES].swapaxes(0, 1)
    found = verify(program, given, [get("emulator"), lava, get("onnx")])
    assert found.equal and found.inputs_shape[1] == SAMPLES
