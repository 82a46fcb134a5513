"""Random NIR graphs of every kind of node, and a plain interpreter of NIR: node by node, step by step, linear nodes by
torch. Nothing of the product takes part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import torch
from torch.nn import functional

DT = 1e-3


@dataclass
class Case:
    """A graph, the order in which its neurons are evaluated, and inputs (T, B, N) by Input node."""

    graph: nir.NIRGraph
    order: list[str]
    inputs: dict[str, np.ndarray] = field(default_factory=dict)


class Interpreter:
    """Runs a flat graph; edges that lead back in the order deliver the spikes of the step before."""

    def __init__(self, case: Case) -> None:
        self.nodes, self.order, self.inputs = case.graph.nodes, case.order, case.inputs
        self.before = {name: [a for a, b in case.graph.edges if b == name] for name in self.nodes}
        self.steps, self.batch = next(iter(case.inputs.values())).shape[:2]
        self.sent: dict[str, list[np.ndarray]] = {name: [] for name in case.order}
        self.states: dict[str, dict[str, np.ndarray]] = {}

    def run(self) -> dict[str, np.ndarray]:
        """What each neuron and each Output shows, (T, B, N)."""
        outputs = [name for name, node in self.nodes.items() if isinstance(node, nir.Output)]
        shown: dict[str, list[np.ndarray]] = {name: [] for name in outputs}
        for t in range(self.steps):
            for name in self.order:
                self.sent[name].append(self._neuron(name, self._sum(name, t, name, False)))
            for name in outputs:
                shown[name].append(self._sum(name, t, name, False).reshape(self.batch, -1))
        return {name: np.stack(values) for name, values in (self.sent | shown).items()}

    def _sum(self, name: str, t: int, target: str, delayed: bool) -> np.ndarray:
        parts = [self._value(source, t, target, delayed) for source in self.before[name]]
        return np.sum([part.reshape(self.batch, -1) for part in parts], axis=0).reshape(parts[0].shape)

    def _value(self, name: str, t: int, target: str, delayed: bool) -> np.ndarray:
        node = self.nodes[name]
        if isinstance(node, nir.Input):
            shape = tuple(int(n) for n in node.input_type["input"])
            flat = self.inputs[name][t] if t >= 0 else np.zeros_like(self.inputs[name][0])
            return flat.reshape(self.batch, *shape).astype(np.float64)
        if name in self.order:
            late = not delayed and target in self.order and self.order.index(name) >= self.order.index(target)
            known = self.sent[name]
            when = t - 1 if late else t
            return known[when] if when >= 0 else np.zeros_like(self._shaped(name))
        if isinstance(node, nir.Delay):
            steps = np.round(node.delay / DT).astype(int)
            total = np.zeros_like(self._sum(name, t, target, delayed))
            for d in np.unique(steps):
                if t - d >= 0:
                    total = total + (steps == d) * self._sum(name, t - int(d), target, delayed or d > 0)
            return total
        return _linear(node, self._sum(name, t, target, delayed))

    def _shaped(self, name: str) -> np.ndarray:
        node = self.nodes[name]
        values = next(getattr(node, key) for key in ("v_threshold", "threshold", "r") if hasattr(node, key))
        return np.zeros((self.batch, *np.shape(values)))

    def _neuron(self, name: str, current: np.ndarray) -> np.ndarray:
        node, state = self.nodes[name], self.states.setdefault(name, {})
        v = state.get("v", np.zeros_like(self._shaped(name)))
        current = current.reshape(v.shape)
        if isinstance(node, nir.Threshold):
            return (current > node.threshold).astype(float)
        if isinstance(node, nir.CubaLIF):
            i = state.get("i", np.zeros_like(v))
            current = state["i"] = i + DT / node.tau_syn * (node.w_in * current - i)
        if isinstance(node, (nir.I, nir.IF)):
            v = v + DT * node.r * current
        else:
            tau = node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau
            v = v + DT / tau * (node.v_leak - v + node.r * current)
        if isinstance(node, (nir.LI, nir.I)):
            state["v"] = v
            return v
        z = (v > node.v_threshold).astype(float)
        state["v"] = np.where(z > 0, node.v_reset, v)
        return z


def _linear(node: Any, value: np.ndarray) -> np.ndarray:
    if isinstance(node, (nir.Affine, nir.Linear)):
        return value @ node.weight.T + (node.bias if isinstance(node, nir.Affine) else 0.0)
    if isinstance(node, nir.Scale):
        return value * node.scale
    if isinstance(node, nir.Flatten):
        return value.reshape(value.shape[0], -1)
    x = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        run = functional.conv1d if isinstance(node, nir.Conv1d) else functional.conv2d
        weight, bias = (torch.from_numpy(np.asarray(v, np.float64)) for v in (node.weight, node.bias))
        return run(
            x, weight, bias, _arg(node.stride), _arg(node.padding), _arg(node.dilation), int(node.groups)
        ).numpy()
    size, stride, padding = (_arg(v) for v in (node.kernel_size, node.stride, node.padding))
    divisor = None if isinstance(node, nir.AvgPool2d) else 1
    return functional.avg_pool2d(x, size, stride, padding, divisor_override=divisor).numpy()


def _arg(value: Any) -> Any:
    return value if isinstance(value, (str, int)) else tuple(int(n) for n in np.atleast_1d(value))


def random_case(seed: int, steps: int = 25, batch: int = 2) -> Case:
    """One or two inputs, two to six populations of pictures and vectors, skips, feedback, delays, several outputs."""
    rng = np.random.default_rng(seed)
    return _Builder(rng).build(steps, batch)


class _Builder:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.order: list[str] = []

    def build(self, steps: int, batch: int) -> Case:
        rng = self.rng
        for k in range(int(rng.integers(1, 3))):
            shape: tuple[int, ...] = (int(rng.integers(1, 4)), int(rng.integers(4, 9)), int(rng.integers(4, 9)))
            shape = shape if rng.random() < 0.6 else (int(rng.integers(2, 9)),)
            self._add(f"in{k}", nir.Input(input_type={"input": np.array(shape)}), shape)
        sources = list(self.nodes)
        for k in range(int(rng.integers(2, 7))):
            name = f"n{k}"
            end, shape = self._path(str(rng.choice(sources)), f"p{k}_0_")
            self._add(name, self._neuron(shape), shape)
            self.order.append(name)
            self.edges.append((end, name))
            for more in range(int(rng.integers(0, 3))):  # skips from anything, feedback from any neuron
                source = str(rng.choice([*sources, name]))
                self.edges.append((self._dense(source, shape, f"p{k}_{more + 1}_"), name))
            sources.append(name)
        self._feedback()
        self._readouts()
        inputs = {n: rng.random((steps, batch, int(np.prod(s)))) < 0.4 for n, s in self.shapes.items() if n[:2] == "in"}
        graph = nir.NIRGraph(nodes=self.nodes, edges=self.edges, type_check=False)
        return Case(graph, self.order, {name: value.astype(np.int64) for name, value in inputs.items()})

    def _feedback(self) -> None:
        """From a neuron to one that it hears in the same step: only there does NIR leave the delay open."""
        for k in range(int(self.rng.integers(0, 4))):
            a, b = str(self.rng.choice(self.order)), str(self.rng.choice(self.order))
            if b in self._heard(a):
                self.edges.append((self._dense(a, self.shapes[b], f"back{k}_"), b))

    def _heard(self, name: str) -> set[str]:
        """Neurons whose spikes reach another one without a delay; itself included."""
        found, queue = {name}, [name]
        for node in queue:
            for source, target in self.edges:
                delay = self.nodes[source]
                late = isinstance(delay, nir.Delay) and np.all(delay.delay > 0)
                if target == node and source not in queue and not late:
                    queue.append(source)
                    found.add(source)
        return found

    def _readouts(self) -> None:
        """A leaky integrator, a bare linear readout, or neurons themselves."""
        spiking = list(self.order)
        for k in range(int(self.rng.integers(1, 3))):
            source, choice = str(self.rng.choice(spiking)), self.rng.random()
            end = source
            if choice < 0.6:
                end = self._dense(source, (3,), f"out{k}_")
            if choice < 0.3:
                node = nir.LI(
                    tau=self._uniform((3,), 5, 30) * DT, r=self._uniform((3,), 1, 5), v_leak=self._normal((3,))
                )
                self._add(f"li{k}", node, (3,))
                self.order.append(f"li{k}")
                self.edges.append((end, f"li{k}"))
                end = f"li{k}"
            self._add(f"output{k}", nir.Output(output_type={"output": np.array(self.shapes[end])}), self.shapes[end])
            self.edges.append((end, f"output{k}"))

    def _add(self, name: str, node: nir.NIRNode, shape: tuple[int, ...]) -> str:
        self.nodes[name], self.shapes[name] = node, tuple(int(n) for n in shape)
        return name

    def _then(self, source: str, name: str, node: nir.NIRNode, shape: tuple[int, ...]) -> str:
        self.edges.append((source, name))
        return self._add(name, node, shape)

    def _path(self, source: str, prefix: str) -> tuple[str, tuple[int, ...]]:
        """Zero to three linear nodes, then synapses where there are none yet."""
        end, rng = source, self.rng
        for k in range(int(rng.integers(0, 4))):
            end = self._step(end, f"{prefix}{k}")
        if end == source or rng.random() < 0.5:
            shape = self.shapes[end]
            end = (
                self._conv(end, f"{prefix}c")
                if len(shape) == 3
                else self._dense(end, (int(rng.integers(1, 8)),), prefix)
            )
        return end, self.shapes[end]

    def _step(self, source: str, name: str) -> str:
        shape, rng = self.shapes[source], self.rng
        kind = rng.integers(0, 5)
        if kind == 0:
            delay = rng.integers(0, 4, shape) if rng.random() < 0.5 else np.full(shape, rng.integers(0, 4))
            return self._then(source, name, nir.Delay(delay=delay * DT), shape)
        if kind == 1:
            return self._then(source, name, nir.Scale(scale=self._normal(shape) + 1), shape)
        if len(shape) == 3 and min(shape[1:]) >= 3:
            return self._pool(source, name) if kind == 2 else self._conv(source, name)
        return self._dense(source, (int(rng.integers(1, 8)),), name)

    def _pool(self, source: str, name: str) -> str:
        c, h, w = self.shapes[source]
        size, stride, padding = self.rng.integers(1, 4, 2), self.rng.integers(1, 4, 2), self.rng.integers(0, 2, 2)
        padding = np.minimum(padding, size // 2)
        kind = nir.SumPool2d if self.rng.random() < 0.5 else nir.AvgPool2d
        out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip((h, w), padding, size, stride, strict=True)]
        return self._then(source, name, kind(kernel_size=size, stride=stride, padding=padding), (c, *out))

    def _conv(self, source: str, name: str) -> str:
        c, h, w = self.shapes[source]
        rng = self.rng
        size = np.minimum(rng.integers(1, 4, 2), (h, w))
        stride, dilation = rng.integers(1, 3, 2), np.where(size * 2 - 1 <= (h, w), rng.integers(1, 3, 2), 1)
        padding: Any = rng.integers(0, 3, 2)
        if rng.random() < 0.3:
            padding = str(rng.choice(["same", "valid"]))
        if isinstance(padding, str) and padding == "same":
            stride = np.ones(2, int)
        groups = c if rng.random() < 0.3 else 1
        channels = groups * int(rng.integers(1, 3))
        text = isinstance(padding, str)
        pads = 2 * padding if not text else dilation * (size - 1) if padding == "same" else np.zeros(2, int)
        out = [
            (n + p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip((h, w), pads, dilation, size, stride, strict=True)
        ]
        weight = self._normal((channels, c // groups, *size)) * 2
        sides = padding if text else tuple(padding.tolist())
        bias = self._normal((channels,)) * 0.2
        node = nir.Conv2d((h, w), weight, tuple(stride.tolist()), sides, tuple(dilation.tolist()), groups, bias)
        return self._then(source, name, node, (channels, *out))

    def _dense(self, source: str, target: tuple[int, ...], prefix: str) -> str:
        """Synapses into a vector; into a picture by a convolution that makes one."""
        shape = self.shapes[source]
        end = source
        if len(shape) == 3:
            declared = {"input": np.array(shape)}
            end = self._then(source, f"{prefix}f", nir.Flatten(declared, 0, -1), (int(np.prod(shape)),))
        n = int(np.prod(target))
        weight = self._normal((n, int(np.prod(shape)))) * 2 / np.sqrt(np.prod(shape))
        if self.rng.random() < 0.5:
            node: nir.NIRNode = nir.Affine(weight=weight, bias=self._normal((n,)) * 0.2)
        else:
            node = nir.Linear(weight=weight)
        return self._then(end, f"{prefix}w", node, (n,) if len(target) == 1 else target)

    def _neuron(self, shape: tuple[int, ...]) -> nir.NIRNode:
        kind = self.rng.integers(0, 5)
        theta, zero = self._uniform(shape, 0.3, 1.5), np.zeros(shape)
        if kind == 0:
            return nir.Threshold(threshold=theta)
        if kind == 1:
            return nir.IF(r=self._uniform(shape, 200, 900), v_threshold=theta, v_reset=zero)
        tau, r, leak = self._uniform(shape, 3, 30) * DT, self._uniform(shape, 3, 9), self._normal(shape) * 0.1
        if kind == 2:
            syn = self._uniform(shape, 2, 8) * DT
            return nir.CubaLIF(syn, tau, r, leak, theta, zero, self._uniform(shape, 1, 3))
        return nir.LIF(tau, r, leak, theta, zero)

    def _uniform(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        return self.rng.uniform(low, high, shape)

    def _normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.normal(size=shape)
