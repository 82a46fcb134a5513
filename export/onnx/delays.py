"""Delays in a graph: the last steps of a source as a tensor ``history/<source>`` (D, B, N), oldest first, that a step
takes from the step before and hands on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from export.onnx.builder import GraphBuilder, Value

HISTORY = "history/"


def input_tensor(name: str, count: int) -> str:
    """ONNX name of an input: ``x``, or ``x/<name>`` where there are several."""
    return "x" if count == 1 else f"x/{name}"


def longest_delays(projections: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Source -> its longest delay, where that is not 0, from (source, delay) of every projection."""
    longest: dict[str, int] = {}
    for source, delay in projections:
        if delay:
            longest[source] = max(delay, longest.get(source, 0))
    return longest


def history_tensors(history: Mapping[str, int], trace: Iterable[str]) -> dict[str, int]:
    """Sources whose last steps are a tensor of the graph -> number of steps; a single last step of a population is its
    spikes, which are among ``trace``."""
    names = set(trace)
    return {name: steps for name, steps in history.items() if steps > 1 or f"spikes/{name}" not in names}


def delayed(
    graph: GraphBuilder, previous: Mapping[str, Value], history: Mapping[str, int], source: str, delay: int
) -> Value:
    """What the source had ``delay`` steps ago, 1 or more.

    Args:
        previous: of the step before, by name. history: source -> its longest delay.
    """
    if delay == 1 and f"spikes/{source}" in previous:
        return previous[f"spikes/{source}"]
    return graph.node("Gather", previous[HISTORY + source], graph.index(history[source] - delay), axis=0)


def moved_on(
    graph: GraphBuilder, previous: Mapping[str, Value], history: Mapping[str, int], values: Mapping[str, Value]
) -> dict[str, Value]:
    """Every history without its oldest step, with the newest.

    Args:
        values: source -> its values of this step.
    """
    found = {}
    for name, before in previous.items():
        if not name.startswith(HISTORY):
            continue
        source = name.removeprefix(HISTORY)
        axis = graph.constant("int64_axis_0", np.array([0], np.int64))
        newest = graph.node("Unsqueeze", values[source], axis)
        if history[source] > 1:
            first, end = (graph.constant(f"int64_vector_{n}", np.array([n], np.int64)) for n in (1, history[source]))
            newest = graph.node("Concat", graph.node("Slice", before, first, end, axis), newest, axis=0)
        found[name] = newest
    return found
