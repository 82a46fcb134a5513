"""Worker of Sinabs 3.1.3; see :mod:`tests.interop.worker`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import sinabs.layers as sl
import torch
from sinabs.activation import MembraneReset, MultiSpike, SingleSpike
from sinabs.nir import from_nir, to_nir

from tests.interop.worker import Made, inputs, main


def _layer(kind: str, n: int, rng: np.random.Generator, batch: int) -> torch.nn.Module:
    def values(low: float, high: float) -> torch.Tensor:
        return torch.tensor(rng.uniform(low, high, n).astype(np.float32))

    fn = MultiSpike if "multi" in kind or "default" in kind else SingleSpike
    if kind == "ExpLeak":
        return sl.ExpLeakSqueeze(tau_mem=values(2, 30), norm_input=False, batch_size=batch)
    more: dict[str, Any] = {"reset_fn": MembraneReset()} if "zero" in kind else {}
    if kind.startswith("IAF"):
        return sl.IAFSqueeze(spike_threshold=values(0.5, 1.5), spike_fn=fn, min_v_mem=None, batch_size=batch, **more)
    norm = "norm" in kind or "default" in kind
    theta = values(0.1, 0.4) if norm else values(0.5, 1.5)
    return sl.LIFSqueeze(
        tau_mem=values(2, 30),
        spike_threshold=theta,
        spike_fn=fn,
        norm_input=norm,
        min_v_mem=None,
        batch_size=batch,
        **more,
    )


def make(rng: np.random.Generator) -> Made:
    torch.manual_seed(int(rng.integers(2**31)))
    kind = str(rng.choice(["IAF", "IAF multi", "LIF", "LIF multi", "LIF norm", "LIF default", "LIF zero"]))
    kinds = [kind] * int(rng.integers(1, 4))
    readout = kind == "LIF" and bool(rng.random() < 0.4)
    if readout:
        kinds[-1] = "ExpLeak"
    sizes = [int(n) for n in rng.integers(3, 12, len(kinds) + 1)]
    given = inputs(rng, sizes[0])
    steps, batch = given.shape[:2]
    modules: list[torch.nn.Module] = []
    for index, name in enumerate(kinds):
        modules.append(torch.nn.Linear(sizes[index], sizes[index + 1], bias=bool(rng.random() < 0.5)))
        modules.append(_layer(name, sizes[index + 1], rng, batch))
    net = torch.nn.Sequential(*modules)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2.0)
        flat = torch.tensor(given.transpose(1, 0, 2).reshape(batch * steps, -1))
        output = net(flat).numpy().reshape(batch, steps, -1).transpose(1, 0, 2)
        graph = to_nir(net, flat)
    options = {"reset": "zero"} if "zero" in kind else {}
    entry = {"tool": "sinabs 3.1.3", "kinds": kinds, "preset": "sinabs", "options": options}
    if readout:
        entry["output"] = "output_membrane"
    return graph, given, output, entry


def run(path: Path, given: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    steps, batch = given.shape[:2]
    net = from_nir(nir.read(path), batch_size=batch)
    with torch.no_grad():
        found = net(torch.tensor(given.transpose(1, 0, 2).reshape(batch * steps, -1)))
    values = (found[0] if isinstance(found, tuple) else found).numpy()
    return values.reshape(batch, steps, -1).transpose(1, 0, 2)


if __name__ == "__main__":
    main(make, run)
