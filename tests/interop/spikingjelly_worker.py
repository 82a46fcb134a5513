"""Worker of SpikingJelly 2.0.0; see :mod:`tests.interop.worker`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir, import_from_nir

from tests.interop.worker import Made, inputs, main, stepped


def _layer(kind: str, rng: np.random.Generator) -> torch.nn.Module:
    theta = float(rng.uniform(0.5, 1.5))
    v_reset = float(rng.uniform(-0.3, 0.2)) if "v_reset" in kind else 0.0
    if kind.startswith("IF"):
        dyadic = kind == "IF dyadic"
        return neuron.IFNode(v_threshold=1.0 if dyadic else theta, v_reset=v_reset)
    if kind.startswith("CUBA"):
        decays = {"c_decay": float(rng.uniform(0.3, 0.9)), "v_decay": float(rng.uniform(0.5, 0.97))}
        return neuron.CUBALIFNode(**decays, v_threshold=theta, v_reset=v_reset)
    tau = float(rng.uniform(1.5, 20))
    return neuron.LIFNode(tau=tau, decay_input="nodecay" not in kind, v_threshold=theta, v_reset=v_reset)


def make(rng: np.random.Generator) -> Made:
    torch.manual_seed(int(rng.integers(2**31)))
    kind = str(rng.choice(["IF", "IF dyadic", "IF v_reset", "LIF", "LIF nodecay", "LIF v_reset", "CUBA"]))
    kinds = [kind] * int(rng.integers(1, 4))
    sizes = [int(n) for n in rng.integers(3, 12, len(kinds) + 1)]
    modules: list[torch.nn.Module] = []
    for index, name in enumerate(kinds):
        modules.append(torch.nn.Linear(sizes[index], sizes[index + 1], bias=bool(rng.random() < 0.5)))
        modules.append(_layer(name, rng))
    net = torch.nn.Sequential(*modules)
    given = inputs(rng, sizes[0])
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3.0)
            if kind == "IF dyadic":  # membranes meet the threshold exactly
                parameter.copy_(torch.round(parameter * 4) / 4)
        graph = export_to_nir(net, torch.zeros(1, sizes[0]))
        functional.reset_net(net)
        output = np.stack([net(torch.tensor(x)).numpy() for x in given])
    entry = {"tool": "spikingjelly 2.0.0", "kinds": kinds, "preset": "spikingjelly", "options": {}}
    return graph, given, output, entry


def run(path: Path, given: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    return stepped(import_from_nir(path, dt=float(options["dt"])), given)


if __name__ == "__main__":
    main(make, run)
