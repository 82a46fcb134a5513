"""Files that lead out of themselves, run in a circle or claim more than they hold are refused in one line, and nothing
is read or allocated for them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests import hostile_files as bad
from tests.forgeries import archive, header, relist

WORD = "the-secret-of-another-file"
MOST_GROWN_MIB = 700


@pytest.fixture
def secret(tmp_path: Path, tree_bundle: Path) -> Path:
    """A file that nobody meant to hand over; beside it one of HDF5 with what a network or a file of spikes holds."""
    path = tmp_path / "secret.txt"
    path.write_text(WORD * 400)
    other = path.with_suffix(".h5")
    shutil.copyfile(tree_bundle / "network.nir", other)
    with h5py.File(other, "r+") as file:
        file["x"] = np.zeros((12, 16), np.float32)
        file["labels"] = np.array([0, 1])
        file["theta"] = np.ones(12, np.float32)
    bad.spikes_file(path.with_suffix(".spikes"))
    return path


# ---- NIR and SHD: what HDF5 can do

NODE = "node/nodes/hidden0"
NIR: dict[str, bad.Change] = {
    "external raw storage of weights": bad.external_storage("node/nodes/hidden0.synapses/weight"),
    "external raw storage of metadata": bad.external_storage("node/metadata/recurrence", text=True),
    "external raw storage of a type": bad.external_storage("node/nodes/readout/type", text=True),
    "virtual weights": bad.virtual("node/nodes/hidden0.synapses/weight"),
    "a root in another file": bad.link(
        "node", lambda secret: h5py.ExternalLink(str(secret.with_suffix(".h5")), "/node")
    ),
    "a node in another file": bad.link(
        NODE, lambda secret: h5py.ExternalLink(str(secret.with_suffix(".h5")), f"/{NODE}")
    ),
    "a parameter in another file": bad.link(
        f"{NODE}/theta", lambda secret: h5py.ExternalLink(str(secret.with_suffix(".h5")), "/theta")
    ),
    "a soft link": bad.link(f"{NODE}/theta", lambda secret: h5py.SoftLink("/node/nodes/hidden0/gamma")),
    "a soft link that leads nowhere": bad.link(f"{NODE}/theta", lambda secret: h5py.SoftLink("/nowhere")),
    "a circle of hard links": bad.circle,
    "forty groups, each by two links of the one before": bad.doubled,
    "one array by two links": bad.twice(f"{NODE}/theta"),
    "16 GiB in a few bytes": bad.huge("node/nodes/hidden0.synapses/weight"),
    "16 GiB where nobody reads": lambda file, _: file.create_dataset("more", (2**32,), "<f4", chunks=(2**20,)) and None,
}


def of_bundle(tree_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree_bundle, tmp_path / "bundle"))


@pytest.mark.parametrize("kind", NIR)
def test_a_nir_file_that_leads_out_of_itself_is_refused_and_tells_nothing(tree, tree_bundle, tmp_path, secret, kind):
    path = tmp_path / "net.nir"
    shutil.copyfile(tree_bundle / "network.nir", path)
    bad.hdf5(path, NIR[kind], secret)
    options = ("--state-fraction-bits", "12", "--out", tmp_path / "made")
    answer = tree.hypr("import", path, *options, timeout_s=20)
    assert "net.nir" in answer.line and answer.grown_mib < MOST_GROWN_MIB
    assert WORD not in answer.out + answer.err and not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "kind", ["external raw storage of metadata", "a root in another file", "a circle of hard links"]
)
def test_a_bundle_with_such_a_file_is_refused(tree, tree_bundle, tmp_path, secret, kind):
    bundle = of_bundle(tree_bundle, tmp_path)
    bad.hdf5(bundle / "network.nir", NIR[kind], secret)
    relist(bundle, "network.nir")
    page, proof = tmp_path / "page.html", tmp_path / "proof.json"
    answer = tree.hypr("verify", bundle, "--engines", "emulator", "--samples", "2", "--out", proof, timeout_s=30)
    assert answer.code in (1, 2) and "network.nir" in answer.out + answer.err and "Traceback" not in answer.err
    answer = tree.hypr("report", bundle, "--out", page, timeout_s=30)
    assert answer.code >= 0 and "Traceback" not in answer.err
    assert not page.exists() or WORD not in page.read_text()


SHD: dict[str, bad.Change] = {
    "external raw storage": bad.external_storage("labels"),
    "virtual labels": bad.virtual("labels"),
    "labels in another file": bad.link("labels", bad.other(".spikes", "/labels")),
    "spikes in another file": bad.link("spikes", bad.other(".spikes", "/spikes")),
    "a soft link": bad.link("labels", lambda secret: h5py.SoftLink("/spikes/times")),
    "a circle of hard links": bad.circle,
    "forty groups, each by two links of the one before": bad.doubled,
    "16 GiB in a few bytes": bad.huge("labels"),
}


@pytest.mark.parametrize("kind", SHD)
def test_a_file_of_spikes_that_leads_out_of_itself_is_refused(tree, tmp_path, secret, kind):
    path = tmp_path / "shd" / "shd_test.h5"
    bad.spikes_file(path)
    bad.hdf5(path, SHD[kind], secret)
    answer = tree.python(
        "from hypr import data; data.load('shd', 'test')", env={"HYPR_DATA": str(tmp_path)}, timeout_s=20
    )
    assert "shd_test.h5" in answer.line and answer.grown_mib < MOST_GROWN_MIB


METADATA: dict[str, object] = {
    "a number": 7,
    "a list of texts": np.array([b"a", b"b"]),
    "an empty list": np.zeros(0),
    "bytes that are no text": np.bytes_(b"\xff\xfe\xfd"),
    "deep JSON": bad.DEEP,
    "a number of 5,000 digits": bad.DIGITS,
    "a group": None,
}


def put(where: h5py.Group, name: str, value: object) -> None:
    assert name in where
    del where[name]
    if value is None:
        where.create_group(name)
    else:
        where[name] = value


@pytest.mark.parametrize("value", METADATA)
@pytest.mark.parametrize("place", ["recurrence", "dt", "decision_ignore_first", "input_high", "format"])
def test_metadata_of_another_kind_is_no_traceback(tree, tree_bundle, tmp_path, place, value):
    path = tmp_path / "net.nir"
    shutil.copyfile(tree_bundle / "network.nir", path)
    with h5py.File(path, "r+") as file:
        put(file["node/metadata"], place, METADATA[value])
    answer = tree.hypr("import", path, "--state-fraction-bits", "12", "--out", tmp_path / "made")
    assert answer.code == 0 or "net.nir" in answer.line or place in answer.line
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("value", METADATA)
def test_recorded_formats_of_another_kind_are_no_traceback(tree, tree_bundle, tmp_path, value):
    bundle = of_bundle(tree_bundle, tmp_path)
    with h5py.File(bundle / "quantized.nir", "r+") as file:
        put(file["node/nodes/hidden0/metadata"], "integer_format", METADATA[value])
    relist(bundle, "quantized.nir")
    proof = tmp_path / "proof.json"
    answer = tree.hypr("verify", bundle, "--engines", "emulator", "--samples", "2", "--out", proof)
    assert answer.code in (1, 2) and "quantized.nir" in answer.out + answer.err and "Traceback" not in answer.err


WORDS = ("calibration_steps", "dt", "formats", "input_scale", "input_scales", "quantization", "settings", "own")


@pytest.mark.slow
@pytest.mark.parametrize("value", ["deep", "digits", "[]", "words"])
@pytest.mark.parametrize("key", WORDS)
def test_what_a_program_tells_of_itself_is_no_traceback(tree, tree_bundle, tmp_path, key, value):
    """Metadata is not part of a program's hash."""
    bundle = of_bundle(tree_bundle, tmp_path)
    told = {"deep": bad.DEEP[:9000], "digits": bad.DIGITS}.get(value, value)
    for name in ("program.npz", "lava/program.npz"):
        archive(name, header(key, lambda old: told))(bundle)
    verify = ("verify", bundle, "--engines", "emulator", "--samples", "2", "--out", tmp_path / "proof.json")
    for arguments in (verify, ("report", bundle, "--out", tmp_path / "page.html")):
        answer = tree.hypr(*arguments)
        assert "Traceback" not in answer.err and answer.code in (0, 1, 2), answer


