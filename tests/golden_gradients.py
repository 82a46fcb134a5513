"""Compare the learning rules with golden gradients: ``python -m tests.golden_gradients FILE.npz ...``

Each file holds one case: hyper-parameters (``hyper_json``), parameters (``param/P``), inputs ``x``, targets ``y``,
``mask`` and reference gradients. ``autodiff_z/P`` is the target of rule ``hypr`` (windows of T, T/4 and 1 steps) and
``eprop``, ``bptt/P`` that of ``bptt`` and of ``hypr-window`` with one window. One line per case and rule; exit 1 where
a relative difference max|a - b| / max|b| exceeds 1e-10, 2 for a bad file.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hypr.errors import HyprError
from hypr.learning import BPTT, HYPR, HYPRWindow
from hypr.learning.eprop import EProp
from hypr.learning.rule import Rule
from hypr.network import Network
from hypr.neurons import ALIF, BRF, LI, Neuron, SEAdLIF

LIMIT = 1e-10  # float64: a few thousand operations per value, each with an error of 1e-16


@dataclass(frozen=True)
class Difference:
    """Largest relative difference of one rule on one case, and the parameter where it occurs."""

    case: str
    rule: str
    value: float
    parameter: str


class Case:
    """One golden file: its network in float64, its batch and its reference gradients."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        try:
            with np.load(path, allow_pickle=False) as archive:
                self.data = {key: archive[key] for key in archive.files}
            self.hyper = json.loads(str(self.data["hyper_json"]))
        except FileNotFoundError:
            raise HyprError(f"{path}: no such file") from None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, AttributeError, TypeError) as error:
            raise HyprError(
                f"{path}: not a golden gradient file ({_reason(error)}); it needs hyper_json, param/*, x, y, mask"
            ) from None
        self.path, self.name = (
            path,
            str(self.hyper.get("name", path.stem)) if isinstance(self.hyper, dict) else path.stem,
        )
        try:
            self.parameters = [str(name) for name in self.data["param_names"]]
            self.device = device
            self.x, self.y, self.mask = (
                torch.from_numpy(self.data[name].astype(np.float64)).to(device) for name in ("x", "y", "mask")
            )
            self.network()
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
            raise HyprError(f"{path}: {_reason(error)}") from None

    @property
    def steps(self) -> int:
        return int(self.x.shape[1])

    def network(self) -> Network:
        """The case's network with its parameters, float64, on the case's device."""
        count = int(self.hyper["layers"])
        layers = [self._hidden(index) for index in range(count)] + [self._readout()]
        net = Network(layers).double()
        for index, layer in enumerate(net.layers):
            prefix = self._prefix(index, count)
            for name, parameter in layer.named_parameters():
                value = self.data[f"param/{prefix}.{self._golden_name(layer, name)}"].astype(np.float64)
                value = torch.from_numpy(value.T.copy() if value.ndim == 2 else value)
                if value.shape != parameter.shape:
                    raise HyprError(
                        f"parameter {prefix}.{name} has shape {tuple(value.shape)}, "
                        f"the network needs {tuple(parameter.shape)}"
                    )
                parameter.data = value
        return net.to(self.device)

    def gradients(self, rule: Rule) -> dict[str, np.ndarray]:
        """Gradients by golden parameter name, in the golden layout (kernels (in, out)); zeros for parameters that have
        none.
        """
        for parameter in rule.net.parameters():
            parameter.grad = None
        rule.backward(self.x, self.y, self.mask)
        count = int(self.hyper["layers"])
        found = {name: np.zeros_like(self.data[f"param/{name}"]) for name in self.parameters}
        for index, layer in enumerate(rule.net.layers):
            for name, parameter in layer.named_parameters():
                if parameter.grad is not None:
                    found[f"{self._prefix(index, count)}.{self._golden_name(layer, name)}"] = (
                        parameter.grad.cpu().numpy().T
                    )
        return found

    def reference(self, target: str) -> Mapping[str, np.ndarray]:
        """Reference gradients ``target/*`` by parameter name; a parameter without an entry has none, which is zero."""
        if not any(key.startswith(f"{target}/") for key in self.data):
            raise HyprError(f"{self.path}: no reference gradients {target}/* in this file")
        found = {}
        for name in self.parameters:
            like = self.data[f"param/{name}"]
            found[name] = self.data.get(f"{target}/{name}", np.zeros_like(like))
            if found[name].shape != like.shape:
                raise HyprError(
                    f"{self.path}: {target}/{name} has shape {found[name].shape}, the parameter {like.shape}"
                )
        return found

    def _hidden(self, index: int) -> Neuron:
        hp, n = dict(self.hyper["hp"]), int(self.hyper["hidden"])
        sizes: dict[str, Any] = {
            "n_in": int(self.hyper["n_in"]) if index == 0 else n,
            "n": n,
            "recurrent": bool(self.hyper["recurrent"]),
        }
        kind = self.hyper["cls"]
        if kind == "BRF":
            return BRF(
                **sizes,
                variant="exponential" if hp["use_exponential"] else "euler",
                dt=hp["dt"],
                theta=hp["thr"],
                exponential_omega=hp["exponential_omega"],
                exponential_b=hp["exponential_b"],
                surrogate=hp["surrogate_gradient"],
                omega_range=hp["omega_range"],
                b_range=hp["b_range"],
            )
        if kind == "AdLIF":
            if np.any(self.data[f"param/layers.{index}.params.thr"] != hp["thr"]):
                raise HyprError(
                    f"layer {index} has thresholds that differ from thr = {hp['thr']}; "
                    "one threshold per layer is supported"
                )
            ranges: dict[str, Any] = {name: hp[name] for name in ("tau_u_range", "tau_w_range", "a_range", "b_range")}
            return SEAdLIF(**sizes, theta=hp["thr"], rho=hp["adapt_coeff"], adaptation_spike="previous", **ranges)
        if kind == "ALIF":
            return ALIF(**sizes, beta=hp["beta"], b0=hp["b_j0"], surrogate="slayer_narrow")
        raise HyprError(f"neuron class {kind!r} is unknown; known are BRF, AdLIF, ALIF")

    def _readout(self) -> LI:
        hp = self.hyper["ohp"]
        return LI(
            int(self.hyper["hidden"]),
            int(self.hyper["n_out"]),
            tau_range=hp["tau_u_range"],
            interpolate=hp["interpolation_tau"],
        )

    @staticmethod
    def _prefix(index: int, count: int) -> str:
        return "output_layer" if index == count else f"layers.{index}"

    @staticmethod
    def _golden_name(layer: Neuron, name: str) -> str:
        plain = {"weight": "linear.kernel", "bias": "linear.bias", "recurrent_weight": "recurrent.kernel"}
        if name in plain:
            return plain[name]
        return "params.tau_u" if isinstance(layer, LI) else f"params.{name}"


def relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """max|found - expected| / max|expected|; where all expected are 0, 0 for equal and infinity for different values.
    NaN counts as infinite.
    """
    difference, scale = float(np.max(np.abs(found - expected))), float(np.max(np.abs(expected)))
    if not np.isfinite(difference):
        return float("inf")
    if scale == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return difference / scale


def rules(net: Network, steps: int) -> Iterator[tuple[str, str, Rule]]:
    """(label, reference group, rule) for each comparison."""
    for window in dict.fromkeys((steps, max(1, steps // 4), 1)):
        yield f"hypr window={window}", "autodiff_z", HYPR(net, window=window)
    yield "eprop", "autodiff_z", EProp(net)
    yield "bptt", "bptt", BPTT(net)
    yield f"hypr-window window={steps}", "bptt", HYPRWindow(net, window=steps)


def compare(case: Case) -> Iterator[Difference]:
    """Differences of every rule on one case."""
    net = case.network()
    for label, target, rule in rules(net, case.steps):
        expected, found = case.reference(target), case.gradients(rule)
        worst = max(case.parameters, key=lambda name: relative_difference(found[name], expected[name]))
        yield Difference(case.name, label, relative_difference(found[worst], expected[worst]), worst)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.golden_gradients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.npz", help="golden gradient file")
    parser.add_argument("--device", default="cpu", help="where the rules run: cpu or cuda")
    failed = False
    options = parser.parse_args(arguments)
    for path in options.files:
        try:
            for difference in compare(Case(path, options.device)):
                passed = difference.value <= LIMIT
                failed |= not passed
                verdict = "ok" if passed else "FAIL"
                line = f"{difference.case:22s} {difference.rule:24s} {difference.value:9.2e}  {verdict:4s}"
                print(f"{line}  ({difference.parameter})", flush=True)
        except HyprError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    return 1 if failed else 0


def _reason(error: Exception) -> str:
    return f"lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
