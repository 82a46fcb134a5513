"""Trained network -> NIR graph -> file -> graph: nothing is lost, and files that nobody vouches for are refused in one
line."""

from __future__ import annotations

import copy
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

import export
from export.interchange.discretise import Reading, discretise
from export.interchange.float_engine import run
from export.interchange.source import network_arrays
from export.interchange.steps import from_arrays
from tests.random_networks import SPIKING, random_inputs, random_layer, random_network

KINDS = [(kind, "li") for kind in SPIKING] + [("lif", "cuba_lif"), ("brf", "alif", "se_adlif")]


def _network(kinds: tuple[str, ...], seed: int = 0) -> dict:
    return random_network(np.random.default_rng(seed), kinds)


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_file_round_trip_keeps_every_value_and_the_order_of_nodes(kinds: tuple[str, ...], tmp_path: Path) -> None:
    network = _network(kinds)
    graph = export.to_nir(network, dt=2e-3)
    export.write(graph, tmp_path / "net.nir")
    back = export.read(tmp_path / "net.nir")
    assert list(back.nodes) == list(graph.nodes)
    assert set(back.edges) == set(graph.edges)
    before, after = from_arrays(network_arrays(network), 2e-3), discretise(back)
    assert (after.dt, after.input_scale, after.input_format) == (before.dt, before.input_scale, before.input_format)
    assert after.decision == before.decision
    for a, b in zip(before.layers, after.layers, strict=True):
        assert (a.name, a.kind) == (b.name, b.kind)
        assert np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)
        if a.recurrent_weight is None or b.recurrent_weight is None:
            assert a.recurrent_weight is b.recurrent_weight
        else:
            assert np.array_equal(a.recurrent_weight, b.recurrent_weight)
        for key, value in a.parameters.items():
            assert np.array_equal(value, b.parameters[key]), key
        assert a.options.items() <= b.options.items()


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
def test_graph_from_file_runs_exactly_as_the_graph_in_memory(kinds: tuple[str, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    network = random_network(rng, kinds)
    inputs = random_inputs(rng, network, 40, 2)
    graph = export.to_nir(network)
    export.write(graph, tmp_path / "net.nir")
    a, b = run(graph, inputs, "all").arrays(), run(export.read(tmp_path / "net.nir"), inputs, "all").arrays()
    assert set(a) == set(b)
    assert all(np.array_equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("seed", range(20))
def test_float32_decay_is_exact_for_a_reader_that_works_in_float32(seed: int) -> None:
    rng = np.random.default_rng(seed)
    alpha = np.exp(-1.0 / rng.uniform(1.5, 300, 64)).astype(np.float32)
    layer = random_layer(rng, "lif", 3, 64)
    layer["parameters"]["alpha"] = alpha.astype(np.float64)
    node = export.to_nir({"layers": [layer]}, dt=1e-3).nodes["readout"]
    assert node.tau.dtype == np.float32
    assert np.array_equal(np.float32(1) - np.float32(1e-3) / node.tau, alpha), f"seed {seed}"
    assert np.array_equal(node.r, np.ones(64))


def test_another_reader_refuses_our_nodes_instead_of_running_other_dynamics(tmp_path: Path) -> None:
    import subprocess
    import sys

    export.write(export.to_nir(_network(("brf", "li"))), tmp_path / "brf.nir")
    code = f"import nir; nir.read({str(tmp_path / 'brf.nir')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0 and "AssertionError" in done.stderr


def test_plain_nir_nodes_are_readable_without_this_package(tmp_path: Path) -> None:
    import subprocess
    import sys

    export.write(export.to_nir(_network(("lif", "cuba_lif", "li"))), tmp_path / "lif.nir")
    names = "sorted(type(n).__name__ for n in g.nodes.values())"
    code = f"import nir; g = nir.read({str(tmp_path / 'lif.nir')!r}); print({names})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "CubaLIF" in done.stdout and "'LIF'" in done.stdout, done.stderr


def test_scalar_parameters_are_written_and_stand_for_every_neuron(tmp_path: Path) -> None:
    one = np.array(0.01)
    graph = nir.NIRGraph(
        nodes={
            "input": nir.Input(input_type={"input": np.array([2])}),
            "w": nir.Linear(weight=np.ones((3, 2))),
            "lif": nir.LIF(
                tau=one, r=np.array(1.0), v_leak=np.array(0.0), v_threshold=np.array(1.0), v_reset=np.array(0.0)
            ),
            "output": nir.Output(output_type={"output": np.array([3])}),
        },
        edges=[("input", "w"), ("w", "lif"), ("lif", "output")],
        type_check=False,
    )
    export.write(graph, tmp_path / "scalar.nir")
    steps = discretise(export.read(tmp_path / "scalar.nir"), Reading(dt=1e-3))
    assert np.array_equal(steps.layers[0].parameters["alpha"], np.full(3, 1 - 1e-3 / 0.01))


def test_writing_fails_without_leaving_a_file(tmp_path: Path) -> None:
    graph = export.to_nir(_network(("brf", "li")))
    broken = copy.deepcopy(graph)
    broken.nodes["hidden0"].theta[0] = np.nan
    with pytest.raises(export.ExportError, match="theta is nan"):
        export.write(broken, tmp_path / "x.nir")
    with pytest.raises(export.ExportError, match="cannot write"):
        export.write(graph, tmp_path / "absent" / "x.nir")
    assert list(tmp_path.iterdir()) == []


def _one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text and len(text) < 600
    return text


@pytest.fixture
def nir_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.nir"
    export.write(export.to_nir(_network(("brf", "lif", "li"))), path)
    return path


def _edit(path: Path, change) -> None:
    with h5py.File(path, "r+") as file:
        change(file["node"])


def _replace(group: h5py.Group, key: str, value) -> None:
    del group[key]
    group.create_dataset(key, data=value)


DAMAGES = {
    "nan weight": (lambda n: n["nodes/hidden0.synapses/weight"].__setitem__((0, 0), np.nan), "weight is nan"),
    "unknown type": (lambda n: _replace(n["nodes/hidden0"], "type", "Izhikevich"), "unknown type 'Izhikevich'"),
    "dangling edge": (lambda n: _replace(n, "edges", np.array([[b"input", b"nowhere"]], dtype="S20")), "nowhere"),
    "wrong shape": (lambda n: _replace(n["nodes/hidden0"], "omega", np.ones(99)), "shape"),
    "missing item": (lambda n: n["nodes/hidden0"].__delitem__("omega"), "omega"),
    "unknown item": (lambda n: n["nodes/hidden0"].create_dataset("extra", data=1.0), "extra"),
    "text for numbers": (lambda n: _replace(n["nodes/hidden0"], "omega", "fast"), "omega"),
    "no nodes": (lambda n: n.__delitem__("nodes"), "no nodes"),
    "no edges": (lambda n: n.__delitem__("edges"), "edges"),
    "root type": (lambda n: _replace(n, "type", "LIF"), "must be a NIRGraph"),
    "soft link": (lambda n: n.__setitem__("x", h5py.SoftLink("/node")), "link"),
    "external link": (lambda n: n.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/")), "link"),
    "huge array": (
        lambda n: n["nodes/hidden0"].create_dataset("big", shape=(2**40,), dtype="f8", chunks=(1024,)),
        "GiB",
    ),
    "numbers as edges": (lambda n: _replace(n, "edges", np.ones((2, 2))), "NIR graph"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_gives_one_line_that_names_the_place(damage: str, nir_file: Path) -> None:
    change, expected = DAMAGES[damage]
    _edit(nir_file, change)
    with pytest.raises(export.ExportError) as error:
        export.read(nir_file)
    assert expected in _one_line(error) and str(nir_file) in str(error.value)


CONTRADICTIONS = {
    "negative tau": (
        lambda n: _replace(n["nodes/hidden1"], "tau", -np.ones(n["nodes/hidden1/tau"].shape)),
        "must be positive",
    ),
    "tau below dt": (
        lambda n: _replace(n["nodes/hidden1"], "tau", np.full(n["nodes/hidden1/tau"].shape, 1e-9)),
        "larger than tau",
    ),
    "edited tau": (lambda n: n["nodes/hidden1/tau"].__setitem__(0, 5.0), "contradicts its time constants"),
    "damping": (lambda n: n["nodes/hidden0/b_offset"].__setitem__(0, -1.0), "b_offset of neuron 0 is -1"),
    "variant": (lambda n: _replace(n["nodes/hidden0"], "variant", "midpoint"), "variant is 'midpoint'"),
    "reset": (lambda n: _replace(n["nodes/hidden1/metadata"], "reset", "half"), "reset"),
    "dt": (lambda n: _replace(n["metadata"], "dt", "soon"), "dt"),
    "negative dt": (lambda n: _replace(n["metadata"], "dt", -1.0), "dt"),
    "input range": (lambda n: _replace(n["metadata"], "input_low", 7), "input range"),
    "decision": (lambda n: _replace(n["metadata"], "decision_rule", "loudest"), "loudest"),
    "scheme": (lambda n: _replace(n["metadata"], "scheme", "heun"), "heun"),
}


@pytest.mark.parametrize("edit", CONTRADICTIONS)
def test_contradictory_values_are_refused_by_name(edit: str, nir_file: Path) -> None:
    change, expected = CONTRADICTIONS[edit]
    _edit(nir_file, change)
    graph = export.read(nir_file)
    with pytest.raises(export.ExportError) as error:
        discretise(graph)
    assert expected in _one_line(error)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused_in_one_line(kept: float, nir_file: Path) -> None:
    data = nir_file.read_bytes()
    nir_file.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(export.ExportError) as error:
        discretise(export.read(nir_file))
    _one_line(error)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(export.ExportError, match="no such file"):
        export.read(tmp_path / "absent.nir")
    (tmp_path / "text.nir").write_text("weights = 1")
    with pytest.raises(export.ExportError, match="not an HDF5 file"):
        export.read(tmp_path / "text.nir")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(export.ExportError, match="no NIR graph"):
        export.read(tmp_path / "other.h5")


SOURCES = {
    "nan": (lambda n: n["layers"][0]["weight"].__setitem__((0, 0), np.nan), "weight is nan at [0, 0]"),
    "inf": (lambda n: n["layers"][0]["parameters"]["omega"].__setitem__(0, np.inf), "omega"),
    "shape": (lambda n: n["layers"][1].update(weight=np.ones((2, 99))), "99 inputs"),
    "kind": (lambda n: n["layers"][0].update(kind="brff"), "neuron 'brff' has no integer step"),
    "parameter": (lambda n: n["layers"][0]["parameters"].pop("omega"), "'omega' is missing"),
    "option": (lambda n: n["layers"][0]["options"].update(variant="x"), "variant"),
    "scale": (lambda n: n.update(input_scale=0.3), "power of two"),
    "range": (lambda n: n.update(input_format=(1, 0)), "input range"),
    "decision": (lambda n: n.update(decision={"rule": "max"}), "'max'"),
    "unknown": (lambda n: n.update(colour=1), "unknown item 'colour'"),
    "empty": (lambda n: n.update(layers=[]), "no layers"),
    "decay": (lambda n: n["layers"][1]["parameters"]["kappa"].__setitem__(0, 1.5), "decay factor lies in [0, 1]"),
    "decay of one": (lambda n: n["layers"][1]["parameters"]["kappa"].__setitem__(0, 1.0), "no finite time constant"),
    "resonator": (lambda n: n["layers"][0]["parameters"]["omega"].__setitem__(0, 1e3), "dt*omega of neuron 0"),
}


@pytest.mark.parametrize("case", SOURCES)
def test_bad_network_is_refused_in_one_line(case: str) -> None:
    change, expected = SOURCES[case]
    network = _network(("brf", "li"))
    change(network)
    with pytest.raises(export.ExportError) as error:
        export.to_nir(network)
    assert expected in _one_line(error)


def test_something_that_is_no_network_is_refused() -> None:
    with pytest.raises(export.ExportError, match="to_arrays"):
        export.to_nir(object())
    with pytest.raises(export.ExportError, match="dt is"):
        export.to_nir(_network(("brf", "li")), dt=0.0)