# ---- sizes that are only claimed


def test_inputs_that_unpack_to_a_thousand_times_their_size_are_refused_before_memory_is_taken(
    tree, tree_bundle, tmp_path
):
    bad.bomb(tmp_path / "in.npz")
    assert (tmp_path / "in.npz").stat().st_size < 2**22
    answer = tree.hypr("run", tree_bundle, tmp_path / "in.npz", "--engine", "emulator", "--out", tmp_path / "out.npz")
    assert "in.npz" in answer.line and answer.grown_mib < MOST_GROWN_MIB


def test_a_pool_of_letters_that_unpacks_to_gigabytes_is_refused(tree, tmp_path):
    (tmp_path / "braille").mkdir()
    path = tmp_path / "braille" / "pool_trainval_1158.npz"
    bad.bomb(path, name="x_packed", shape=f"({2 * bad.GIB // 512}, 256, 2)")
    answer = tree.python("from hypr import data; data.load('braille')", env={"HYPR_DATA": str(tmp_path)})
    assert path.name in answer.line and answer.grown_mib < MOST_GROWN_MIB


def test_pictures_that_unpack_to_gigabytes_are_refused(tree, tmp_path):
    path = tmp_path / "images.gz"
    bad.idx_bomb(path)
    assert path.stat().st_size < 2**23
    code = f"from hypr.data.mnist import read_idx; from pathlib import Path; read_idx(Path({str(path)!r}), 3)"
    answer = tree.python(code)
    assert "images.gz" in answer.line and answer.grown_mib < MOST_GROWN_MIB


