"""A plan and recorded spikes as SANA-FE's own two files: an architecture, and a mapped network that replays the spikes.

Every neuron becomes a unit of SANA-FE's model ``input`` that fires exactly as recorded and carries the energies of a
neuron; every weight is 0, and charged all the same. Input channels sit in cores of their own on the first tile, which
cost nothing but the messages they send.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hardware.mapping import Energy, Plan, Time

MOST_NEURONS = 1024
"""More neurons on a core end SANA-FE 2.2.9 with an uncaught exception."""

KINDS = ("dense", "sparse", "convolution")


def architecture(plan: Plan, energy: Energy, time: Time, hosts: list[int]) -> str:
    """The architecture file: tiles in use, each with its cores in the order of their places.

    Args:
        energy, time: of events. hosts: input channels on each of the cores that stand in for the host.
    """
    target = plan.target
    barrier = ", ".join(f"{tiles:g}: {ns}e-9" for tiles, ns in time.barrier)
    lines = [
        "architecture:",
        f"  name: {_word(target.name)}",
        "  attributes:",
        "    topology: mesh",
        f"    width: {target.number('mesh_width')}",
        f"    height: {target.number('mesh_height')}",
        "    link_buffer_size: 16",
        "    sync_model: table",
        f"    latency_sync: {{{barrier}}}",
        "  tile:",
    ]
    sides = (("north", energy.hop_y, 6.5), ("east", energy.hop_x, 4.1), ("south", energy.hop_y, 6.5))
    hops = ", ".join(
        f"energy_{side}_hop: {pj}e-12, latency_{side}_hop: {ns}e-9"
        for side, pj, ns in (*sides, ("west", *sides[1][1:]))
    )
    for tile in range(int(plan.placed.tile.max()) + 1):
        lines += [f"    - name: tile{tile}", f"      attributes: {{{hops}}}", "      core:"]
        here = [index for index in _in_order(plan) if plan.placed.tile[index] == tile]
        for index in here:
            lines += _core(f"core{index}", plan.cores[index].demand.neurons, energy, time)
        if tile == 0:
            for number, channels in enumerate(hosts):
                lines += _host(f"host{number}", channels, energy)
        if not here and tile:
            lines += _host("idle", 1, energy)
    return "\n".join(lines) + "\n"


def network(plan: Plan, rows: dict[str, np.ndarray]) -> tuple[str, list[int]]:
    """The network file, and input channels on each host core.

    Args:
        rows: input or population -> (R, N), 0 or 1: what each sends at each step.
    """
    at, groups, maps = _places(plan), [], []
    homes: dict[str, list[tuple[str, np.ndarray]]] = {item.name: [] for item in plan.needs.program.populations}
    kinds = _kinds(plan)
    for index, core in enumerate(plan.cores):
        unit = 0
        for number, piece in enumerate(core.slices):
            name = f"c{index}s{number}"
            homes[piece.population].append((name, piece.neurons))
            groups += _group(name, rows.get(piece.population), piece.neurons, kinds[piece.population])
            maps += [
                f'  - {name}.{i}: [core: {at[index]}, soma: "unit[{unit + i}]"]' for i in range(len(piece.neurons))
            ]
            unit += len(piece.neurons)
    hosts: list[int] = []
    first = int((plan.placed.tile == 0).sum())
    for item in plan.needs.program.inputs:
        homes[item.name] = []
        for start in range(0, item.size, MOST_NEURONS):
            channels = np.arange(start, min(item.size, start + MOST_NEURONS))
            name = f"h{len(hosts)}"
            homes[item.name].append((name, channels))
            groups += _group(name, rows.get(item.name), channels, KINDS[0])
            place = f"0.{first + len(hosts)}"
            maps += [f'  - {name}.{i}: [core: {place}, soma: "unit[{i}]"]' for i in range(len(channels))]
            hosts.append(len(channels))
    edges = [line for projection in plan.needs.program.projections for line in _edges(plan, projection.name, homes)]
    parts = ["network:", "  name: replay", "  groups:", *groups, "  edges:", *edges, "mappings:", *maps]
    return "\n".join(parts) + "\n", hosts


def _edges(plan: Plan, name: str, homes: dict[str, list[tuple[str, np.ndarray]]]) -> Iterator[str]:
    wiring = plan.needs.wirings[name]
    projection = wiring.projection
    if projection.synapses.kind == "dense":
        for source, ours in homes[projection.source]:
            for target, theirs in homes[projection.target]:
                zeros = ",".join("0" * (len(ours) * len(theirs)))
                yield f"    - {source} -> {target}: [type: dense, weight: [{zeros}]]"
        return
    targets, sources = wiring.pairs()
    names = {}
    for place in (projection.source, projection.target):
        words = np.empty(plan.needs.program.sizes[place], object)
        for group, numbers in homes[place]:
            words[numbers] = [f"{group}.{i}" for i in range(len(numbers))]
        names[place] = words
    pairs = zip(names[projection.source][sources], names[projection.target][targets], strict=True)
    yield from (f"    - {source} -> {target}: [weight: 0]" for source, target in pairs)


def _kinds(plan: Plan) -> dict[str, str]:
    """Population -> the kind of most of its synapses: a group of SANA-FE's has one unit for all."""
    found = {}
    for name, wirings in plan.needs.into.items():
        totals = {kind: sum(wiring.total for wiring in wirings if wiring.kind == kind) for kind in KINDS}
        found[name] = max(totals, key=totals.__getitem__)
    return found


