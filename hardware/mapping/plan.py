"""A plan: which neurons of a program lie on which core of which chip, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hardware.errors import HardwareError
from hardware.mapping import partition, placement, routes
from hardware.mapping.activity import Activity
from hardware.mapping.bounds import core_bound, message_bound, stronger_bound
from hardware.mapping.demand import Needs
from hardware.mapping.limits import Limit, Target
from hardware.mapping.orders import best_orders
from hardware.mapping.partition import Core, Orders
from hardware.mapping.parts import blocks, whole
from hardware.mapping.patterns import Packing
from hardware.mapping.placement import Placement
from hardware.mapping.violations import FIXES, Violation, all_violations, blocked, too_many_cores
from hardware.program import Program

WAYS = ("fewest", "merged", "layers")
ASSUMED_RATE = 0.1
ASSUMED_STEPS = 100
_TRIES, _FREE_TRIES = 30, 7  # of plans with output axons
_LARGEST, _MOST_PARTS = 20_000, 40  # neurons and parts that are packed by patterns


@dataclass(frozen=True, eq=False)
class Plan:
    """Cores of a network on a target.

    Attributes:
        target, needs: what was planned for, and the demands it was planned with.
        cores: no core exceeds a limit, also where the network as a whole does not fit.
        layer_by_layer, merged: cores of the two plainer ways, for comparison; 0 where something cannot be placed.
        bounds: limit -> cores that it asks for at least. violations: all that does not fit.
        placed: where the cores lie. activity: what they were placed for.
        between, entering: messages per step from core to core, and from inputs to each core.
        hops, hops_in_order: (east-west, north-south, between chips) per step, as placed and in order.
        least_messages: messages per step that every plan sends.
    """

    target: Target
    needs: Needs
    cores: tuple[Core, ...]
    layer_by_layer: int
    merged: int
    bounds: Mapping[str, int]
    violations: tuple[Violation, ...]
    placed: Placement
    activity: Activity
    between: np.ndarray = field(repr=False)
    entering: np.ndarray = field(repr=False)
    hops: tuple[float, float, float]
    hops_in_order: tuple[float, float, float]
    least_messages: float

    @property
    def bound(self) -> int:
        """Cores that every plan needs at least."""
        return max(self.bounds.values())

    @property
    def fits(self) -> bool:
        return not self.violations

    @property
    def messages(self) -> float:
        """Messages per step."""
        return float(self.between.sum() + self.entering.sum())


def make_plan(
    program: Program,
    target: Target,
    activity: Activity | None = None,
    *,
    cores: int | None = None,
    chips: int | None = None,
    way: str = "fewest",
) -> Plan:
    """Partition and place a network.

    Args:
        program: the network. target: the chip.
        activity: what it is placed for; an assumed rate by default.
        cores: spread over so many; None: as few as are found.
        chips: chips there are, the target's largest system by default.
        way: without ``cores``: ``fewest``; ``merged``: equal slices that share cores; ``layers``: equal slices, one per
            core.

    Raises:
        HardwareError: an unknown way, or numbers below 1.
    """
    if way not in WAYS:
        raise HardwareError(f"unknown way '{way}' to partition; ways are {', '.join(WAYS)}")
    for name, number in (("cores", cores), ("chips", chips)):
        if number is not None and number < 1:
            raise HardwareError(f"{name} must be 1 or more, got {number}")
    needs = Needs(program, target)
    activity = activity or Activity.uniform(program, ASSUMED_RATE, ASSUMED_STEPS)
    found = all_violations(needs)
    stuck = blocked(needs, found)
    names = [item.name for item in program.populations if item.name not in stuck]
    orders = best_orders(needs, names)
    bounds = core_bound(needs, names)
    chosen, problem = _settled(needs, orders, cores, way, activity, max(bounds.values()))
    if chosen and cores is None and way == "fewest":
        bounds = stronger_bound(needs, names, bounds, len(chosen))
    plain_ways = (0, 0)
    if not stuck and not problem:
        plain_ways = len(partition.layer_by_layer(needs, orders)), len(partition.merged(needs, orders))
    found += problem + _room(needs, len(chosen), cores, chips)
    between, entering = routes.traffic(needs, chosen, activity)
    placed = placement.place(target, between, entering)
    plain = placement.in_order(target, len(chosen))
    rates = {name: float(activity.rate(name, size).sum()) for name, size in program.sizes.items()}
    return Plan(
        target,
        needs,
        tuple(chosen),
        *plain_ways,
        bounds,
        tuple(found),
        placed,
        activity,
        between,
        entering,
        placement.hops(placed, between, entering),
        placement.hops(plain, between, entering),
        message_bound(needs, rates, names),
    )


def with_activity(plan: Plan, activity: Activity) -> Plan:
    """The same cores in the same places, their traffic of another activity.

    Args:
        plan: of :func:`make_plan`. activity: of the same program.
    """
    between, entering = routes.traffic(plan.needs, plan.cores, activity)
    in_order = placement.in_order(plan.target, len(plan.cores))
    rates = {name: float(activity.rate(name, size).sum()) for name, size in plan.needs.program.sizes.items()}
    return replace(
        plan,
        activity=activity,
        between=between,
        entering=entering,
        hops=placement.hops(plan.placed, between, entering),
        hops_in_order=placement.hops(in_order, between, entering),
        least_messages=message_bound(plan.needs, rates, {one.population for core in plan.cores for one in core.slices}),
    )


def _settled(
    needs: Needs, orders: Orders, cores: int | None, way: str, activity: Activity, bound: int
) -> tuple[list[Core], list[Violation]]:
    """The plan, and what stands against it."""
    first = _planner(needs, orders, cores, way, activity, bound)
    best, worst = _with_output_axons(needs, first, None)
    if cores is None and way == "fewest":
        for make in _packings(needs, orders, bound):
            if best is not None and len(best) <= bound:
                break
            other, _ = _with_output_axons(needs, make, best)
            best = other or best
    if best is not None:
        _tell(needs, best)
        return [partition.counted_again(needs, core) for core in best], []
    limit = needs.target.limits["output_axons_per_core"]
    where, most = "the fullest core of the best plan", needs.target.most("output_axons_per_core") or 0
    return [], [
        Violation(limit.name, where, most, worst, limit.unit, limit.source, limit.confidence, FIXES[limit.name])
    ]


def _with_output_axons(
    needs: Needs, make: Callable[[], list[Core]], best: list[Core] | None
) -> tuple[list[Core] | None, int]:
    """The plan, made again with what its neurons were seen to send until output axons suffice: how many cores a neuron
    sends to is known only when its targets lie on cores. None where that does not happen, or with no fewer cores than
    ``best``; and the most output axons of a core.
    """
    most = needs.target.most("output_axons_per_core")
    for name in needs.sent:
        needs.sent[name] = np.zeros_like(needs.sent[name])
    worst = 0
    for attempt in range(_TRIES):
        chosen = make()
        if best is not None and len(chosen) >= len(best):
            break
        before = dict(needs.sent)
        worst = _tell(needs, chosen)
        if most is None or worst <= most:
            return chosen, worst
        if attempt >= _FREE_TRIES:  # it goes in circles
            for name, sent in before.items():
                needs.sent[name] = np.maximum(sent, needs.sent[name])
        if any((sent > most).any() for sent in needs.sent.values()):
            break
    return None, worst


def _tell(needs: Needs, cores: list[Core]) -> int:
    """Needs know from now on what neurons send on these cores; the most output axons of a core."""
    sent = routes.destinations(needs, cores)
    for name in needs.sent:
        needs.sent[name] = sent[name]
    return int(routes.output_axons(cores, sent).max(initial=0))


def _packings(needs: Needs, orders: Orders, bound: int) -> Iterator[Callable[[], list[Core]]]:
    """Ways to fill cores by patterns, for networks that are not too large for it."""
    if not orders or sum(len(order) for order in orders.values()) > _LARGEST:
        return
    tried = []
    for parts in (whole(needs, orders), blocks(needs, orders, even=False), blocks(needs, orders, even=True)):
        cut = [part.order.tolist() for part in parts]
        if cut not in tried and len(parts) <= _MOST_PARTS:
            tried.append(cut)
            yield Packing(needs, parts, bound).plan


def _planner(
    needs: Needs, orders: Orders, cores: int | None, way: str, activity: Activity, bound: int
) -> Callable[[], list[Core]]:
    if cores is None:
        plain = {"layers": partition.layer_by_layer, "merged": partition.merged}
        if way in plain:
            return lambda: plain[way](needs, orders)
        return lambda: partition.fewest(needs, orders, bound)
    rates = {name: activity.rate(name, size) for name, size in needs.program.sizes.items()}

    def load(piece: partition.Slice) -> float:
        """Synaptic operations, and a neuron's update for one and a half of them."""
        found = 1.5 * len(piece.neurons)
        for wiring in needs.into[piece.population]:
            found += float(rates[wiring.projection.source] @ wiring.counts(piece.neurons))
        return found

    return lambda: partition.spread(needs, orders, cores, load) or partition.fewest(needs, orders, bound)


