"""Files that somebody could hand over, good on the outside or not at all; each is written without the packages that
read it."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GIB = 2**30
DEEP = "[" * 100_000 + "]" * 100_000
DIGITS = "9" * 5000
INPUTS = np.zeros((8, 2, 16), np.uint8)
"""Of a network with 16 channels."""

# ---- arrays


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def header(descr: str, shape: object, body: bytes = b"") -> bytes:
    """An ``.npy`` member that claims a type and a shape."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def archive(path: Path, members: dict[str, bytes], packed: bool = True) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        for name, content in members.items():
            file.writestr(name, content)


def inputs_with(member: bytes) -> Callable[[Path], object]:
    return lambda path: archive(path, {"input_spikes.npy": member})


def flags(path: Path, bit: int, method: int | None = None) -> None:
    """Change the flags, or the method, of the first member in both of its headers."""
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark) + at
        content[place] |= bit
        if method is not None:
            content[place + 2 : place + 4] = struct.pack("<H", method)
    path.write_bytes(bytes(content))


def encrypted(path: Path) -> None:
    inputs_with(npy(INPUTS))(path)
    flags(path, 1)


def unknown_method(path: Path) -> None:
    inputs_with(npy(INPUTS))(path)
    flags(path, 0, 97)


def broken_deflate(path: Path) -> None:
    inputs_with(npy(np.arange(9999)))(path)
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(bytes(content))