def mixed(plan: Plan) -> list[str]:
    """Populations with synapses of several kinds, of which SANA-FE charges all as the most frequent."""
    return [name for name, wirings in plan.needs.into.items() if len({wiring.kind for wiring in wirings}) > 1]


def _group(name: str, rows: np.ndarray | None, numbers: np.ndarray, kind: str) -> list[str]:
    lines = [f"    - name: {name}", f"      attributes: [synapse_hw_name: {kind}]", "      neurons:"]
    for index, number in enumerate(numbers):
        train = "0" if rows is None else ",".join(map(str, (rows[:, number] != 0).astype(int)))
        lines.append(f"        - {index}: [spikes: [{train}]]")
    return lines


def _in_order(plan: Plan) -> list[int]:
    return sorted(range(len(plan.cores)), key=lambda index: (plan.placed.tile[index], plan.placed.slot[index]))


def _places(plan: Plan) -> dict[int, str]:
    """Core -> ``tile.number`` of it in the architecture file."""
    found, seen = {}, dict[int, int]()
    for index in _in_order(plan):
        tile = int(plan.placed.tile[index])
        found[index] = f"{tile}.{seen.get(tile, 0)}"
        seen[tile] = seen.get(tile, 0) + 1
    return found


def _core(name: str, neurons: int, energy: Energy, time: Time) -> list[str]:
    return _units(
        name,
        neurons,
        {kind: (energy.synop[kind], time.synop[kind]) for kind in KINDS},
        (energy.update, time.update, energy.spike, time.spike),
        (time.message_in, energy.message, time.message_out),
    )


def _host(name: str, channels: int, energy: Energy) -> list[str]:
    free = dict.fromkeys(KINDS, (0.0, 0.0))
    return _units(name, channels, free, (0.0, 0.0, 0.0, 0.0), (0.0, energy.message, 0.0))


def _units(
    name: str,
    neurons: int,
    synops: dict[str, tuple[float, float]],
    soma: tuple[float, float, float, float],
    messages: tuple[float, float, float],
) -> list[str]:
    lines = [
        f"        - name: {name}",
        "          attributes: {buffer_position: soma, buffer_inside_unit: false, max_neurons_supported: 1024}",
        "          axon_in:",
        "            - name: in",
        f"              attributes: {{energy_message_in: 0.0, latency_message_in: {messages[0]}e-9}}",
        "          synapse:",
    ]
    for kind, (pj, ns) in synops.items():
        costs = f"energy_process_spike: {pj}e-12, latency_process_spike: {ns}e-9"
        lines += [f"            - name: {kind}", f"              attributes: {{model: current_based, {costs}}}"]
    update_pj, update_ns, spike_pj, spike_ns = soma
    costs = (
        f"energy_access_neuron: {update_pj}e-12, latency_access_neuron: {update_ns}e-9, energy_update_neuron: 0.0, "
        f"latency_update_neuron: 0.0, energy_spike_out: {spike_pj}e-12, latency_spike_out: {spike_ns}e-9"
    )
    return [
        *lines,
        "          dendrite:",
        "            - name: dendrite",
        "              attributes: {model: accumulator, energy_update: 0.0, latency_update: 0.0}",
        "          soma:",
        f"            - name: unit[0..{max(neurons, 2) - 1}]",
        f"              attributes: {{model: input, {costs}}}",
        "          axon_out:",
        "            - name: out",
        f"              attributes: {{energy_message_out: {messages[1]}e-12, latency_message_out: {messages[2]}e-9}}",
    ]


def _word(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)
