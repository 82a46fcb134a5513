"""Worker of snnTorch 1.0.0; see :mod:`tests.interop.worker`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import snntorch as snn
import torch
from snntorch.export_nir import export_to_nir
from snntorch.import_nir import import_from_nir

from tests.interop.worker import Made, inputs, main, stepped

KINDS = ("Leaky", "Synaptic", "RLeaky", "RSynaptic")
RECURRENT = ("RLeaky", "RSynaptic")


class Net(torch.nn.Module):
    """Linear and spiking layers by turns, run step by step."""

    def __init__(self, sizes: list[int], layers: list[torch.nn.Module], bias: bool) -> None:
        super().__init__()
        self.count = len(layers)
        for index, layer in enumerate(layers):
            setattr(self, f"fc{index}", torch.nn.Linear(sizes[index], sizes[index + 1], bias=bias))
            setattr(self, f"lif{index}", layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for index in range(self.count):
            found = getattr(self, f"lif{index}")(getattr(self, f"fc{index}")(x))
            x = found[0] if isinstance(found, tuple) else found
        return x

    def reset(self) -> None:
        for index in range(self.count):
            getattr(self, f"lif{index}").reset_mem()


def _layer(kind: str, n: int, rng: np.random.Generator, reset: str, delay: bool) -> torch.nn.Module:
    def values(low: float, high: float) -> torch.Tensor:
        return torch.tensor(rng.uniform(low, high, n).astype(np.float32))

    more: dict[str, Any] = {"alpha": values(0.3, 0.9)} if "Synaptic" in kind else {}
    if kind in RECURRENT:
        more |= {"linear_features": n, "all_to_all": True}
    return getattr(snn, kind)(
        beta=values(0.5, 0.97),
        threshold=values(0.5, 1.5),
        reset_mechanism=reset,
        reset_delay=delay,
        init_hidden=True,
        **more,
    )


def make(rng: np.random.Generator) -> Made:
    torch.manual_seed(int(rng.integers(2**31)))
    reset, delay = str(rng.choice(["subtract", "zero", "none"])), bool(rng.random() < 0.5)
    kinds = [str(rng.choice(KINDS)) for _ in range(int(rng.integers(1, 4)))]
    if not delay:  # RSynaptic(reset_delay=False) does not run in snnTorch 1.0.0
        kinds = ["RLeaky" if kind == "RSynaptic" else kind for kind in kinds]
    sizes = [int(n) for n in rng.integers(3, 12, len(kinds) + 1)]
    layers = [_layer(kind, n, rng, reset, delay) for kind, n in zip(kinds, sizes[1:], strict=True)]
    net = Net(sizes, layers, bool(rng.random() < 0.5))
    given = inputs(rng, sizes[0])
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2.0)
        graph = export_to_nir(net, torch.zeros(1, sizes[0]), ignore_dims=[0])
        net.reset()
        output = np.stack([net(torch.tensor(x)).numpy() for x in given])
    options = {"reset": reset}
    if not delay:
        options["reset_timing"] = "carried_over" if reset == "subtract" else "same_step"
    return graph, given, output, {"tool": "snntorch 1.0.0", "kinds": kinds, "preset": "snntorch", "options": options}


def run(path: Path, given: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    return stepped(import_from_nir(nir.read(path)), given)


if __name__ == "__main__":
    main(make, run)
