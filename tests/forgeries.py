"""Forged bundles: what somebody could change in a bundle, the hashes of its manifest updated with it.

Only the files are touched, with the libraries that read their formats, so that the same changes can be made to a bundle
of any version. Each forgery names the file that a verification must name.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
from onnx import numpy_helper

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Forgery:
    """One change.

    Attributes:
        name: what was forged. file: what a verification must name. change: of the bundle's folder.
    """

    name: str
    file: str
    change: Change


def relist(bundle: Path, *names: str) -> None:
    """Let the manifest agree with files as they are now; one that is gone is left out."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name in names:
        path = bundle / name
        if path.exists():
            content = path.read_bytes()
            manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        else:
            manifest["files"].pop(name, None)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def manifest(change: Callable[[dict[str, Any]], None]) -> Change:
    """A change of the manifest's content."""

    def forge(bundle: Path) -> None:
        content = json.loads((bundle / "manifest.json").read_text())
        change(content)
        (bundle / "manifest.json").write_text(json.dumps(content))

    return forge


def content(name: str, change: Callable[[bytes], bytes]) -> Change:
    """A change of a file's bytes; its name may hold a ``*``."""

    def forge(bundle: Path) -> None:
        path = next(bundle.glob(name))
        path.write_bytes(change(path.read_bytes()))
        relist(bundle, path.relative_to(bundle).as_posix())

    return forge


def model(name: str, change: Callable[[onnx.ModelProto], None]) -> Change:
    """A change of an ONNX file."""

    def edited(old: bytes) -> bytes:
        loaded = onnx.ModelProto.FromString(old)
        change(loaded)
        new: bytes = loaded.SerializeToString(deterministic=True)
        assert new != old
        return new

    return content(name, edited)


def graph(name: str, change: Callable[[h5py.File], None]) -> Change:
    """A change of a NIR file, through HDF5 itself."""

    def forge(bundle: Path) -> None:
        with h5py.File(bundle / name, "r+") as file:
            change(file)
        relist(bundle, name)

    return forge


def archive(name: str, change: Callable[[dict[str, bytes]], None]) -> Change:
    """A change of the members of a zip archive (program, wheel)."""

    def edited(old: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(old)) as file:
            members = {item: file.read(item) for item in file.namelist()}
        change(members)
        new = io.BytesIO()
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as file:
            for item, value in members.items():
                file.writestr(zipfile.ZipInfo(item), value, zipfile.ZIP_DEFLATED)
        return new.getvalue()

    return content(name, edited)


def added(name: str, text: str, listed: bool = False) -> Change:
    """A file that was not there."""

    def forge(bundle: Path) -> None:
        (bundle / name).write_text(text)
        if listed:
            relist(bundle, name)

    return forge


# ---- what is changed


def _initialiser(loaded: onnx.ModelProto, part: str) -> onnx.TensorProto:
    return next(item for item in loaded.graph.initializer if part in item.name and np.prod(item.dims) > 1)


def _value(part: str, new: Callable[[np.ndarray], np.ndarray]) -> Callable[[onnx.ModelProto], None]:
    def change(loaded: onnx.ModelProto) -> None:
        tensor = _initialiser(loaded, part)
        array = new(numpy_helper.to_array(tensor).copy())
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return change


def _one_more(array: np.ndarray) -> np.ndarray:
    array.flat[0] += 1
    return array


def _larger(array: np.ndarray) -> np.ndarray:
    return (array * array.dtype.type(1.5)).astype(array.dtype)


def _operator(old: str, new: str) -> Callable[[onnx.ModelProto], None]:
    def change(loaded: onnx.ModelProto) -> None:
        bodies = [a.g for node in loaded.graph.node for a in node.attribute if a.HasField("g")]
        nodes = [node for part in (loaded.graph, *bodies) for node in part.node]
        next(node for node in nodes if node.op_type == old).op_type = new

    return change


def _property(key: str, value: str) -> Callable[[onnx.ModelProto], None]:
    def change(loaded: onnx.ModelProto) -> None:
        next(item for item in loaded.metadata_props if item.key == key).value = value

    return change


def _document(loaded: onnx.ModelProto) -> None:
    loaded.graph.doc_string = "Certified bit-exact on silicon."


def _swapped(loaded: onnx.ModelProto) -> None:
    scan = next(node for node in loaded.graph.node if node.op_type == "Scan")
    names = list(scan.output)
    wide = {item.name: [d.dim_value for d in item.type.tensor_type.shape.dim][-1:] for item in loaded.graph.output}
    first, second = [i for i, n in enumerate(names) if n.removeprefix("all/") in ("u/hidden0", "v/hidden0")]
    assert wide["u/hidden0"] == wide["v/hidden0"]
    scan.output[first], scan.output[second] = names[second], names[first]


def _start(loaded: onnx.ModelProto) -> None:
    nodes = [node for node in loaded.graph.node if node.op_type == "ConstantOfShape"]
    tensor = nodes[-1].attribute[0].t
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + 1))