def test_a_program_file_that_unpacks_to_gigabytes_is_refused(tree, tree_bundle, tmp_path):
    bundle = of_bundle(tree_bundle, tmp_path)
    bad.bomb(bundle / "program.npz", name="header", shape=f"({2 * bad.GIB},)")
    relist(bundle, "program.npz")
    proof = tmp_path / "proof.json"
    answer = tree.hypr("verify", bundle, "--engines", "emulator", "--samples", "2", "--out", proof)
    assert "program.npz" in answer.line and answer.grown_mib < MOST_GROWN_MIB


LONG = 10**10
"""Bytes of a file that holds nothing but zeros and takes no room on the disk."""


def long(path: Path) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as stream:
        stream.truncate(LONG)


@pytest.mark.parametrize("name", ["config.toml", "result.json", "environment.json", "metrics.jsonl"])
def test_a_file_of_a_run_that_is_longer_than_memory_is_refused_unread(tree, tree_run, tmp_path, name):
    run = Path(shutil.copytree(tree_run, tmp_path / "run"))
    long(run / name)
    answer = tree.hypr("report", run, "--out", tmp_path / "page.html", timeout_s=20)
    assert name in answer.line and answer.grown_mib < MOST_GROWN_MIB


@pytest.mark.parametrize("kind", ["zeros", "a header that holds"])
def test_a_checkpoint_that_is_longer_than_memory_is_refused(tree, tree_run, tmp_path, kind):
    run = Path(shutil.copytree(tree_run, tmp_path / "run"))
    path = run / "best.safetensors"
    header = json.dumps({"x": {"dtype": "U8", "shape": [LONG], "data_offsets": [0, LONG]}}).encode()
    long(path)
    if kind != "zeros":
        with path.open("rb+") as stream:
            stream.write(len(header).to_bytes(8, "little") + header)
            stream.truncate(8 + len(header) + LONG)
    answer = tree.hypr("export", run, "--out", tmp_path / "bundle", timeout_s=20)
    assert "best.safetensors" in answer.line and answer.grown_mib < MOST_GROWN_MIB


