"""Populations cut into slices, and slices put onto cores: as few cores as several ways of filling them find, or spread
over a given number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hardware.mapping.demand import Demand, Needs
from hardware.populations import Population


@dataclass(frozen=True, eq=False)
class Slice:
    """Neurons of one population on one core.

    Attributes:
        population: its name. neurons: int64 (n,). demand: what they need.
    """

    population: str
    neurons: np.ndarray
    demand: Demand


@dataclass(eq=False)
class Core:
    """Slices that share a core."""

    slices: list[Slice] = field(default_factory=list)
    demand: Demand = field(default_factory=Demand)

    def add(self, piece: Slice) -> None:
        self.slices.append(piece)
        self.demand = self.demand + piece.demand


Orders = dict[str, np.ndarray]
Fill = Callable[[Demand, int], int]


def layer_by_layer(needs: Needs, orders: Orders) -> list[Core]:
    """Every population in the fewest equal slices, each on a core of its own."""
    cores = []
    for population in _placeable(needs, orders):
        for piece in equal_slices(needs, population, orders[population.name]):
            cores.append(Core())
            cores[-1].add(piece)
    return cores


def merged(needs: Needs, orders: Orders) -> list[Core]:
    """Equal slices onto shared cores: first fit, largest first."""
    pieces = [piece for core in layer_by_layer(needs, orders) for piece in core.slices]
    pieces.sort(key=lambda piece: _fill(needs, piece.demand), reverse=True)
    cores: list[Core] = []
    for piece in pieces:
        home = next((core for core in cores if needs.fits(core.demand + piece.demand)), None)
        if home is None:
            home = Core()
            cores.append(home)
        home.add(piece)
    return cores


def filled(needs: Needs, orders: Orders, sequence: Sequence[Population], early: bool) -> list[Core]:
    """Cores filled to the brim, population after population.

    Args:
        sequence: populations in the order of filling.
        early: a population first takes what is free on cores in use, instead of its rest alone.
    """
    cores: list[Core] = []
    for population in sequence:
        order, start = orders[population.name], 0
        if early:
            start = _into_gaps(needs, population, order, 0, cores, whole=False)
        length = 64
        while start < len(order):
            stop = extend(needs, population, order, start, guess=length)
            length = stop - start
            if stop == len(order):  # the rest: into one gap, else over several, else onto a core of its own
                if _into_gaps(needs, population, order, start, cores, whole=True) == stop:
                    break
                trial = [Core(list(core.slices), core.demand) for core in cores]
                if _into_gaps(needs, population, order, start, trial, whole=False) == stop:
                    cores = trial
                    break
            cores.append(Core())
            cores[-1].add(placed(needs, population, order[start:stop]))
            start = stop
    return cores


def fewest(needs: Needs, orders: Orders, enough: int = 0) -> list[Core]:
    """The best of several ways; equal slices where they need no more cores.

    Args:
        enough: cores that no plan beats; with so few the search ends.
    """
    best = merged(needs, orders)
    placeable = _placeable(needs, orders)
    by_size = sorted(placeable, key=lambda item: _fill(needs, needs.of(item, orders[item.name])), reverse=True)
    by_axons = sorted(placeable, key=lambda item: needs.of(item, orders[item.name][:1]).input_axons, reverse=True)
    for sequence in (by_size, by_axons, placeable, placeable[::-1]):
        for early in (False, True):
            if len(best) <= enough:
                return best
            found = filled(needs, orders, sequence, early)
            if len(found) < len(best):
                best = found
    return best


def spread(needs: Needs, orders: Orders, cores: int, load: Callable[[Slice], float]) -> list[Core] | None:
    """So many cores, the fullest as empty as possible: step time follows the fullest.

    Args:
        cores: how many. load: time of a slice per step.

    Returns:
        None where the fewest cores are more than that.
    """
    plan = layer_by_layer(needs, orders)
    if len(plan) > cores:
        return _unmerged(fewest(needs, orders, cores), cores, load)
    counts = {item.name: 0 for item in _placeable(needs, orders)}
    heaviest = dict.fromkeys(counts, 0.0)
    for core in plan:
        name = core.slices[0].population
        counts[name] += 1
        heaviest[name] = max(heaviest[name], load(core.slices[0]))
    left, stuck = cores - len(plan), set[str]()
    while left and len(stuck) < len(counts):
        name = max((one for one in counts if one not in stuck), key=lambda one: heaviest[one])
        population = needs.program.population(name)
        if counts[name] >= population.size:
            stuck.add(name)
            continue
        pieces = _equal(needs, population, orders[name], counts[name] + 1)
        if not all(needs.fits(piece.demand) for piece in pieces):  # indices of sparse lists may not get cheaper
            stuck.add(name)
            continue
        counts[name], left = counts[name] + 1, left - 1
        heaviest[name] = max(load(piece) for piece in pieces)
    result = []
    for name, count in counts.items():
        for piece in _equal(needs, needs.program.population(name), orders[name], count):
            result.append(Core())
            result[-1].add(piece)
    return result


def _unmerged(plan: list[Core], cores: int, load: Callable[[Slice], float]) -> list[Core] | None:
    if len(plan) > cores:
        return None
    while len(plan) < cores:
        shared = [core for core in plan if len(core.slices) > 1]
        if not shared:
            break
        fullest = max(shared, key=lambda core: sum(map(load, core.slices)))
        moved = min(fullest.slices, key=load)
        plan.remove(fullest)
        for part in ([piece for piece in fullest.slices if piece is not moved], [moved]):
            plan.append(Core())
            for piece in part:
                plan[-1].add(piece)
    return plan


def counted_again(needs: Needs, core: Core) -> Core:
    """The same slices, their demands as :class:`Needs` tells them now."""
    result = Core()
    for piece in core.slices:
        result.add(placed(needs, needs.program.population(piece.population), piece.neurons))
    return result


def equal_slices(needs: Needs, population: Population, order: np.ndarray) -> list[Slice]:
    """The fewest equal slices that fit, or a few more where they are many."""
    count = len(cuts(needs, population, order))
    while count < len(order):
        pieces = []
        for part in np.array_split(order, count):
            pieces.append(placed(needs, population, part))
            if not needs.fits(pieces[-1].demand):
                break
        else:
            return pieces
        count += 1 + count // 50
    return _equal(needs, population, order, len(order))


def cuts(needs: Needs, population: Population, order: np.ndarray) -> list[int]:
    """Ends of slices that are each filled to the brim."""
    ends, start, length = [], 0, 64
    while start < len(order):
        stop = extend(needs, population, order, start, guess=length)
        ends.append(stop)
        start, length = stop, stop - start
    return ends


def extend(
    needs: Needs, population: Population, order: np.ndarray, start: int, base: Demand | None = None, guess: int = 64
) -> int:
    """End of the longest slice from ``start`` that fits beside ``base``.

    Args:
        guess: how long it may be; a good guess saves time.
    """
    taken = base or Demand()

    def fits(stop: int) -> bool:
        return needs.fits(taken + needs.of(population, order[start:stop]))

    low, high, width = start, len(order), max(1, guess // 16)
    middle = min(high, start + guess)
    if fits(middle):
        low = middle
        while low < high:
            middle = min(high, low + width)
            if not fits(middle):
                high = middle - 1
                break
            low, width = middle, 2 * width
    else:
        high = middle - 1
        while low < high:
            middle = max(low + 1, high - width)
            if fits(middle):
                low = middle
                break
            high, width = middle - 1, 2 * width
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _into_gaps(
    needs: Needs, population: Population, order: np.ndarray, start: int, cores: list[Core], whole: bool
) -> int:
    """Put neurons from ``start`` on into cores in use, the emptiest first; end of what found a place.

    Args:
        whole: all of them on one core or none, the fullest that has room.
    """
    by_fill = sorted(cores, key=lambda core: _fill(needs, core.demand), reverse=whole)
    if not whole:
        return into_cores(needs, population, order, start, by_fill)
    piece = placed(needs, population, order[start:])
    for core in by_fill:
        mine = any(other.population == population.name for other in core.slices)
        if not mine and needs.fits(core.demand + piece.demand):
            core.add(piece)
            return len(order)
    return start


def into_cores(needs: Needs, population: Population, order: np.ndarray, start: int, cores: Sequence[Core]) -> int:
    """Put neurons from ``start`` on into what is free on cores, the first ones first; end of what found a place."""
    for core in cores:
        if start == len(order):
            break
        if any(piece.population == population.name for piece in core.slices):
            continue
        stop = extend(needs, population, order, start, core.demand)
        if stop > start:
            core.add(placed(needs, population, order[start:stop]))
            start = stop
    return start


def _fill(needs: Needs, demand: Demand) -> float:
    """The scarcest resource that is taken, as a fraction of its limit."""
    shares = [0.0]
    for name, amount in demand.amounts().items():
        most = needs.target.most(name)
        if most:
            shares.append(amount / most)
    return max(shares)


def placed(needs: Needs, population: Population, neurons: np.ndarray) -> Slice:
    """These neurons, and what they need."""
    return Slice(population.name, neurons, needs.of(population, neurons))


def _equal(needs: Needs, population: Population, order: np.ndarray, count: int) -> list[Slice]:
    return [placed(needs, population, part) for part in np.array_split(order, count)]


def _placeable(needs: Needs, orders: Orders) -> list[Population]:
    return [item for item in needs.program.populations if item.name in orders]
