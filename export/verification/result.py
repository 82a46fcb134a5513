"""What a verification found: of each engine against the baseline, and in all."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from export.quantization.findings import summed
from hardware.compare import Divergence, update_order
from hardware.program import Program


@dataclass(frozen=True)
class PairResult:
    """One engine against the baseline.

    Attributes:
        engine: name of the engine. baseline: name of what it was compared with.
        samples: indices of the sequences that both ran. steps: length of each.
        compared: number of integers compared (outputs, spikes, states). differing: how many were not equal.
        seconds: time the engine took. baseline_seconds: time the baseline took on the same samples.
        first_divergence: the earliest difference (by step, then population), or None.
        spikes: how many spikes the baseline fired on these samples: in a silent network, equality says little.
        saturated: ``state/population`` -> values of the baseline at the limit of 24 bits.
        ran_as: what the engine says of itself (which backend or kind of connection it used); of an engine of the
            caller's own its name.
        spikes_by_layer: the same for each population that spikes.
    """

    engine: str
    baseline: str
    samples: tuple[int, ...]
    steps: int
    compared: int
    differing: int
    seconds: float
    baseline_seconds: float
    first_divergence: Divergence | None
    spikes: int
    ran_as: str
    saturated: Mapping[str, int] = field(default_factory=dict)
    spikes_by_layer: Mapping[str, int] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        return self.differing == 0 and self.compared > 0


@dataclass(frozen=True)
class VerificationResult:
    """What :func:`verify` found.

    Attributes:
        pairs: one entry per engine compared with the baseline.
        program_sha256: content hash of the Program. spec_version: specification it follows.
        inputs_sha256: see :func:`export.verification.inputs.inputs_hash`.
        inputs_shape: (T, B, N_in), with the channels of all inputs.
        teacher_forced: True where each step started from the baseline's states, not from the engine's own.
        versions: engine name -> package -> version.
        seconds: of the whole verification.
        inputs_shapes: (T, B, N) of each of several inputs by name; empty for a single one.
        own_engines: name -> ``place`` and ``sources`` of engines of the caller's own
            (:class:`export.verification.engines.Engine`).
    """

    pairs: tuple[PairResult, ...]
    program_sha256: str
    spec_version: str
    inputs_sha256: str
    inputs_shape: tuple[int, int, int]
    teacher_forced: bool
    versions: Mapping[str, Mapping[str, str]]
    seconds: float
    inputs_shapes: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    own_engines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def silent(self) -> tuple[str, ...]:
        """Populations that could spike and did not in any of the runs: there, equality proves little."""
        counts = summed(pair.spikes_by_layer for pair in self.pairs)
        return tuple(name for name, count in counts.items() if count == 0)

    @property
    def equal(self) -> bool:
        """True where every engine returned the very integers of the baseline."""
        return bool(self.pairs) and all(pair.equal for pair in self.pairs)

    @property
    def first_divergence(self) -> tuple[PairResult, Divergence] | None:
        """The earliest difference of all pairs, with its pair."""
        found = [(pair, pair.first_divergence) for pair in self.pairs if pair.first_divergence is not None]
        return min(found, key=lambda item: item[1].step, default=None)

    def rows(self) -> list[dict[str, object]]:
        """Table rows as plain data, one per pair."""
        return [
            {
                "engine": pair.engine,
                "against": pair.baseline,
                "samples": len(pair.samples),
                "steps": pair.steps,
                "integers": pair.compared,
                "differing": pair.differing,
                "spikes": pair.spikes,
                "seconds": pair.seconds,
                "first_divergence": describe(pair),
            }
            for pair in self.pairs
        ]


def describe(pair: PairResult) -> str | None:
    """The first difference of a pair in one line, or None."""
    d = pair.first_divergence
    if d is None:
        return None
    return (
        f"step {d.step}, layer {d.layer}, {d.state}, neuron {d.neuron}, sample {d.sample}: "
        f"{pair.baseline} {d.value_a}, {pair.engine} {d.value_b} ({d.clause})"
    )


def merged(program: Program, parts: Sequence[PairResult]) -> PairResult:
    """The parts of one engine as one result."""
    place = {
        (item.name, state): (index, rank)
        for index, item in enumerate(program.populations)
        for rank, state in enumerate((*update_order(item), "output"))
    }
    divergences = [part.first_divergence for part in parts if part.first_divergence is not None]
    return dataclasses.replace(
        parts[0],
        samples=tuple(sorted(sample for part in parts for sample in part.samples)),
        compared=sum(part.compared for part in parts),
        differing=sum(part.differing for part in parts),
        spikes=sum(part.spikes for part in parts),
        spikes_by_layer=summed(part.spikes_by_layer for part in parts),
        ran_as=ran_as(parts),
        saturated=summed(part.saturated for part in parts),
        seconds=sum(part.seconds for part in parts),
        baseline_seconds=sum(part.baseline_seconds for part in parts),
        first_divergence=min(
            divergences, key=lambda d: (d.step, place[d.layer, d.state], d.sample, d.neuron), default=None
        ),
    )


def ran_as(parts: Sequence[PairResult]) -> str:
    """What an engine ran as over all parts of a run: ``lava[dense 18]`` three times is ``lava[dense 54]``."""
    return joined_names([(part.ran_as, len(part.samples)) for part in parts])


def joined_names(parts: Sequence[tuple[str, int]]) -> str:
    """What an engine says of itself over several parts, from what it said of each, and how many samples that had.

    An engine says ``name[way]``, or ``name[way n, other m]`` with how many samples went which way.
    """
    counts: dict[str, dict[str, int]] = {}
    texts = {text: None for text, _ in parts}
    ways = [(text, samples, _WAYS.fullmatch(text)) for text, samples in parts]
    if len(texts) == 1 and not any(found and re.search(r" \d", text) for text, _, found in ways):
        return next(iter(texts))
    for _, samples, found in ways:
        if found is None:
            return " and ".join(texts)
        of_name = counts.setdefault(found[1], {})
        for item in found[2].split(", "):
            way, _, number = item.rpartition(" ")
            way, count = (way, int(number)) if way and number.isdigit() else (item, samples)
            of_name[way] = of_name.get(way, 0) + count
    return " and ".join(
        f"{name}[{', '.join(f'{way} {count}' for way, count in sorted(of_name.items()))}]"
        for name, of_name in counts.items()
    )


_WAYS = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]")