def _find(file: h5py.File, end: str) -> h5py.Dataset:
    found: list[str] = []
    file.visit(lambda name: found.append(name) if name.endswith(end) else None)
    assert found, end
    return file[found[0]]


def _text(end: str, new: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        item = _find(file, end)
        where, name = item.parent, item.name.rpartition("/")[2]
        del where[name]
        where.create_dataset(name, data=new)

    return change


def _new_text(name: str, new: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        where = file["node/metadata"]
        if name in where:
            del where[name]
        where.create_dataset(name, data=new)

    return change


def _numbers(end: str, factor: float) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        item = _find(file, end)
        item[...] = item[...] * factor

    return change


def header(key: str, change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], None]:
    """A change of one item of a program's metadata, which is not part of its hash."""

    def forge(members: dict[str, bytes]) -> None:
        header = json.loads(np.load(io.BytesIO(members["header.npy"])).tobytes())
        header["metadata"][key] = change(header["metadata"].get(key))
        stream = io.BytesIO()
        np.save(stream, np.frombuffer(json.dumps(header, sort_keys=True, indent=1).encode(), np.uint8))
        members["header.npy"] = stream.getvalue()

    return forge


def _other_unit(text: str) -> str:
    forms = [json.loads(item) for item in json.loads(text)]
    for form in forms:
        unit = form["unit"]
        form["unit"] = {"fraction_bits": unit["fraction_bits"] - 3} if isinstance(unit, dict) else [8 * u for u in unit]
    return json.dumps([json.dumps(form) for form in forms])


def _link(bundle: Path) -> None:
    target = bundle.parent / "elsewhere.npz"
    (bundle / "lava" / "program.npz").rename(target)
    (bundle / "lava" / "program.npz").symlink_to(target)


def _unlisted_step(bundle: Path) -> None:
    model("integer_step.onnx", _value("weight", _one_more))(bundle)
    manifest(lambda c: c["files"].pop("integer_step.onnx"))(bundle)


def _copy_of_scan(bundle: Path) -> None:
    (bundle / "float_step.onnx").write_bytes((bundle / "float_scan.onnx").read_bytes())
    relist(bundle, "float_step.onnx")


def _member(name: str, text: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.update({name: members.get(name, b"") + text})


def _into(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        where: Any = content
        for key in path[:-1]:
            where = where[key]
        where[path[-1]] = value

    return change


_SCAN, _STEP, _FLOAT, _FLOAT_STEP = "integer_scan.onnx", "integer_step.onnx", "float_scan.onnx", "float_step.onnx"
_NIR, _WHOLE, _PROGRAM, _MANIFEST = "network.nir", "quantized.nir", "program.npz", "manifest.json"
_WHEEL = "lava/*.whl"
_EVIL = "import os\nos.environ['OWNED'] = '1'\n"

GRAPHS = (
    Forgery("one weight of the step graph", _STEP, model(_STEP, _value("weight", _one_more))),
    Forgery("one weight of the Scan graph", _SCAN, model(_SCAN, _value("weight", _one_more))),
    Forgery("a threshold of the step graph", _STEP, model(_STEP, _value("TH", _one_more))),
    Forgery("an operator of the step graph", _STEP, model(_STEP, _operator("Greater", "LessOrEqual"))),
    Forgery("an operator of the Scan graph", _SCAN, model(_SCAN, _operator("Add", "Sub"))),
    Forgery("the spec_version of the step graph", _STEP, model(_STEP, _property("hypr.spec_version", "2.0"))),
    Forgery("the trace of the step graph", _STEP, model(_STEP, _property("hypr.trace", '["u/hidden0"]'))),
    Forgery("the words of the Scan graph", _SCAN, model(_SCAN, _document)),
    Forgery("two outputs of the Scan graph swapped", _SCAN, model(_SCAN, _swapped)),
    Forgery("the start of the Scan graph", _SCAN, model(_SCAN, _start)),
    Forgery("a step graph that is no model", _STEP, content(_STEP, lambda old: b"not a model" * 9)),
    Forgery("float Scan graph times 1.5", _FLOAT, model(_FLOAT, _value("weight", _larger))),
    Forgery("float Scan graph that is no model", _FLOAT, content(_FLOAT, lambda old: b"junk")),
    Forgery("float Scan graph that is empty", _FLOAT, content(_FLOAT, lambda old: b"")),
    Forgery("float step graph with one other weight", _FLOAT_STEP, model(_FLOAT_STEP, _value("weight", _one_more))),
    Forgery("float step graph with another operator", _FLOAT_STEP, model(_FLOAT_STEP, _operator("Mul", "Add"))),
    Forgery("float step graph that is the Scan graph", _FLOAT_STEP, _copy_of_scan),
    Forgery("float Scan graph that calls itself integer", _FLOAT, model(_FLOAT, _property("hypr.arithmetic", "int"))),
)

LAVA = (
    Forgery("an edited launcher", "lava/run_on_lava.py", content("lava/run_on_lava.py", lambda o: o + _EVIL.encode())),
    Forgery(
        "a launcher of another program",
        "lava/run_on_lava.py",
        content("lava/run_on_lava.py", lambda o: o.replace(b'PROGRAM_SHA256 = "', b'PROGRAM_SHA256 = "0')),
    ),
    Forgery(
        "an edited example",
        "lava/example_steps.py",
        content("lava/example_steps.py", lambda old: old + _EVIL.encode()),
    ),
    Forgery(
        "other requirements",
        "lava/requirements.txt",
        content("lava/requirements.txt", lambda old: old.replace(b"lava-nc==", b"lava-nc-evil==")),
    ),
    Forgery(
        "another emulator in the wheel",
        "lava/hypr_hardware",
        archive(_WHEEL, _member("hardware/emulator.py", b"\n# x\n")),
    ),
    Forgery(
        "one more module in the wheel",
        "lava/hypr_hardware",
        archive(_WHEEL, _member("sitecustomize.py", _EVIL.encode())),
    ),
    Forgery("something in front of the wheel", "lava/hypr_hardware", content(_WHEEL, lambda old: _EVIL.encode() + old)),
    Forgery("a wheel that is none", "lava/hypr_hardware", content(_WHEEL, lambda old: b"PK\x03\x04junk")),
    Forgery(
        "metadata of the program for Lava",
        "lava/program.npz",
        archive("lava/program.npz", header("dt", lambda old: "0.5")),
    ),
    Forgery("a link in place of the program for Lava", "lava/program.npz", _link),
    Forgery("a module beside the launcher", "lava/numpy.py", added("lava/numpy.py", _EVIL)),
    Forgery("a listed module beside the launcher", "lava/numpy.py", added("lava/numpy.py", _EVIL, listed=True)),
    Forgery("a module in the bundle", "sitecustomize.py", added("sitecustomize.py", _EVIL)),
    Forgery("a listed script in the bundle", "install.sh", added("install.sh", "rm -r x", listed=True)),
    Forgery("a step graph that is not listed any more", _STEP, _unlisted_step),
)

MANIFESTS = (
    Forgery("another decision", _MANIFEST, manifest(_into("decision", "rule", value="spike_count"))),
    Forgery("other steps ignored", _MANIFEST, manifest(_into("decision", "ignore_first", value=3))),
    Forgery("another input range", _MANIFEST, manifest(_into("input", "high", value=255))),
    Forgery("another input size", _MANIFEST, manifest(_into("input", "size", value=9))),
    Forgery("a layer of another size", _MANIFEST, manifest(_into("layers", 0, "size", value=1000))),
    Forgery("a layer of another model", _MANIFEST, manifest(_into("layers", 0, "model", value="lif"))),
    Forgery("one layer fewer", _MANIFEST, manifest(lambda c: c["layers"].pop())),
    Forgery("another specification", _MANIFEST, manifest(_into("spec_version", value="2.0"))),
    Forgery("a better integer accuracy", _MANIFEST, manifest(_into("metrics", "integer_test_accuracy", value=0.99))),
    Forgery("a better float accuracy", _MANIFEST, manifest(_into("metrics", "float_test_accuracy", value=0.99))),
    Forgery("an accuracy that is no number", _MANIFEST, manifest(_into("metrics", "float_test_accuracy", value="1"))),
    Forgery("other findings", _MANIFEST, manifest(_into("quantization", value={"layers": []}))),
    Forgery("one entry more", _MANIFEST, manifest(_into("certified", value=True))),
    Forgery("populations beside layers", _MANIFEST, manifest(_into("populations", value=[]))),
)

NETWORKS = (
    Forgery("spec_version in the float network", _NIR, graph(_NIR, _new_text("spec_version", "9.9"))),
    Forgery("recurrence of the float network", _NIR, graph(_NIR, _new_text("recurrence", "same_step"))),
    Forgery("one more word in the float network", _NIR, graph(_NIR, _new_text("certified", "yes"))),
    Forgery("weights of the float network", _NIR, graph(_NIR, _numbers("hidden0.synapses/weight", 1.5))),
    Forgery("a parameter of the float network", _NIR, graph(_NIR, _numbers("hidden0/omega", 1.5))),
    Forgery("spec_version in the quantized network", _WHOLE, graph(_WHOLE, _new_text("spec_version", "9.9"))),
    Forgery("recurrence of the quantized network", _WHOLE, graph(_WHOLE, _new_text("recurrence", "same_step"))),
    Forgery("weights of the quantized network", _WHOLE, graph(_WHOLE, _numbers("hidden0.synapses/weight", 2.0))),
    Forgery(
        "a quarter of a unit in the quantized network", _WHOLE, graph(_WHOLE, _numbers("hidden0/theta", 1.0000001))
    ),
    Forgery("formats in the program", _PROGRAM, archive(_PROGRAM, header("formats", _other_unit))),
    Forgery("one more member of the program", _PROGRAM, archive(_PROGRAM, _member("evil.py", _EVIL.encode()))),
)

FORGERIES = (*GRAPHS, *LAVA, *MANIFESTS, *NETWORKS)
