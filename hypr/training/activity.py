"""Activity in a run: the start with layers that fire, warnings while it trains, and the end of a run that is dead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hypr.data import SequenceDataset
from hypr.errors import HyprError
from hypr.learning.activity import LEAST_STEPS, LayerActivity, fit_activity_
from hypr.network import Network

FILE = "activity.json"
"""What the start with living layers reached, in the folder of a run."""

STUCK_GRADIENT = 1e-8
"""Root mean square of the first layer's weight gradient below which runs were stuck; at 6e-8 and more all got going."""

SILENT_RATE, SATURATED_RATE = 1e-4, 0.5
_SAMPLES, _VALUES = 64, 2**26
FIX = "use network.initial=data, a larger optimiser.lr, or denser inputs"


class NetworkDead(HyprError):
    """A hidden layer never fired and no gradient gets through it."""


def fit_start_(network: Network, data: SequenceDataset, seed: int) -> tuple[list[LayerActivity], list[str]]:
    """Let every layer fire on some sequences of the training part: (what was reached, warnings).

    Args:
        network: fresh, changed in place.
        data: training part; the sequences are drawn by ``seed``.
    """
    widest = max(layer.n for layer in network.layers)
    count = min(len(data), _SAMPLES, max(4, _VALUES // (data.steps * widest)))
    index = np.sort(np.random.default_rng([seed, _SAMPLES]).permutation(len(data))[:count])
    counts = data.mask[index].copy()
    counts[:, : int(str(network.decision["ignore_first"]))] = False
    if int(counts.sum()) < LEAST_STEPS:
        return [], [
            f"network.initial: {int(counts.sum())} steps count in {count} sequences, fewer than {LEAST_STEPS}; weights "
            "stay as drawn"
        ]
    found = fit_activity_(network, torch.from_numpy(data.inputs[index]), torch.from_numpy(counts))
    trouble = {"not reached": "no weights give the wanted rate", "no input": "its input never changes; left as drawn"}
    return found, [
        f"{one.layer}: {trouble[one.status]} ({one.rate:.4f} spikes per neuron and step)"
        for one in found
        if one.status in trouble
    ]


def learning_factors(network: Network, found: list[dict[str, Any]]) -> dict[str, float]:
    """Parameter name -> factor of the learning rate, for weights and biases of hidden layers that were made larger."""
    growth = {str(one["layer"]): float(one["growth"]) for one in found}
    factors: dict[str, float] = {}
    for index, name in enumerate(network.layer_names()[:-1]):
        if growth.get(name, 1.0) > 1.0:
            factors |= {f"layers.{index}.{part}": growth[name] ** 0.5 for part in ("weight", "bias")}
    return factors


@torch.no_grad()
def gradient_size(network: Network) -> float:
    """Root mean square of the gradient of the first layer's weights; 0 where there is none."""
    gradient = network.layers[0].weight.grad
    return 0.0 if gradient is None else float(gradient.pow(2).mean().sqrt())


@dataclass
class Watch:
    """Looks at the activity of each epoch.

    Attributes:
        widths: neurons of each spiking layer. hidden: the layers below the output.
        stop: whether a dead run is stopped.
    """

    widths: Mapping[str, int]
    hidden: tuple[str, ...]
    stop: bool = True
    _fired: dict[str, bool] = field(default_factory=dict)
    _silent: dict[str, int] = field(default_factory=dict)
    _stuck: int = 0

    @classmethod
    def of(cls, network: Network, stop: bool) -> Watch:
        names = network.layer_names()
        spiking = {name: layer.n for name, layer in zip(names, network.layers, strict=True) if layer.spiking}
        return cls(spiking, tuple(name for name in names[:-1] if name in spiking), stop)

    def first_batch(self, rates: Mapping[str, float], gradient: float) -> list[str]:
        """Warnings about the first batch, before any update.

        Args:
            rates: layer -> mean spikes per neuron and step. gradient: see :func:`gradient_size`.
        """
        silent = [name for name in self.hidden if rates.get(name, 1.0) == 0]
        if not silent or gradient >= STUCK_GRADIENT:
            return []
        return [
            f"{', '.join(silent)} fired no spike in the first batch and no gradient reaches the first layer "
            f"({gradient:.1e}): this network may never learn; {FIX}"
        ]

    def epoch(self, activity: Mapping[str, Mapping[str, float]], gradient: float) -> list[str]:
        """Warnings about an epoch.

        Args:
            activity: layer -> ``rate``, ``dead``, ``saturated`` as in the metrics file.
            gradient: largest :func:`gradient_size` of the epoch.

        Raises:
            NetworkDead: a hidden layer fired nothing in two epochs and no gradient came through.
        """
        found = []
        for name, now in activity.items():
            width = self.widths[name]
            self._silent[name] = self._silent.get(name, 0) + 1 if now["rate"] < SILENT_RATE else 0
            if self._silent[name]:
                often = (
                    f" for {self._silent[name]} epochs: nothing above it can learn" if self._silent[name] > 1 else ""
                )
                found.append(f"{name} is silent ({now['rate']:.1e} spikes per neuron and step){often}; {FIX}")
            elif now["dead"] > width / 2 and self._fired.get(name):
                found.append(f"{name}: {int(now['dead'])} of {width} neurons fell silent; lower optimiser.lr")
            elif now["rate"] > SATURATED_RATE or now["saturated"] > width / 2:
                found.append(
                    f"{name} is saturated ({now['rate']:.2f} spikes per neuron and step, {int(now['saturated'])} of "
                    f"{width} neurons above {SATURATED_RATE}); lower optimiser.lr, or use network.initial=data"
                )
            self._fired[name] = self._fired.get(name, False) or now["dead"] <= width / 2
        dead = [name for name in self.hidden if name in activity and activity[name]["rate"] == 0]
        self._stuck = self._stuck + 1 if dead and gradient < STUCK_GRADIENT else 0
        if self._stuck >= 2 and self.stop:
            raise NetworkDead(
                f"stopped: {', '.join(dead)} fired no spike in two epochs and no gradient reaches the first layer "
                f"({gradient:.1e}); {FIX}; training.stop_dead=false trains on"
            )
        return found


def read_start(folder: Path) -> list[dict[str, Any]]:
    """Layers of :data:`FILE`, empty where the run has none."""
    from hypr.training.runs import read_json

    path = folder / FILE
    if not path.exists():
        return []
    layers = read_json(path).get("layers")
    if not isinstance(layers, list) or not all(isinstance(one, dict) and "growth" in one for one in layers):
        raise HyprError(f"{path}: holds no list of layers; delete the folder and train again")
    return layers
