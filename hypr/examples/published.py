"""Published weights (brf_ecg.npz, alif_ecg.npz in FOLDER) loaded, exported, verified: ``published.py FOLDER OUT``."""

import sys
from pathlib import Path

import numpy as np
import torch

import hypr
from export import discretise, read, to_nir, write
from export.interchange import float_engine
from hypr.data import load
from hypr.training.metrics import evaluate

folder, out = map(Path, sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__))
train, test = load("qtdb", "train"), load("qtdb", "test")
for name, hidden, first in (("brf", hypr.BRF(4, 36, dt=0.01), 0), ("alif", hypr.ALIF(4, 36, reset="same"), 10)):
    net = hypr.Network([hidden, hypr.LI(36, 6)], decision={"rule": "per_step", "ignore_first": first})
    for key, value in np.load(folder / f"{name}_ecg.npz").items():
        parameter = key.removeprefix("out_").removeprefix("hidden_").replace("tau_mem", "tau_u").replace("adp", "a")
        net.layers[key.startswith("out_")].get_parameter(parameter).data = torch.from_numpy(value)
    print(name, f"float {100 * evaluate(net, test, 64).accuracy:.2f} %")
    if name == "brf":
        done = hypr.deploy(net, out / name, calibration=train, test=test)
        print(name, f"int8 {100 * done.accuracy:.2f} %, equal on every engine: {done.equal}")
    write(to_nir(net), out / f"{name}.nir")
    found = float_engine.run(discretise(read(out / f"{name}.nir")), test.dense().transpose(1, 0, 2)).output
    right = (test.labels == found.argmax(2).T)[:, first:].mean()
    print(name, f"its NIR file {100 * right:.2f} %")