def bomb(path: Path, size: int = 2 * GIB, name: str = "input_spikes", shape: str = "") -> None:
    """Two megabytes that unpack to ``size`` bytes; only the checksum, which is read last, is wrong."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = header("'|u1'", shape or f"({size // 16}, 1, 16)")
    body = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)  # needs nothing of what was before it
    body += block * (size // 2**24) + packer.flush()
    member = f"{name}.npy".encode()
    sizes = struct.pack("<IIIHH", 0, len(body), len(head) + size, len(member), 0)
    common = struct.pack("<HHHHH", 20, 0, 8, 0, 33)
    local = b"PK\x03\x04" + common + sizes + member
    central = b"PK\x01\x02" + struct.pack("<H", 20) + common + sizes + bytes(14) + member
    place = struct.pack("<II", len(central), len(local) + len(body))
    path.write_bytes(local + body + central + b"PK\x05\x06" + bytes(4) + struct.pack("<HH", 1, 1) + place + bytes(2))


def cut_in_half(path: Path) -> None:
    inputs_with(npy(np.random.default_rng(0).integers(9, size=(64, 4, 16))))(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_ARRAYS: dict[str, Callable[[Path], object]] = {
    "a single array": lambda path: path.write_bytes(npy(INPUTS)),
    "nothing": lambda path: path.write_bytes(b""),
    "junk": lambda path: path.write_bytes(b"junk" * 99),
    "junk that begins as a zip archive": lambda path: path.write_bytes(b"PK\x03\x04" + b"\xff" * 99),
    "an archive cut in half": cut_in_half,
    "an encrypted member": encrypted,
    "an unknown method of compression": unknown_method,
    "broken compression": broken_deflate,
    "a shape of 2^50": inputs_with(header("'<i8'", "(1125899906842624, 1, 16)", bytes(64))),
    "a shape of 2^62 in each axis": inputs_with(header("'|u1'", f"({2**62}, {2**62}, {2**62})", bytes(64))),
    "a shape below zero": inputs_with(header("'|u1'", "(-1, 2, 16)", bytes(64))),
    "a shape of 5,000 digits": inputs_with(header("'|u1'", f"({DIGITS}, 1, 1)", bytes(64))),
    "a shape that is no tuple": inputs_with(header("'|u1'", "'all'", bytes(64))),
    "a header nested too deep": inputs_with(header("'|u1'", "(" * 3000 + ")" * 3000)),
    "a type that is none": inputs_with(header("'|x9'", "(8, 2, 16)", bytes(256))),
    "an array cut short": inputs_with(npy(INPUTS)[:-9]),
    "a member that is no array": inputs_with(b"words"),
    "Python objects": inputs_with(npy(np.array([{}, []], dtype=object))),
    "records": inputs_with(npy(np.zeros((8, 2, 16), [("a", "i4"), ("b", "f8")]))),
    "complex numbers": inputs_with(npy(np.zeros((8, 2, 16), complex))),
    "times": inputs_with(npy(np.zeros((8, 2, 16), "m8[s]"))),
    "text": inputs_with(npy(np.full((8, 2, 16), "x"))),
    "no samples": inputs_with(npy(INPUTS[:, :0])),
    "no steps": inputs_with(npy(INPUTS[:0])),
    "one array twice": lambda path: archive(path, {"input_spikes": npy(INPUTS), "input_spikes.npy": npy(INPUTS)}),
    "values beyond 32 bits": inputs_with(npy(np.full((8, 2, 16), 2**62))),
    "values below the range": inputs_with(npy(np.full((8, 2, 16), -1))),
}
"""What is no file of inputs -> how it is written."""


# ---- compressed files


def idx(path: Path, sides: tuple[int, ...], body: bytes = b"") -> None:
    content = bytes([0, 0, 8, len(sides)]) + b"".join(struct.pack(">I", side) for side in sides) + body
    path.write_bytes(gzip.compress(content, 1))


def idx_bomb(path: Path) -> None:
    """Four gigabytes in members of a gzip file, which follow each other."""
    header = bytes([0, 0, 8, 3]) + struct.pack(">III", 2**32 // 784, 28, 28)
    path.write_bytes(gzip.compress(header) + gzip.compress(bytes(2**24)) * 256)


BAD_IDX: dict[str, Callable[[Path], object]] = {
    "sides of 2^32 - 1": lambda path: idx(path, (2**32 - 1,) * 3, bytes(64)),
    "a side of 0": lambda path: idx(path, (0, 28, 28)),
    "fewer bytes than its sides say": lambda path: idx(path, (4, 28, 28), bytes(784)),
    "more bytes than its sides say": lambda path: idx(path, (1, 28, 28), bytes(9999)),
    "no sides": lambda path: idx(path, ()),
    "255 sides": lambda path: idx(path, (1,) * 255, bytes(1)),
    "a web page": lambda path: path.write_bytes(b"<!doctype html><title>Moved</title>"),
    "a web page, compressed": lambda path: path.write_bytes(gzip.compress(b"<!doctype html>")),
    "broken compression": lambda path: path.write_bytes(gzip.compress(bytes(9999))[:30] + b"\xff" * 30),
}


def wav(path: Path, claimed: int, samples: int = 400, riff: int | None = None, end: int | None = None) -> None:
    """Mono, 16 bits, 8,000 Hz, with so many bytes of sound claimed, cut at ``end``."""
    body = (b"\x01\x02" * samples)[:end]
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", claimed)
    size = len(head) + len(body) if riff is None else riff
    path.write_bytes(b"RIFF" + struct.pack("<I", size) + head + body)


BAD_WAV: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: wav(path, 1600, riff=1636),
    "cut to its header": lambda path: wav(path, 800, samples=0, riff=836),
    "an odd number of bytes": lambda path: wav(path, 800, end=-1),
    "a claim of 4 GiB": lambda path: wav(path, 2**32 - 2, riff=2**32 - 1),
    "no sound": lambda path: path.write_bytes(b"RIFF\x04\x00\x00\x00WAVE"),
}


def mat_bomb(path: Path) -> None:
    """A compressed Matlab file of two megabytes with an array of two gigabytes."""
    rows = (2 * GIB - 2**20) // (1301 * 4)
    size = rows * 1301 * 4

    def tag(kind: int, length: int) -> bytes:
        return struct.pack("<II", kind, length)

    about = tag(6, 8) + struct.pack("<II", 9, 0)  # an array of uint8
    about += tag(5, 12) + struct.pack("<iii", rows, 1301, 4) + bytes(4) + struct.pack("<HH", 1, 1) + b"x\0\0\0"
    packer = zlib.compressobj()
    body = packer.compress(tag(14, len(about) + 8 + size) + about + tag(2, size)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    body += block * (size >> 24) + packer.compress(bytes(size % 2**24)) + packer.flush()
    start = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    path.write_bytes(start + tag(15, len(body)) + body)


# ---- HDF5


def spikes_file(path: Path, labels: Any = (0, 1), late: float | None = None) -> None:
    """A small file of the Heidelberg sets; ``late`` adds a spike at that second to the first sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["labels"] = np.array(labels)
        for name, kind, values in (
            ("times", np.float64, [0.1, 0.2] + ([] if late is None else [late])),
            ("units", np.int64, [3, 500] + ([] if late is None else [699])),
        ):
            rows = file.create_dataset(f"spikes/{name}", (2,), dtype=h5py.vlen_dtype(kind))
            rows[0], rows[1] = np.array(values, kind), np.array([values[0]], kind)


Change = Callable[[h5py.File, Path], None]


