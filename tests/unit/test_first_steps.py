"""What a new user meets first: help, errors in the right order, short texts, files, and axes that are swapped."""

from __future__ import annotations

import io
import pydoc
import re
import warnings
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from rich.console import Console

import hypr
from export import quantize, to_nir
from hardware import emulate
from hypr import extensions
from hypr.cli.app import run
from hypr.cli.progress import TrainingBar
from hypr.errors import HyprError
from hypr.training import config
from hypr.training.folder import prepare_folder
from hypr.training.keys import neuron_options, recipe_keys
from hypr.training.recorded import load_recorded, settled


@pytest.mark.parametrize("arguments", [[], ["data"], ["lava"]])
def test_a_verb_without_anything_prints_its_help_in_lines_and_succeeds(capsys, arguments):
    assert run(arguments) == 0
    found = capsys.readouterr()
    assert found.err == ""
    assert found.out.startswith("Usage: hypr") and len(found.out.splitlines()) > 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "digits"], "unknown recipe 'digits'; nearest valid name is 'digits-brf'"),
        (["train", "digits-brf", "training.optimiser=1"], r"did you mean optimiser\.kind"),
        (["train", "digits-brf", "training.lr=1"], r"did you mean optimiser\.lr\?"),
        (["train", "digits-brf", "training.qqqq=1"], "unknown key 'training.qqqq'; valid: epochs"),
        (["train", "digits-brf"], "give the folder of the run with --out"),
        (["export", "x.safetensors", "--with", "no_such_module", "--out", "b"], "'no_such_module' is no module"),
    ],
)
def test_the_first_mistake_is_named_first_with_what_was_meant(capsys, arguments, words):
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert re.search(words, err), err
    assert len(err.splitlines()) == 1


def test_every_key_is_listed_with_its_default_and_nearly_all_with_a_meaning():
    keys = {key.name: key for key in recipe_keys()}
    assert keys["network.initial"].default == "data" and keys["optimiser.kind"].kind == "adam|adamw|sgd"
    assert keys["network.layers.0.width"].default == "required"
    sections = {name.split(".")[0] for name in keys if "." in name}
    assert {"data", "network", "rule", "loss", "optimiser", "training", "quantization"} <= sections
    assert sum(not key.meaning for key in keys.values()) <= 8
    options = neuron_options()
    assert {"brf", "se_adlif", "alif", "lif", "cuba_lif", "li"} <= set(options)
    assert "rho" in {key.name for key in options["se_adlif"]}
    for name in keys:
        if name.count(".") == 1 and keys[name].default not in ("required", "none", "{}"):
            value = keys[name].default.replace("'", '"')
            config.load("digits-brf", [f"{name}={value}"])  # what is listed can be typed


def test_help_of_the_package_is_a_page():
    text = pydoc.plain(pydoc.render_doc(hypr))
    assert len(text.splitlines()) < 80
    assert "fit_activity_" in text and "deploy" in text


def test_the_progress_bar_has_room_at_80_columns():
    screen = io.StringIO()
    bar = TrainingBar("qtdb-se-adlif", Console(file=screen, width=80, force_terminal=True, color_system=None))
    bar.begin(60, 18, 0)
    for _ in range(1080):
        bar.update(1, 0.5)
    bar.epoch({"epoch": 27, "validation_accuracy": 0.9844, "loss": 0.1234})
    bar.end()
    drawn = [line for line in screen.getvalue().splitlines() if "98.4 %" in line]
    assert drawn and sum(map(drawn[-1].count, "━╸╺")) >= 12, screen.getvalue()


def chain():
    torch.manual_seed(0)
    net = hypr.Network([hypr.LIF(5, 7), hypr.LI(7, 2)], decision={"rule": "sum"})
    x = (torch.rand(6, 40, 5) < 0.3).float()
    return net, x, quantize(to_nir(net, dt=1e-3), calibration=x.numpy())


def test_traces_and_programs_print_shapes_not_arrays():
    _, x, program = chain()
    trace = emulate(program, x.int().numpy().transpose(1, 0, 2), "all")
    assert repr(trace).startswith("Trace(engine='emulator") and "u/readout int32(40, 6, 2)" in repr(trace)
    assert repr(program).startswith("Program(input 5 -> hidden0 lif 7, readout li 2; 3 projections, sha256 ")
    assert max(len(repr(trace)), len(repr(program))) < 250


