"""Engine ``float``: equal to the training side, to other frameworks' own outputs, and strict about what it is given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import export
from export.interchange.discretise import Reading
from export.interchange.float_engine import run
from export.interchange.presets import PRESETS, REFUSED, reading_of
from export.quantization.dequantize import requantize
from export.quantization.staircase import STAIRS, accuracy_of, staircase
from tests.paths import cases_folder, data_folder
from tests.random_networks import random_inputs, random_network


@pytest.mark.parametrize(
    "name",
    ["BRF", "BRF exponential", "SEAdLIF current", "SEAdLIF previous", "ALIF", "LIF zero", "LIF subtract", "CubaLIF"],
)
def test_float_engine_equals_the_training_forward(name: str, tmp_path: Path) -> None:
    hypr, torch = pytest.importorskip("hypr"), pytest.importorskip("torch")
    kind, _, option = name.partition(" ")
    key = {"BRF": "variant", "SEAdLIF": "adaptation_spike", "LIF": "reset"}.get(kind)
    options = {str(key): option} if option else {}
    torch.manual_seed(3)
    build = getattr(hypr, kind)
    net = hypr.Network([build(4, 12, **options), build(12, 9, **options), hypr.LI(9, 3)]).to(torch.float64)
    with torch.no_grad():
        for layer in net.layers:
            layer.weight *= 40 if kind == "BRF" else 10
    x = (np.random.default_rng(0).random((3, 80, 4)) < 0.5).astype(np.int64)
    export.write(export.to_nir(net), tmp_path / "net.nir")
    trace = run(export.read(tmp_path / "net.nir"), x.swapaxes(0, 1))
    expected = net(torch.tensor(x, dtype=torch.float64)).detach().numpy()
    assert sum(int(s.sum()) for s in trace.spikes.values()) > 50
    assert np.abs(trace.output.swapaxes(0, 1) - expected).max() <= 1e-12  # order of summation in float64


def test_snntorch_network_spikes_as_in_snntorch() -> None:
    folder = cases_folder("nir")
    data = np.load(folder / "snntorch_rleaky_subtract_default.npz")
    expected = json.loads((folder / "expected.json").read_text())["frameworks"]["snntorch_rleaky_subtract_default"]
    graph = export.read(folder / "snntorch_rleaky_subtract_default.nir")
    trace = run(graph, data["input_spikes"], record=("u/lif2",), reading=reading_of("snntorch"))
    assert int(trace.spikes["lif1.lif"].sum()) == expected["hidden_spikes"]
    assert np.array_equal(trace.spikes["lif1.lif"], data["hidden_spikes"])
    assert np.array_equal(trace.output, data["output_spikes"])
    assert np.abs(trace.states["u/lif2"] - data["output_membrane"]).max() < 2e-6  # snnTorch ran in float32
    literal = run(graph, data["input_spikes"], reading=Reading(dt=1e-4))
    misses = expected["literal_NIR_zero_reset_mismatches"]
    assert int(np.sum(literal.spikes["lif1.lif"] != data["hidden_spikes"])) == misses["hidden"]


def test_norse_network_spikes_as_in_norse() -> None:
    folder = cases_folder("nir")
    data = np.load(folder / "norse_ff_lifbox_libox.npz")
    trace = run(export.read(folder / "norse_ff_lifbox_libox.nir"), data["input_spikes"], reading=reading_of("norse"))
    assert np.array_equal(trace.spikes["1"], data["hidden_spikes_numpy"])
    assert np.abs(trace.output - data["output_membrane"]).max() < 1e-6  # Norse ran in float32


def test_braille_network_has_its_published_float_accuracy_and_survives_int8() -> None:
    graph = export.read(cases_folder("nir") / "braille_noDelay_bias_zero.nir")
    data = np.load(data_folder("braille") / "pool_trainval_1158.npz")
    inputs = np.unpackbits(data["x_packed"], axis=-1)[..., :12]
    reading = reading_of("nir-paper-braille")
    output = run(graph, inputs.swapaxes(0, 1), reading=reading).output
    right = int(np.sum(output.sum(axis=0, dtype=np.int64).argmax(axis=-1) == data["y"]))
    assert right == 1116  # 96.37 % of 1158
    with pytest.raises(export.UnsupportedError, match="synaptic current"):
        export.quantize(graph, reading=reading, calibration=inputs, synaptic_bias="refuse")
    settings = export.QuantizationSettings(synaptic_bias="steady_state", weight_scale="per_row")
    stairs = staircase(
        graph, inputs, data["y"].astype(int), settings=settings, calibration=inputs[:64], reading=reading
    )
    assert tuple(stair.name for stair in stairs) == STAIRS
    program = export.quantize(graph, settings, calibration=inputs[:64], reading=reading)
    assert requantize(graph, program, reading) == program
    assert stairs[0].accuracy == right / 1158 and stairs[0].spikes_differing == 0.0
    assert stairs[-1].accuracy >= 0.9465  # int8 with Lava's LIF and plain scales, as measured before this project


def test_presets_are_complete_and_refusals_name_their_reason() -> None:
    for name in PRESETS:
        assert isinstance(reading_of(name), Reading)
    assert reading_of("snntorch", reset="zero").reset == "zero" and reading_of("norse", dt=None).dt == 1e-3
    for name in REFUSED:
        with pytest.raises(export.UnsupportedError, match=r"cannot|no clause|no update"):
            reading_of(name)
    with pytest.raises(export.ExportError, match="did you mean snntorch"):
        reading_of("snntorhc")
    with pytest.raises(export.ExportError, match="unknown convention"):
        reading_of("norse", tau=1)


def test_recorded_names_and_shapes() -> None:
    rng = np.random.default_rng(0)
    network = random_network(rng, ("brf", "alif", "li"))
    graph, inputs = export.to_nir(network), random_inputs(rng, network, 9, 2)
    sizes = [len(layer["bias"]) for layer in network["layers"]]
    trace = run(graph, inputs, ("u", "q/hidden0"))
    assert set(trace.states) == {"u/hidden0", "u/hidden1", "u/readout", "q/hidden0"}
    assert trace.states["u/hidden1"].shape == (9, 2, sizes[1]) and trace.output.shape == (9, 2, sizes[2])
    assert set(run(graph, inputs, "all").states) == {
        "u/hidden0",
        "v/hidden0",
        "q/hidden0",
        "a/hidden1",
        "u/hidden1",
        "u/readout",
    }
    assert trace.engine == "float" and trace.spikes["hidden0"].dtype == np.uint8


BAD_INPUTS = {
    "shape": (lambda x: x[:, :, :2], "expected (steps, samples, 5)"),
    "dimensions": (lambda x: x[0], "expected (steps, samples, 5)"),
    "no steps": (lambda x: x[:0], "each at least 1"),
    "range": (lambda x: x + 1000, "the network takes"),
    "nan": (lambda x: x.astype(float) * np.nan, "the network takes"),
    "text": (lambda x: x.astype(str), "must be integers"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs_are_refused_in_one_line(case: str) -> None:
    change, expected = BAD_INPUTS[case]
    rng = np.random.default_rng(0)
    network = random_network(rng, ("brf", "li"))
    with pytest.raises(export.ExportError) as error:
        run(export.to_nir(network), change(random_inputs(rng, network, 5, 2)))
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_unknown_state_and_unstable_network_are_refused() -> None:
    rng = np.random.default_rng(0)
    network = random_network(rng, ("brf", "li"))
    inputs = random_inputs(rng, network, 50, 2)
    with pytest.raises(export.ExportError, match="no layer has the state 'w'"):
        run(export.to_nir(network), inputs, ("w",))


def test_accuracy_counts_only_steps_that_count_and_breaks_ties_low() -> None:
    output = np.zeros((3, 2, 2))
    output[2, :, 1] = 1
    counts = np.ones((3, 2), bool)
    per_step = {"rule": "per_step", "ignore_first": 0}
    assert accuracy_of(output, per_step, np.zeros(2, int), counts) == 4 / 6
    assert accuracy_of(output, {**per_step, "ignore_first": 2}, np.ones(2, int), counts) == 1.0
    counts[2, 0] = False
    assert accuracy_of(output, {"rule": "sum", "ignore_first": 0}, np.array([0, 1]), counts) == 1.0


def test_staircase_without_rounding_loss_is_flat() -> None:
    rng = np.random.default_rng(12)
    network = random_network(rng, ("brf", "li"), size=12)
    x = random_inputs(rng, network, 80, 4).swapaxes(0, 1)
    graph = export.to_nir(network)
    restored = export.quantized_nir(export.quantize(graph, calibration=x))
    labels = run(graph, x.swapaxes(0, 1)).output.argmax(axis=-1).T
    exact = staircase(restored, x, labels)
    assert exact[0].accuracy == exact[1].accuracy == exact[2].accuracy
    assert exact[2].spikes_differing == 0.0
    assert staircase(graph, x, labels)[0].accuracy == 1.0
    with pytest.raises(export.ExportError, match="labels are"):
        staircase(graph, x, labels[:, :3])
    with pytest.raises(export.ExportError, match="mask has shape"):
        staircase(graph, x, labels, np.ones(3))
    with pytest.raises(export.ExportError, match="whole numbers"):
        staircase(graph, x + 0.5, labels)