def _room(needs: Needs, used: int, cores: int | None, chips: int | None) -> list[Violation]:
    found = []
    if cores is not None and used > cores:
        asked = Limit("cores_per_chip", cores, "asked for with cores", "user")
        found.append(too_many_cores(needs, used, cores, asked))
    per_chip, limit = needs.target.number("cores_per_chip"), needs.target.limits["chips"]
    if chips is not None:
        limit = replace(limit, value=chips, source="asked for with chips", confidence="user")
    if used > per_chip * int(limit.value or 0):
        found.append(too_many_cores(needs, used, per_chip * int(limit.value or 0), limit))
    return found


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as plain data (JSON-able): cores, use of every limit, places, violations, bounds, assumptions."""
    cores = []
    for index, core in enumerate(plan.cores):
        place = {name: int(getattr(plan.placed, name)[index]) for name in ("chip", "tile", "slot", "x", "y")}
        slices = [{"population": one.population, "neurons": _ranges(one.neurons)} for one in core.slices]
        cores.append({**place, "slices": slices, "use": core.demand.amounts()})
    limits = {
        name: {"value": one.value, "unit": one.unit, "source": one.source, "confidence": one.confidence}
        for name, one in plan.target.limits.items()
    }
    return {
        "target": {"name": plan.target.name, "title": plan.target.title, "limits": limits},
        "fits": plan.fits,
        "violations": [{**vars(one), "text": str(one)} for one in plan.violations],
        "cores_used": len(plan.cores),
        "chips_used": plan.placed.chips,
        "tiles_used": plan.placed.tiles,
        "bound": plan.bound,
        "bounds": dict(plan.bounds),
        "layer_by_layer": plan.layer_by_layer,
        "merged": plan.merged,
        "cores": cores,
        "activity": plan.activity.origin,
        "messages_per_step": plan.messages,
        "least_messages_per_step": plan.least_messages,
        "hops_per_step": dict(zip(("east_west", "north_south", "between_chips"), plan.hops, strict=True)),
        "hops_per_step_in_order": dict(
            zip(("east_west", "north_south", "between_chips"), plan.hops_in_order, strict=True)
        ),
        "assumptions": assumptions(plan),
    }


def assumptions(plan: Plan) -> list[str]:
    """Sentences for people: limits of confidence D or set by the user, and what the planner itself assumes."""
    limits = [
        f"{one.name} = {'none' if one.value is None else one.value} ({one.confidence}): {one.source}"
        for one in plan.target.assumptions()
    ]
    return limits + planners_assumptions(plan)


def planners_assumptions(plan: Plan) -> list[str]:
    """Sentences for people: what holds for every plan of this network, whatever the limits."""
    found = ["inputs enter at the first tile of the first chip; bringing them there is not counted (D)"]
    if plan.activity.samples == 0:
        found.append(f"activity {plan.activity.origin} (D)")
    if any(wiring.kind == "sparse" for wiring in plan.needs.wirings.values()):
        found.append("a sparse projection is stored in one format on all cores, the cheaper of dense and sparse (D)")
    return found


def _ranges(neurons: np.ndarray) -> list[list[int]]:
    """Sorted numbers as [first, last] pairs."""
    numbers = np.sort(neurons)
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    return [[int(part[0]), int(part[-1])] for part in np.split(numbers, cuts)]