READERS = {
    "mine.toml": "from hypr.cli import app; raise SystemExit(app.run(['train', {path!r}, '--out', {path!r} + '.run']))",
    "i.gz": "from hypr.data.mnist import read_idx; read_idx(Path({path!r}), 3)",
    "0_a_0.wav": "from hypr.data.fsdd import read_wav; read_wav(Path({path!r}))",
    "q.mat": "from hypr.data.qtdb import read_mat; read_mat(Path({path!r}))",
    "p.npz": "from hypr.data.braille import read_pool; read_pool(Path({path!r}))",
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_longer_than_memory_is_refused_unread(tree, tmp_path, name):
    long(tmp_path / name)
    code = f"from pathlib import Path; {READERS[name].format(path=str(tmp_path / name))}"
    answer = tree.python(code, timeout_s=20)
    assert name in answer.line and answer.grown_mib < MOST_GROWN_MIB


def test_a_matlab_file_that_unpacks_to_gigabytes_is_refused(tree, tmp_path):
    bad.mat_bomb(tmp_path / "q.mat")
    code = f"from pathlib import Path; {READERS['q.mat'].format(path=str(tmp_path / 'q.mat'))}"
    answer = tree.python(code)
    assert "q.mat" in answer.line and answer.grown_mib < MOST_GROWN_MIB


# ---- links inside a bundle


@pytest.mark.parametrize("name", ["manifest.json", "certificate.json", "notes.txt"])
def test_a_pipe_inside_a_bundle_keeps_nobody_waiting(tree, tree_bundle, tmp_path, name):
    bundle = of_bundle(tree_bundle, tmp_path)
    (bundle / name).unlink(missing_ok=True)
    os.mkfifo(bundle / name)
    assert name in tree.hypr("report", bundle, "--out", tmp_path / "page.html", timeout_s=10).line


def _moved(bundle: Path, name: str, target: Path) -> None:
    (bundle / name).rename(target)
    (bundle / name).symlink_to(target)


LINKS = {
    "a listed file": lambda bundle, out: _moved(bundle, "integer_scan.onnx", out / "scan.onnx"),
    "the program": lambda bundle, out: _moved(bundle, "program.npz", out / "program.npz"),
    "the manifest": lambda bundle, out: _moved(bundle, "manifest.json", out / "manifest.json"),
    "a folder": lambda bundle, out: _moved(bundle, "lava", out / "lava"),
    "a certificate": lambda bundle, out: (bundle / "certificate.json").symlink_to(out / "secret.txt"),
    "a file that nobody listed": lambda bundle, out: (bundle / "notes.txt").symlink_to(out / "secret.txt"),
    "a folder that nobody listed": lambda bundle, out: (bundle / "more").symlink_to("/etc"),
    "a link to itself": lambda bundle, out: (bundle / "notes.txt").symlink_to("notes.txt"),
    "a link that leads nowhere": lambda bundle, out: (bundle / "notes.txt").symlink_to(out / "nowhere"),
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_inside_a_bundle_is_refused_in_one_line_that_names_it(tree, tree_bundle, tmp_path, secret, kind):
    bundle = of_bundle(tree_bundle, tmp_path)
    LINKS[kind](bundle, tmp_path)
    proof = tmp_path / "proof.json"
    answer = tree.hypr("verify", bundle, "--engines", "emulator", "--samples", "2", "--out", proof)
    assert "link" in answer.line and str(bundle) in answer.line
    answer = tree.hypr("report", bundle, "--out", tmp_path / "page.html")
    assert "link" in answer.line and not (tmp_path / "page.html").exists()


# ---- ONNX


def _outside(graph: onnx.ModelProto) -> None:
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.txt")


@pytest.mark.parametrize("change", [bad.endless_loop, _outside], ids=["a loop of 2^62", "weights in another file"])
@pytest.mark.parametrize("name", ["integer_scan.onnx", "integer_step.onnx", "float_scan.onnx"])
def test_a_graph_that_runs_for_ever_or_leads_out_of_itself_is_refused(tree, tree_bundle, tmp_path, name, change):
    bundle = of_bundle(tree_bundle, tmp_path)
    loaded = onnx.ModelProto.FromString((bundle / name).read_bytes())
    change(loaded)
    (bundle / name).write_bytes(loaded.SerializeToString())
    relist(bundle, name)
    proof = tmp_path / "proof.json"
    answer = tree.hypr("verify", bundle, "--engines", "onnx", "--samples", "2", "--out", proof, timeout_s=20)
    assert answer.code in (1, 2), answer
    assert name in answer.out + answer.err and "Traceback" not in answer.err
