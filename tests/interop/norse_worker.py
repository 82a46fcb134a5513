"""Worker of Norse 1.1.0; see :mod:`tests.interop.worker`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import norse.torch as norse
import numpy as np
import torch
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract, reset_value

from tests.interop.worker import Made, inputs, main, stepped

KINDS = ("LIFBox", "IAF", "LIFCell")


def _layer(kind: str, n: int, rng: np.random.Generator, subtract: bool) -> torch.nn.Module:
    def values(low: float, high: float) -> torch.Tensor:
        return torch.tensor(rng.uniform(low, high, n).astype(np.float32))

    reset = reset_subtract if subtract else reset_value
    v_leak = values(-0.1, 0.1) if rng.random() < 0.3 else torch.zeros(n)
    if kind == "IAF":
        return norse.IAFCell(IAFParameters(v_th=values(1, 3)))
    if kind == "LIBox":
        return norse.LIBoxCell(LIBoxParameters(tau_mem_inv=values(50, 300), v_leak=v_leak))
    if kind == "LIFCell":
        leak = torch.zeros(n)
        p = LIFParameters(
            tau_syn_inv=values(100, 400),
            tau_mem_inv=values(50, 300),
            v_leak=leak,
            v_th=values(0.1, 0.4),
            v_reset=torch.zeros(n),
        )
        return norse.LIFCell(p)
    return norse.LIFBoxCell(
        LIFBoxParameters(
            tau_mem_inv=values(50, 300),
            v_leak=v_leak,
            v_th=values(0.1, 0.4),
            v_reset=torch.zeros(n),
            reset_method=reset,
        )
    )


def make(rng: np.random.Generator) -> Made:
    torch.manual_seed(int(rng.integers(2**31)))
    count = int(rng.integers(1, 4))
    kinds = [str(rng.choice(KINDS))] * count  # one kind per file: a file's options hold for all of its layers
    subtract = kinds[0] == "LIFBox" and bool(rng.random() < 0.4)
    readout = kinds[0] == "LIFBox" and bool(rng.random() < 0.3)
    if readout:
        kinds[-1] = "LIBox"
    sizes = [int(n) for n in rng.integers(3, 12, count + 1)]
    modules: list[torch.nn.Module] = []
    for index, kind in enumerate(kinds):
        modules.append(torch.nn.Linear(sizes[index], sizes[index + 1], bias=bool(rng.random() < 0.5)))
        modules.append(_layer(kind, sizes[index + 1], rng, subtract))
    net = norse.SequentialState(*modules)
    given = inputs(rng, sizes[0])
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2.0)
        graph = norse.to_nir(net, torch.zeros(1, sizes[0]), dt=1.0)
        output, state = [], None
        for x in given:
            spikes, state = net(torch.tensor(x), state)
            output.append(spikes.numpy())
    options = {"reset": "subtract"} if subtract else {}
    entry = {"tool": "norse 1.1.0", "kinds": kinds, "preset": "norse", "options": options}
    if readout:
        entry["output"] = "output_membrane"
    return graph, given, np.stack(output), entry


def run(path: Path, given: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    reset = reset_subtract if options.get("reset") == "subtract" else reset_value
    return stepped(norse.from_nir(nir.read(path), dt=float(options["dt"]), reset_method=reset), given)


if __name__ == "__main__":
    main(make, run)
