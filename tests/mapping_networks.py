"""Networks for the tests of mapping: the worked examples, a convolutional one, random ones."""

from __future__ import annotations

import numpy as np

from hardware import Convolution, Program, ProgramBuilder, Sparse

PARAMETERS = {
    "cuba_lif": {"du": 2047, "dv": 400, "vth": 300},
    "lif": {"A": 3900, "TH": 4096},
    "brf": {"C": 3900, "S": 1000, "D": 0, "R": 3686, "TH": 4096, "J": 4096},
}
SHIFTS = {"cuba_lif": {}, "lif": {"K": 12}, "brf": {"K": 12, "Kd": 12, "KR": 12}}


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.int8)


def recurrent_chain(sizes: list[int], model: str = "cuba_lif", last: str | None = None) -> Program:
    """Dense layers, all but the last recurrent; every weight is 1."""
    graph = ProgramBuilder()
    below = graph.input("in", sizes[0])
    for index, size in enumerate(sizes[1:]):
        end = index == len(sizes) - 2
        kind = (last or model) if end else model
        name = graph.population("readout" if end else f"hidden{index}", size, kind, PARAMETERS[kind], SHIFTS[kind])
        graph.project(below, name, ones(size, sizes[index]))
        if not end:
            graph.project(name, name, ones(size, size), delay=1)
        below = name
    return graph.build()


def ecg() -> Program:
    return recurrent_chain([4, 36, 6])


def shd() -> Program:
    return recurrent_chain([140, 256, 20])


def two_layers(model: str = "cuba_lif") -> Program:
    return recurrent_chain([140, 1024, 1024, 20], model)


def convolutional(model: str = "cuba_lif") -> Program:
    """Three convolutions over a picture of events, and a dense readout."""
    rng = np.random.default_rng(3)
    graph = ProgramBuilder()
    graph.input("events", (2, 34, 34))
    shape, below = (2, 34, 34), "events"
    for index, (channels, stride) in enumerate(((8, 1), (16, 2), (16, 2))):
        kernel = rng.integers(-7, 8, (channels, shape[0], 3, 3)).astype(np.int8)
        synapses = Convolution.of(kernel, shape, (stride, stride), (1, 1))
        shape = synapses.out_shape
        name = graph.population(f"conv{index}", shape, model, PARAMETERS[model], SHIFTS[model])
        graph.project(below, name, synapses)
        below = name
    graph.population("readout", 10, model, PARAMETERS[model], SHIFTS[model])
    graph.project(below, "readout", ones(10, int(np.prod(shape))))
    return graph.build()


def random_network(rng: np.random.Generator, largest: int = 1500) -> Program:
    """A network of one to five populations with dense, sparse and convolutional synapses, skips and feedback, trained
    time constants in some."""
    graph = ProgramBuilder()
    sources: list[tuple[str, tuple[int, ...]]] = []
    picture = (int(rng.integers(1, 4)), int(rng.integers(6, 25)), int(rng.integers(6, 25)))
    for index in range(int(rng.integers(1, 3))):
        shape: tuple[int, ...] = picture if rng.random() < 0.4 else (int(rng.integers(1, largest)),)
        sources.append((graph.input(f"in{index}", shape), shape))
    for index in range(int(rng.integers(1, 6))):
        source, below = sources[int(rng.integers(len(sources)))]
        shape, first = (int(rng.integers(1, largest)),), None
        if len(below) == 3 and rng.random() < 0.7:
            kernel = rng.integers(-7, 8, (int(rng.integers(1, 9)), below[0], 3, 3)).astype(np.int8)
            first = Convolution.of(kernel, (below[0], below[1], below[2]), (1, 1), (1, 1))
            shape = first.out_shape
        size = int(np.prod(shape))
        parameters: dict[str, object] = dict(PARAMETERS["cuba_lif"])
        if rng.random() < 0.3:
            parameters["du"] = rng.integers(0, int(rng.integers(2, 200)), size)
        if rng.random() < 0.2:
            parameters["vth"] = rng.integers(1, int(rng.integers(2, 20)), size)
        name = graph.population(f"p{index}", shape, "cuba_lif", parameters)  # type: ignore[arg-type]
        bits = int(rng.integers(2, 9))
        graph.project(source, name, first or synapses(rng, size, int(np.prod(below)), bits), weight_bits=bits)
        if rng.random() < 0.5:
            graph.project(name, name, synapses(rng, size, size, bits), delay=int(rng.integers(1, 12)), weight_bits=bits)
        if rng.random() < 0.3:
            source, below = sources[int(rng.integers(len(sources)))]
            graph.project(source, name, synapses(rng, size, int(np.prod(below)), bits), name=f"skip{index}")
        sources.append((name, shape))
    return graph.build()


def synapses(rng: np.random.Generator, targets: int, sources: int, bits: int) -> Sparse | np.ndarray:
    """Ones, dense or sparse."""
    if rng.random() < 0.6:
        return ones(targets, sources)
    density = float(rng.uniform(0.01, 0.3))
    return Sparse.from_matrix((rng.random((targets, sources)) < density).astype(np.int8), bits)
