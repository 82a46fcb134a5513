"""Mutated NIR files: each is refused in one line, or read as what it says.

    python -m tests.mutated_nir [--count 5000] [--seed 0]

The files hold random graphs of every kind of node. A mutation changes what stands in the file (a value, a shape, a
type, an edge, a name, a field), or its bytes. What is read is run and compared with a plain interpreter of NIR
(:mod:`tests.nir_graphs`) that reads the same file with nothing of the product. Exit code 1 on another exception than
the product's own, an answer of several lines, a mutation that takes too long, or another output.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

import h5py
import nir
import numpy as np

from export import discretise, read, write
from export.errors import ExportError
from export.interchange import float_engine
from export.interchange.checks import check_graph
from export.interchange.discretise import Reading
from hardware.errors import HardwareError
from tests.mutated_files import MOST_MEMORY_BYTES, MOST_SECONDS, mutate
from tests.nir_graphs import DT, Case, Interpreter, random_case

TOLERANCE = 1e-7
"""Relative; float32 parameters are multiplied in another order."""

POOL = 60
"""Graphs that are mutated in turn."""

_NUMBERS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-300, 1e9, 0.5, 2.0)


def change(path: Path, draw: random.Random) -> str:
    """One change of what the file says; returns it in words."""
    with h5py.File(path, "r+") as file:
        nodes = file["node/nodes"]
        name = draw.choice(list(nodes))
        node = nodes[name]
        fields = [key for key in node if isinstance(node[key], h5py.Dataset) and key != "type"]
        how = draw.choice(
            ("value", "value", "value", "shape", "dtype", "field", "edge", "edge", "node", "type", "metadata")
        )
        if how in ("value", "shape", "dtype", "field") and fields:
            key = draw.choice(fields)
            return f"{name}.{key}: {how} {_CHANGES[how](node, key, draw)}"
        if how == "edge":
            return f"edges: {_edge(file['node'], draw)}"
        if how == "node":
            file.move(f"node/nodes/{name}", f"node/nodes/{draw.choice(('x', 'a.b', name + '_', 'ü'))}")
            return f"{name} renamed"
        if how == "type":
            del node["type"]
            node["type"] = draw.choice(("LIF", "LI", "Linear", "Affine", "Input", "Output", "Nothing", "", "NIRGraph"))
            return f"{name} became {node['type'][()]!r}"
        group = file["node"].require_group("metadata")
        key = draw.choice(("dt", "scheme", "order", "input_low", "decision_rule", "format", "recurrence"))
        if key in group:
            del group[key]
        group[key] = draw.choice((1e-3, -1.0, "x", np.array([1.0, 2.0]), "previous_step", "n1,n0"))
        return f"metadata {key}"


def _value(node: h5py.Group, key: str, draw: random.Random) -> str:
    values = node[key][()]
    flat = np.array(values).reshape(-1)
    if flat.size == 0 or flat.dtype.kind not in "fiu":
        return "left"
    at, number = draw.randrange(flat.size), draw.choice(_NUMBERS)
    with np.errstate(all="ignore"):
        flat[at] = np.array(number).astype(flat.dtype) if draw.random() < 0.5 else flat[at] * draw.choice((-1, 2, 0.5))
    _put(node, key, flat.reshape(np.shape(values)))
    return str(flat[at])


def _shape(node: h5py.Group, key: str, draw: random.Random) -> str:
    values = np.array(node[key][()])
    choices = [values.reshape(-1), values[None], values.reshape(-1)[:1], values.reshape(-1)[:0], values.T]
    choices += [np.concatenate([values.reshape(-1)] * 2), values[..., None]]
    if values.ndim:
        choices.append(values[1:])
    changed = draw.choice(choices)
    _put(node, key, changed)
    return str(changed.shape)


def _dtype(node: h5py.Group, key: str, draw: random.Random) -> str:
    values = np.array(node[key][()])
    if values.dtype.kind not in "fiu":
        return "left"
    kind = draw.choice((np.float16, np.float64, np.int32, np.uint8, np.complex64, np.bool_, "S4"))
    with np.errstate(all="ignore"):
        _put(node, key, values.astype(kind))
    return str(kind)


def _field(node: h5py.Group, key: str, draw: random.Random) -> str:
    if draw.random() < 0.5:
        del node[key]
        return "gone"
    node["more"] = np.ones(3)
    return "one more"


_CHANGES = {"value": _value, "shape": _shape, "dtype": _dtype, "field": _field}


def _edge(graph: h5py.Group, draw: random.Random) -> str:
    edges = [tuple(part.decode() for part in edge) for edge in graph["edges"][()]]
    names, how = list(graph["nodes"]), draw.randrange(5)
    if how == 0:
        edges.remove(draw.choice(edges))
    elif how == 1:
        edges.append(draw.choice(edges))
    elif how == 2:
        edges.append((draw.choice(names), draw.choice(names)))
    elif how == 3:
        edges.append((draw.choice(names), "nowhere"))
    else:
        draw.shuffle(edges)
    del graph["edges"]
    graph.create_dataset("edges", data=np.array(edges, dtype=object), dtype=h5py.string_dtype())
    return ("one less", "one twice", "one more", "one to nowhere", "another order")[how]


def _put(node: h5py.Group, key: str, values: np.ndarray) -> None:
    del node[key]
    node[key] = values


def judge(path: Path, case: Case) -> tuple[str, str]:
    """``refused``, ``right``, ``wrong`` or ``unjudged`` (the interpreter cannot run it), and the words for it."""
    try:
        network = discretise(read(path), Reading(dt=DT, scheme="euler", reset="zero", order=tuple(case.order)))
        inputs = {item.name: case.inputs[item.name] for item in network.inputs if item.name in case.inputs}
        if len(case.inputs) == 1 and not inputs:
            inputs = {network.inputs[0].name: next(iter(case.inputs.values()))}
        with np.errstate(all="ignore"):
            trace = float_engine.run(network, inputs if len(network.inputs) > 1 else next(iter(inputs.values())), "all")
    except (ExportError, HardwareError) as error:
        lines = len(str(error).splitlines())
        return ("refused", str(error)) if lines == 1 else ("wrong", f"an answer of {lines} lines: {str(error)[:200]!r}")
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = Interpreter(Case(_wide(nir.read(path, type_check=False)), case.order, case.inputs)).run()
    except (
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:  # shapes that the product takes as they are meant, and numpy or torch do not
        return "unjudged", str(error)
    for population in network.populations:
        wanted = plain.get(population.name)
        if wanted is None:
            continue
        found = trace.spikes[population.name] if population.spiking else trace.states[f"u/{population.name}"]
        wanted = wanted.reshape(wanted.shape[0], wanted.shape[1], -1)
        if found.shape != wanted.shape or np.abs(found - wanted).max() > TOLERANCE * max(1.0, np.abs(wanted).max()):
            return "wrong", f"{population.name} differs"
    return "right", ""


def _wide(graph: nir.NIRGraph) -> nir.NIRGraph:
    """Parameters in float64: the interpreter computes in the types that it is given."""
    for node in graph.nodes.values():
        for key, value in vars(node).items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                setattr(node, key, value.astype(np.float64))
    return graph


class _TooLong(BaseException):
    pass


def _alarm(*_: object) -> None:
    raise _TooLong


def _good(seed: int) -> list[Case]:
    """Graphs whose files say every shape as it is."""
    found: list[Case] = []
    for index in range(1000):
        case = random_case(seed * 1000 + index, steps=12)
        try:
            check_graph(case.graph)
        except ExportError:
            continue
        found.append(case)
        if len(found) == POOL:
            break
    return found


def run(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """What became of the mutations, and those that went wrong."""
    totals: Counter[str] = Counter()
    wrong: list[str] = []
    pool = _good(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.nir"
        for index in range(count):
            draw = random.Random(f"{seed} {index}")
            case = pool[index % len(pool)]
            write(case.graph, path)
            if draw.random() < 0.75:
                words = change(path, draw)
            else:
                path.write_bytes(mutate(path.read_bytes(), draw))
                words = "bytes"
            signal.alarm(MOST_SECONDS)
            try:
                verdict, detail = judge(path, case)
            except _TooLong:
                verdict, detail = "wrong", f"took more than {MOST_SECONDS} s"
            except Exception:
                verdict, detail = "wrong", traceback.format_exc(limit=-3)
            finally:
                signal.alarm(0)
            totals[verdict] += 1
            if verdict == "wrong":
                wrong.append(f"seed {seed}, mutation {index} ({words}): {detail}")
    return totals, wrong


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGALRM, _alarm)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    totals, wrong = run(options.count, options.seed)
    for line in wrong[:10]:
        print(line)
    print(json.dumps(dict(totals)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
