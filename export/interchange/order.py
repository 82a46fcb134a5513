"""In which order populations are evaluated within a step, and which edges of a cycle get a delay.

NIR gives the edges of a cycle no delay. Breadth first from the inputs, an edge that leads back to the same or an
earlier population gets one step. Where two populations of a cycle are equally far from the inputs and hear each other,
either may come first: the user is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from export.errors import ExportError, UnsupportedError

Edge = tuple[str, str]


def components(names: Sequence[str], heard: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other, sources before those that hear them (Tarjan).

    Args:
        names: nodes, whose order breaks ties. heard: node -> nodes that it hears.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    place = {name: i for i, name in enumerate(names)}
    for root in names:
        work = [(root, iter(sorted(heard[root], key=place.__getitem__)))] if root not in index else []
        while work:
            node, rest = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
            following = next(rest, None)
            if following is not None:
                if following not in index:
                    work.append((following, iter(sorted(heard[following], key=place.__getitem__))))
                elif following in stack:
                    low[node] = min(low[node], index[following])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == index[node]:
                cut = stack.index(node)
                found.append(sorted(stack[cut:], key=place.__getitem__))
                del stack[cut:]
    return found


def levels(inputs: Iterable[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Breadth first: how many edges each node is away from the nearest input; what none reaches is left out."""
    following: dict[str, list[str]] = {}
    for a, b in edges:
        following.setdefault(a, []).append(b)
    level = dict.fromkeys(inputs, 0)
    queue = list(level)
    for node in queue:
        for target in following.get(node, ()):
            if target not in level:
                level[target] = level[node] + 1
                queue.append(target)
    return level


def evaluation_order(
    names: Sequence[str], edges: Sequence[Edge], level: Mapping[str, int], asked: Sequence[str] = ()
) -> tuple[list[str], set[Edge]]:
    """Order of populations, and the edges that lead back and get a delay of one step.

    Args:
        names: populations; their order breaks ties between those that do not hear each other.
        edges: (source, target) between populations that no delay keeps apart.
        level: distance from the inputs.
        asked: names in the order that the user gave, or the file records.

    Raises:
        UnsupportedError: two orders are possible and ``asked`` does not decide.
        ExportError: ``asked`` names what does not exist, or puts a population before one that it hears outside a cycle.
    """
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise ExportError(f"order: '{unknown[0]}' is no neuron of this graph; neurons are {', '.join(names)}")
    heard = {name: [a for a, b in edges if b == name] for name in names}
    group = {name: i for i, names_ in enumerate(components(names, heard)) for name in names_}
    given = {name: i for i, name in enumerate(asked)}
    back: set[Edge] = set()
    for a, b in edges:
        if a == b:
            back.add((a, b))
        elif group[a] == group[b]:
            if _leads_back(a, b, level, given):
                back.add((a, b))
        elif a in given and b in given and given[a] > given[b]:
            raise ExportError(
                f"order: '{b}' stands before '{a}', which it hears without feedback; a step of delay there needs a "
                "Delay node"
            )
    kept = [edge for edge in edges if edge not in back]
    return _topological(names, kept, {name: (given.get(name, len(given)), level[name]) for name in names}), back


def _leads_back(a: str, b: str, level: Mapping[str, int], given: Mapping[str, int]) -> bool:
    """Whether an edge inside a cycle goes to an earlier population."""
    if a in given and b in given:
        return given[a] > given[b]
    if level[a] == level[b]:
        a, b = sorted((a, b))
        raise UnsupportedError(
            f"neurons '{a}' and '{b}' are in one cycle and equally far from the input, so either may come first in a "
            f"step, and the edge back gets the delay; say which (--order {a},{b} or --order {b},{a})"
        )
    return level[a] > level[b]


def _topological(names: Sequence[str], edges: Sequence[Edge], rank: Mapping[str, tuple[int, int]]) -> list[str]:
    """Sources before targets; among the free ones the lowest rank, then the first name, is next."""
    place = {name: i for i, name in enumerate(names)}
    waiting = {name: {a for a, b in edges if b == name} for name in names}
    order: list[str] = []
    while waiting:
        free = [name for name, sources in waiting.items() if not sources]
        if not free:  # only an order that names some members of a cycle can leave one
            listed = ", ".join(waiting)
            raise UnsupportedError(
                f"neurons {listed} are in one cycle and their order is not decided; name all of them (--order)"
            )
        chosen = min(free, key=lambda name: (rank[name], place[name]))
        order.append(chosen)
        del waiting[chosen]
        for sources in waiting.values():
            sources.discard(chosen)
    return order
