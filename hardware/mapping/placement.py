"""Cores onto the meshes of chips, so that messages travel little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.mapping.limits import Target

EAST_WEST, NORTH_SOUTH = 3, 4
"""Weights of a hop in the search: the published energies per hop, in picojoule."""

MOST_WORK = 2_000_000_000
"""Elements that the search touches at most, so that large networks end in time."""

MOST_SEARCHED = 2048
"""Cores above which they stay in order."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Where each core of a plan lies.

    Attributes:
        chip, tile, slot: int64 (cores,): chip, tile on it, place in the tile.
        x, y: int64 (cores,): the tile's place on the mesh, numbered along y first.
        chips, tiles: how many are in use, tiles of the chip with most.
    """

    chip: np.ndarray
    tile: np.ndarray
    slot: np.ndarray
    x: np.ndarray
    y: np.ndarray
    chips: int
    tiles: int


def in_order(target: Target, cores: int) -> Placement:
    """Core i at place i."""
    return _placement(target, np.arange(cores))


def place(target: Target, between: np.ndarray, entering: np.ndarray) -> Placement:
    """Local search: a core moves, or two change places, as long as that lowers messages times way.

    Args:
        between, entering: messages per step as of :func:`hardware.mapping.routes.traffic`; inputs come in at the first
            tile of the first chip.
    """
    cores = len(entering)
    if not 1 < cores <= MOST_SEARCHED:
        return in_order(target, cores)
    chips = -(-cores // target.number("cores_per_chip"))
    way = distances(target, chips * target.number("cores_per_chip"))
    weight = between + between.T
    np.fill_diagonal(weight, 0)
    at = np.arange(cores)
    holder = np.full(len(way), -1)
    holder[at] = at
    cost = weight @ way[at] + entering[:, None] * way[0][None]  # (cores, places)
    rounds = max(1, min(30, MOST_WORK // (cores * cores * len(way))))
    for _ in range(int(rounds)):
        moved = False
        for core in range(cores):
            moved |= _improve(core, at, holder, cost, weight, way)
        if not moved:
            break
    return _placement(target, at)


def _improve(
    core: int, at: np.ndarray, holder: np.ndarray, cost: np.ndarray, weight: np.ndarray, way: np.ndarray
) -> bool:
    """The best move or exchange of one core, in place; whether there was one."""
    here = at[core]
    gain = cost[core] - cost[core, here]
    taken = np.flatnonzero(holder >= 0)
    other = holder[taken]
    gain[taken] += cost[other, here] - cost[other, taken] + 2 * weight[core, other] * way[here, taken]
    gain[here] = 0
    there = int(gain.argmin())
    if gain[there] > -1e-9:
        return False
    partner = holder[there]
    for one, old, new in ((core, here, there), (partner, there, here)):
        if one >= 0:
            cost += weight[:, one, None] * (way[new] - way[old])[None]
            at[one] = new
    holder[there], holder[here] = core, partner
    return True


def distances(target: Target, places: int) -> np.ndarray:
    """float64 (places, places): weighted way between places; a step to another chip counts as crossing one."""
    made = _placement(target, np.arange(places))
    across = EAST_WEST * target.number("mesh_width") + NORTH_SOUTH * target.number("mesh_height")
    found = EAST_WEST * np.abs(made.x[:, None] - made.x) + NORTH_SOUTH * np.abs(made.y[:, None] - made.y)
    apart = np.abs(made.chip[:, None] - made.chip)
    result: np.ndarray = np.where(apart > 0, apart * across, found).astype(np.float64)
    return result


def hops(made: Placement, between: np.ndarray, entering: np.ndarray) -> tuple[float, float, float]:
    """Hops east-west and north-south per step, and messages per step between chips (their hops are not counted)."""
    same = made.chip[:, None] == made.chip
    dx, dy = np.abs(made.x[:, None] - made.x), np.abs(made.y[:, None] - made.y)
    first = made.chip == 0
    east = (between * dx * same).sum() + (entering * made.x * first).sum()
    north = (between * dy * same).sum() + (entering * made.y * first).sum()
    return float(east), float(north), float((between * ~same).sum() + (entering * ~first).sum())


def links(
    target: Target, made: Placement, between: np.ndarray, entering: np.ndarray, chip: int
) -> tuple[np.ndarray, np.ndarray]:
    """Messages per step over the links of one chip's mesh, each first along x, then along y; what goes to other chips
    is left out. All links together carry as much as :func:`hops` counts.

    Returns:
        float64 (2, width - 1, height) of the links from x to x + 1, and (2, width, height - 1) of those from y to
        y + 1; first those messages, then the ones that come back.
    """
    width, height = target.number("mesh_width"), target.number("mesh_height")
    here = np.flatnonzero(made.chip == chip)
    x, y, load = made.x[here], made.y[here], between[np.ix_(here, here)]
    if chip == 0:  # inputs come in at the first tile
        x, y = np.append(x, 0), np.append(y, 0)
        load = np.pad(load, (0, 1))
        load[-1, : len(here)] = entering[here]
    start, end = np.nonzero(load)
    amount = load[start, end]
    east = np.zeros((2, width + 1, height))
    south = np.zeros((2, width, height + 1))
    back = (x[end] < x[start]).astype(int)
    np.add.at(east, (back, np.minimum(x[start], x[end]), y[start]), amount)
    np.add.at(east, (back, np.maximum(x[start], x[end]), y[start]), -amount)
    back = (y[end] < y[start]).astype(int)
    np.add.at(south, (back, x[end], np.minimum(y[start], y[end])), amount)
    np.add.at(south, (back, x[end], np.maximum(y[start], y[end])), -amount)
    least = 1e-9 * float(amount.sum())  # what rounding leaves of sums and differences is no message
    found = east.cumsum(axis=1)[:, : width - 1], south.cumsum(axis=2)[:, :, : height - 1]
    return np.where(found[0] > least, found[0], 0.0), np.where(found[1] > least, found[1], 0.0)


def _placement(target: Target, at: np.ndarray) -> Placement:
    chip, place_ = np.divmod(at, target.number("cores_per_chip"))
    tile, slot = np.divmod(place_, target.number("cores_per_tile"))
    x, y = np.divmod(tile, target.number("mesh_height"))
    used = [len(set(tile[chip == one].tolist())) for one in set(chip.tolist())]
    return Placement(chip, tile, slot, x, y, len(used), max(used, default=0))