def _moved(file: h5py.File, place: str) -> tuple[h5py.Group, str, np.ndarray]:
    item = file[place]
    group, name, value = item.parent, item.name.rpartition("/")[2], item[()]
    del group[name]
    return group, name, value


def external_storage(place: str, text: bool = False) -> Change:
    """Values that lie in a file beside, of any kind."""

    def change(file: h5py.File, secret: Path) -> None:
        group, name, value = _moved(file, place)
        array = np.asarray(value)
        kind = np.dtype(f"S{secret.stat().st_size}") if text else np.dtype("<f4")
        shape = (1,) if text else array.shape  # HDF5 leaves a single value where it is
        size = kind.itemsize * int(np.prod(shape))
        group.create_dataset(name, shape=shape, dtype=kind, external=[(str(secret), 0, size)])

    return change


def virtual(place: str) -> Change:
    def change(file: h5py.File, secret: Path) -> None:
        group, name, value = _moved(file, place)
        layout = h5py.VirtualLayout(shape=np.shape(value), dtype=value.dtype)
        name_there = "labels" if name == "labels" else "x"
        layout[...] = h5py.VirtualSource(str(secret.with_suffix(".h5")), name_there, shape=np.shape(value))
        group.create_virtual_dataset(name, layout)

    return change


def link(place: str, made: Callable[[Path], object]) -> Change:
    def change(file: h5py.File, secret: Path) -> None:
        if place in file:
            del file[place]
        file[place] = made(secret)

    return change


def other(suffix: str, place: str) -> Callable[[Path], object]:
    """A link into the file of that suffix beside the secret one."""
    return lambda secret: h5py.ExternalLink(str(secret.with_suffix(suffix)), place)


def circle(file: h5py.File, secret: Path) -> None:
    """Every group holds its parent, twice: a walk along all paths has no end."""
    groups: list[h5py.Group] = [file]
    file.visititems(lambda name, item: groups.append(item) if isinstance(item, h5py.Group) else None)
    for group in groups[1:]:
        group["back"], group["again"] = file, groups[1]


def doubled(file: h5py.File, secret: Path) -> None:
    """A few kilobytes with 2^40 paths."""
    group = file.create_group("more")
    for _ in range(40):
        after = group.create_group("a")
        group["b"] = after
        group = after


def twice(place: str) -> Change:
    def change(file: h5py.File, secret: Path) -> None:
        file[place + "_again"] = file[place]

    return change


def huge(place: str) -> Change:
    """Chunks of which none is stored: a few bytes that claim 16 GiB."""

    def change(file: h5py.File, secret: Path) -> None:
        group, name, _ = _moved(file, place)
        group.create_dataset(name, shape=(2**32,), dtype="<f4", chunks=(2**20,), compression="gzip")

    return change


def hdf5(path: Path, change: Change, secret: Path) -> None:
    with h5py.File(path, "r+") as file:
        change(file, secret)


# ---- ONNX


def endless_loop(graph: onnx.ModelProto) -> None:
    """One constant comes out of a loop of 2^62 turns, each of which hands it on."""
    constant = graph.graph.initializer[0]
    name, kind, sides = constant.name, constant.data_type, list(constant.dims)
    constant.name = "before"
    go, count = (numpy_helper.from_array(np.array(value), label) for value, label in ((True, "go"), (2**62, "count")))
    graph.graph.initializer.extend([go, count])
    values = [helper.make_tensor_value_info(label, kind, sides) for label in ("held", "handed")]
    still = [helper.make_tensor_value_info(label, TensorProto.BOOL, []) for label in ("cond", "still")]
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    nodes = [helper.make_node("Identity", ["cond"], ["still"]), helper.make_node("Identity", ["held"], ["handed"])]
    body = helper.make_graph(nodes, "turns", [turn, still[0], values[0]], [still[1], values[1]])
    graph.graph.node.insert(0, helper.make_node("Loop", ["count", "go", "before"], [name], body=body))
    onnx.checker.check_model(graph, full_check=True)  # a model that ONNX itself accepts


# ---- text


def replaced(text: str, place: tuple[str | int, ...], value: str) -> str:
    """A JSON text in which one value is something else; ``value`` is JSON, or what looks like it."""
    content = json.loads(text)
    where: Any = content
    for key in place[:-1]:
        where = where[key]
    where[place[-1]] = "@@here@@"
    return json.dumps(content).replace('"@@here@@"', value)


def read_only(folder: Path) -> None:
    """Take away the right to write, from this user too where that is not root."""
    for name, _, files in os.walk(folder, topdown=False):
        for file in files:
            (Path(name) / file).chmod(0o444)
        Path(name).chmod(0o555)