def test_swapped_batch_and_steps_are_noticed_by_the_emulator():
    _, x, program = chain()
    with pytest.warns(UserWarning, match=r"taken as 6 steps of 40 samples.*calibrated on sequences of 40 steps"):
        emulate(program, x.int().numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        emulate(program, x.int().numpy().transpose(1, 0, 2))
        emulate(program, x.int().numpy().transpose(1, 0, 2)[:10])


def test_a_network_comes_back_from_its_file_bit_for_bit(tmp_path):
    net, x, _ = chain()
    hypr.save(net, tmp_path / "net.safetensors")
    again = hypr.load(tmp_path / "net.safetensors")
    assert torch.equal(again(x), net(x)) and again.structure() == net.structure()
    net.layers[0].weight.data[0, 0] = float("nan")
    with pytest.raises(HyprError, match=r"'layers\.0\.weight' holds values that are not finite"):
        hypr.save(net, tmp_path / "broken.safetensors")
    assert not (tmp_path / "broken.safetensors").exists()
    with pytest.raises(HyprError, match=r"is no hypr\.Network"):
        hypr.save(net.layers[0], tmp_path / "layer.safetensors")


def test_a_saved_neuron_of_ones_own_needs_its_module(tmp_path, monkeypatch):
    from hypr.examples.own_neuron import Leaky

    hypr.save(hypr.Network([Leaky(3, 4), hypr.LI(4, 2)]), tmp_path / "net.safetensors")
    assert isinstance(hypr.load(tmp_path / "net.safetensors").layers[0], Leaky)
    from hypr.neurons import KINDS

    monkeypatch.delitem(KINDS, "example_leaky")
    with pytest.raises(
        HyprError, match=r"kind 'example_leaky'.*import the module that defines it first \(--with MODULE\)"
    ):
        hypr.load(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"test": (np.zeros((4, 5, 9)), np.zeros(4, int))},
            "the network has 5 inputs.*steps and channels look swapped",
        ),
        ({"calibration": np.full((4, 40, 5), 3)}, r"input_format is 0 to 1.*input_format=\(0, 3\)"),
        ({"test": np.zeros((4, 40, 5))}, r"test must be \(x, y\) or \(x, y, mask\)"),
        ({"test": (np.zeros((40, 4, 5)), np.zeros(4, int))}, "samples and steps look swapped"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, change, words):
    net, x, _ = chain()
    given = {"calibration": x.numpy(), "test": None} | change
    with pytest.raises(HyprError, match=words):
        hypr.deploy(net, tmp_path / "bundle", **given)
    assert not (tmp_path / "bundle").exists()


def test_a_recorded_run_without_the_key_began_with_random_weights_and_may_be_continued(tmp_path):
    own = {"name": "x", "data": {"name": "digits"}, "network": {"layers": [{"neuron": "lif", "width": 4}]}}
    now = settled(config.from_dict(own), None)  # as train does before it writes or looks
    assert now.network.initial == "data"
    text = config.dump(now).replace('initial = "data"\n', "")
    (tmp_path / "config.toml").write_text(text)
    (tmp_path / "metrics.jsonl").write_text("")
    assert load_recorded(tmp_path / "config.toml").network.initial == "random"
    with ExitStack() as held:
        prepare_folder(now, tmp_path, True, held)
    other = now.model_copy(update={"dtype": "float64"})
    with ExitStack() as held, pytest.raises(HyprError, match="dtype was float32, now float64"):
        prepare_folder(other, tmp_path, True, held)


class Point:
    """An installed extension, as the metadata of a package describes it."""

    def __init__(self, group, name, value, found):
        self.group, self.name, self.value, self._found = group, name, value, found
        self.loaded = 0

    def load(self):
        self.loaded += 1
        return self._found


def test_installed_extensions_are_named_and_imported_only_when_the_user_names_them(monkeypatch):
    from hypr import data

    letters = data.DatasetSpec(
        "their-letters",
        "",
        "",
        lambda split, encoding, seed: data.from_arrays(np.ones((20, 5, 2)), np.arange(20) % 2).part(split),
        ("spikes",),
    )
    points = [
        Point("hypr.neurons", "their_neuron", "their:Neuron", hypr.LIF),
        Point("hypr.data", "their-letters", "their:letters", letters),
    ]
    monkeypatch.setattr(extensions, "entry_points", lambda group: [p for p in points if p.group == group])
    structure = {"layers": [{"kind": "their_neuron", "n_in": 2, "n": 2}]}
    with pytest.raises(HyprError, match="the installed extension 'their_neuron' has it: add --with their_neuron"):
        hypr.Network.from_structure(structure)
    with pytest.raises(HyprError, match="'their-letters' is code that a file names"):
        data.load("their-letters", trusted=False)
    assert [point.loaded for point in points] == [0, 0]
    assert data.load("their-letters").classes == 2
    extensions.use("their_neuron")
    assert [point.loaded for point in points] == [1, 1]


def test_an_engine_of_an_installed_package_joins_by_its_name(monkeypatch, tmp_path):
    from export.bundle.bundle import write_bundle
    from hypr.deployment.deploy import verify_bundle

    class Chip:
        def run(self, program, inputs, record):
            return emulate(program, inputs, record, backend="numpy")

    point = Point("hypr.engines", "their-chip", "their:Chip", Chip)
    monkeypatch.setattr(extensions, "entry_points", lambda group: [point] if group == point.group else [])
    net, x, program = chain()
    bundle = write_bundle(to_nir(net, dt=1e-3), program, tmp_path / "b", ("nir",))
    result = verify_bundle(bundle, x.int().numpy().transpose(1, 0, 2), ["their-chip"])
    assert result.equal and result.pairs[0].engine == "their-chip"
