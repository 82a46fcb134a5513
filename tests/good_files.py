"""A good file for every reader, small, and how it is read."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import torch

import export
import hardware
import hypr
from export.bundle.opened import Bundle
from export.onnx import model_file
from export.verification.certificate import read_certificate
from hypr.data import braille, fsdd, heidelberg, mnist, own, qtdb
from hypr.deployment.arrays import read_sequences
from hypr.report.content import page_of
from hypr.report.page import render
from hypr.training import config
from hypr.training.runs import open_run
from hypr.training.train import train
from tests.mutated_files import Reader

RECIPE = """\
name = "mine"
dtype = "float64"

[data]
name = "{folder}/data.npz"

[[network.layers]]
neuron = "lif"
width = 5
options = {{ reset = "zero", tau_range = [5.0, 9.0] }}

[optimiser]
lr = 0.01

[training]
epochs = 2
batch = 16
"""


def make(folder: Path) -> list[Reader]:
    """Write the files, and say how each is read."""
    logging.getLogger("export").disabled = True
    draw = np.random.default_rng(0)
    x = (draw.random((40, 30, 4)) < 0.3).astype(np.uint8)
    y = draw.integers(3, size=40)
    torch.manual_seed(0)
    net = hypr.Network([hypr.SEAdLIF(4, 6), hypr.LI(6, 3)], decision={"rule": "sum"})
    hypr.fit_activity_(net, torch.from_numpy(x).float())
    hypr.save(net, folder / "net.safetensors")
    hypr.deploy(net, folder / "bundle", calibration=x[:20], test=(x[20:], y[20:]), engines=("emulator", "onnx"))
    np.savez_compressed(folder / "data.npz", inputs=x, labels=y)
    np.savez(folder / "inputs.npz", input_spikes=x.transpose(1, 0, 2), labels=y)
    (folder / "mine.toml").write_text(RECIPE.format(folder=folder))
    train(config.load(folder / "mine.toml"), folder / "run")
    _data_files(folder, draw)
    return [
        Reader("program", "bundle/program.npz", lambda p: hardware.content_hash(hardware.load(p)), True, "zip"),
        Reader("network.nir", "bundle/network.nir", lambda p: len(export.discretise(export.read(p)).populations)),
        Reader("quantized.nir", "bundle/quantized.nir", lambda p: len(export.quantize(export.read(p)).populations)),
        Reader("onnx", "bundle/integer_scan.onnx", lambda p: len(model_file.load(p).graph.node)),
        Reader("checkpoint", "net.safetensors", lambda p: _weights(hypr.load(p)), True),
        Reader("resume", "run/resume.safetensors", _resume, True),
        Reader("manifest", "bundle/manifest.json", _bundle),
        Reader("certificate", "bundle/certificate.json", lambda p: len(read_certificate(p))),
        Reader("data.npz", "data.npz", lambda p: own.read(p).sha256, False, "zip"),
        Reader("inputs.npz", "inputs.npz", lambda p: read_sequences(p).shape, False, "zip"),
        Reader("recipe", "mine.toml", lambda p: config.load(p).to_dict()),
        Reader("config", "run/config.toml", lambda p: open_run(p.parent).config.to_dict()),
        Reader("environment", "run/environment.json", lambda p: _run(p, "environment")),
        Reader("result", "run/result.json", lambda p: _run(p, "result")),
        Reader("metrics", "run/metrics.jsonl", lambda p: _run(p, "metrics")),
        Reader("shd", "shd_test.h5", lambda p: heidelberg.read_events(p, 20, 4.0, 50, 70)[0].sum()),
        Reader("mnist", "images.gz", lambda p: mnist.read_idx(p, 3).sum(), False, "gzip"),
        Reader("fsdd", "0_anna_0.wav", lambda p: len(fsdd.read_wav(p))),
        Reader("qtdb", "qtdb.mat", lambda p: qtdb.read_mat(p)[0].sum()),
        Reader("braille", "pool.npz", lambda p: braille.read_pool(p)[0].sum(), False, "zip"),
    ]


def _data_files(folder: Path, draw: np.random.Generator) -> None:
    with h5py.File(folder / "shd_test.h5", "w") as file:
        file["labels"] = np.arange(5)
        for name, kind, high in (("times", np.float32, 0.2), ("units", np.int64, 699)):
            rows = file.create_dataset(f"spikes/{name}", (5,), dtype=h5py.vlen_dtype(kind))
            for row in range(5):
                rows[row] = np.sort(draw.random(20) * high).astype(kind)
    header = bytes([0, 0, 8, 3]) + b"".join(side.to_bytes(4, "big") for side in (4, 28, 28))
    (folder / "images.gz").write_bytes(
        gzip.compress(header + draw.integers(256, size=4 * 784).astype(np.uint8).tobytes())
    )
    scipy.io.wavfile.write(folder / "0_anna_0.wav", 8000, draw.integers(-9999, 9999, 400).astype(np.int16))
    hot = np.eye(6, dtype=np.uint8)[draw.integers(6, size=(2, 1301))]
    scipy.io.savemat(
        folder / "qtdb.mat", {"x": draw.integers(2, size=(2, 1301, 4)).astype(np.uint8), "y": hot}, do_compression=True
    )
    np.savez(folder / "pool.npz", x_packed=draw.integers(256, size=(6, 256, 2)).astype(np.uint8), y=np.arange(6))


def _weights(net: hypr.Network) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in net.state_dict().items()}


def _resume(path: Path) -> Any:
    from hypr.training import checkpoint

    found = checkpoint.read(path)
    return {name: value.numpy() for name, value in found.tensors.items()} | {"details": json.dumps(found.details)}


def _bundle(path: Path) -> Any:
    """A manifest is read to open a bundle, to find its data and to write about it."""
    bundle = Bundle.open(path.parent)
    if _now_and_then(path):
        render(page_of(path.parent))
    return len(bundle.manifest["files"])


def _run(path: Path, what: str) -> Any:
    """A file of a run is read by itself, and for a report."""
    found = getattr(open_run(path.parent), what)
    if _now_and_then(path):
        render(page_of(path.parent))
    return found


def _now_and_then(path: Path) -> bool:
    """Drawing takes its time."""
    return np.random.default_rng(list(path.read_bytes()[-64:])).random() < 0.03
