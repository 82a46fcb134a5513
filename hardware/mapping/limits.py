"""What a chip can hold and what its events cost, as data: every number with its source and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from hardware.errors import HardwareError

CONFIDENCES: Mapping[str, str] = MappingProxyType(
    {
        "A": "primary source, read",
        "A*": "read in third-party software, secondary for the maker",
        "B": "primary figure, read through transcriptions that agree",
        "C": "secondary source",
        "D": "assumption, no public source found",
        "user": "set by the user",
    }
)

LIMITS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cores_per_chip": ("cores", "cores of a chip that a plan may use"),
        "chips": ("chips", "chips of the largest system"),
        "mesh_width": ("tiles", "tiles of a chip from east to west"),
        "mesh_height": ("tiles", "tiles of a chip from north to south"),
        "cores_per_tile": ("cores", "cores that share a router"),
        "neurons_per_core": ("neurons", "neurons on a core"),
        "synapse_bits_per_core": ("bits", "memory for synapses on a core"),
        "memory_bits_per_core": ("bits", "memory on a core for synapses, axons and states together"),
        "input_axons_per_core": ("axons", "pairs of projection and source that reach a core, counted for each slice"),
        "output_axons_per_core": ("axons", "pairs of neuron and core that it sends to, own core included"),
        "fan_in": ("synapses", "synapses onto a neuron"),
        "weight_bits": ("bits", "width of a weight's mantissa, sign included"),
        "weight_exponent": ("", "largest exponent of a projection"),
        "max_delay": ("steps", "steps that a spike can wait, beyond the one that every message takes"),
        "delay_slots_per_core": ("slots", "neurons times delay slots, a power of two from 8, on a core"),
        "parameter_sets_per_core": ("sets", "different sets of parameters, thresholds apart, on a core"),
        "thresholds_per_core": ("thresholds", "different thresholds on a core"),
        "synapse_formats_per_core": ("formats", "different formats of synapses on a core"),
        "state_bits": ("bits", "width of a neuron's state"),
        "decay_bits": ("bits", "width of a decay factor"),
        "bias_mantissa_bits": ("bits", "width of a bias's mantissa, sign left out"),
        "bias_exponent": ("", "largest exponent of a bias"),
        "graded_spike_bits": ("bits", "width of a spike's payload; 0: spikes are 0 or 1"),
        "axon_bits": ("bits", "memory of an input axon"),
        "neuron_bits": ("bits", "memory of a neuron's state and parameters"),
        "word_bits": ("bits", "lists of synapses are rounded up to words of this many"),
        "header_bits": ("bits", "of a block of synapses, beside the synapses"),
        "synapses_per_block": ("synapses", "most synapses in a block"),
        "tag_bits": ("bits", "of a synapse, beside weight and delay"),
        "index_bits_low": ("bits", "fewest bits that name the target in a sparse list"),
        "index_bits_high": ("bits", "most bits that name the target in a sparse list"),
        "idle_power_mw": ("mW", "power of a chip that does nothing"),
    }
)
"""Name -> (unit, meaning)."""

NEEDED = (
    "cores_per_chip", "chips", "mesh_width", "mesh_height", "cores_per_tile", "neurons_per_core", "word_bits",
    "synapses_per_block", "index_bits_low", "index_bits_high",
)  # fmt: skip
"""Limits without which nothing can be planned; the others may be None, no limit."""

ANY_MODEL = "any"
CONVOLUTIONS = ("lists", "kernel")


@dataclass(frozen=True)
class Limit:
    """One limit.

    Attributes:
        name: a key of :data:`LIMITS`. value: in the unit given there, None where there is no limit.
        source: where the number comes from. confidence: a key of :data:`CONFIDENCES`.
    """

    name: str
    value: int | float | None
    source: str
    confidence: str

    @property
    def unit(self) -> str:
        return LIMITS[self.name][0]


@dataclass(frozen=True)
class Energy:
    """Energy of events, picojoule.

    Attributes:
        synop: kind of synapses (dense, sparse, convolution) -> of one synaptic operation.
        update: of a neuron at a step. spike: of a spike, beyond the update.
        message: of a spike that is sent to a core. hop_x, hop_y: of a message from a tile to the next.
    """

    synop: Mapping[str, float]
    update: float
    spike: float
    message: float
    hop_x: float
    hop_y: float


@dataclass(frozen=True)
class Time:
    """Time of events on one core, nanosecond; a step lasts as long as the slowest core, then a barrier.

    Attributes:
        synop, update, spike: as of :class:`Energy`.
        message_in, message_out: of a message that a core receives, sends.
        combine: ``sum``: one after the other; ``max``: receiving and updating side by side.
        barrier: (tiles in use, ns), rising. between: ``linear`` or ``lower``: what holds between two of them.
    """

    synop: Mapping[str, float]
    update: float
    spike: float
    message_in: float
    message_out: float
    combine: str
    barrier: Sequence[tuple[float, float]]
    between: str = "linear"

    def barrier_ns(self, tiles: int) -> float:
        """Barrier of a step on a chip where so many tiles are in use."""
        first, last = self.barrier[0], self.barrier[-1]
        if tiles <= first[0]:
            return first[1]
        if tiles >= last[0]:
            return last[1]
        upper = next(index for index, entry in enumerate(self.barrier) if entry[0] > tiles)
        (low, at_low), (high, at_high) = self.barrier[upper - 1], self.barrier[upper]
        return at_low if self.between == "lower" else at_low + (at_high - at_low) * (tiles - low) / (high - low)


@dataclass(frozen=True)
class Figures:
    """Published figures of one source.

    Attributes:
        name, title, source, confidence: as for a limit.
        leaves_out: what the figures do not contain, a sentence.
        energy, time: None where the source has none.
    """

    name: str
    title: str
    source: str
    confidence: str
    leaves_out: str
    energy: Energy | None
    time: Time | None


@dataclass(frozen=True)
class Target:
    """A chip.

    Attributes:
        name, title: for people.
        limits: every key of :data:`LIMITS`.
        models: neuron models that exist on it, or ``("any",)``; with source and confidence beside.
        convolution: ``lists``: distinct lists of a kernel are stored once per core; ``kernel``: the kernel itself.
        figures: what events cost, one entry per source.

    Raises:
        HardwareError: a limit is missing, unknown or not positive.
    """

    name: str
    title: str
    limits: Mapping[str, Limit]
    models: tuple[str, ...] = (ANY_MODEL,)
    models_source: str = ""
    models_confidence: str = "D"
    convolution: str = "kernel"
    figures: tuple[Figures, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in LIMITS:
            if name not in self.limits:
                raise HardwareError(f"target {self.name}: limit '{name}' is missing; give it, or \"none\"")
        for name, limit in self.limits.items():
            if name not in LIMITS:
                raise HardwareError(f"target {self.name}: unknown limit '{name}'; limits are {', '.join(LIMITS)}")
            if limit.confidence not in CONFIDENCES:
                known = ", ".join(CONFIDENCES)
                raise HardwareError(f"target {self.name}: '{name}': confidence '{limit.confidence}' must be of {known}")
            if limit.value is None and name in NEEDED:
                raise HardwareError(f"target {self.name}: '{name}' must be a number; nothing can be planned without it")
            if limit.value is not None and limit.value < (1 if name in NEEDED else 0):
                raise HardwareError(f"target {self.name}: '{name}' must be a positive number, got {limit.value}")
        tiles = self.number("mesh_width") * self.number("mesh_height")
        if self.number("cores_per_chip") > tiles * self.number("cores_per_tile"):
            places = tiles * self.number("cores_per_tile")
            raise HardwareError(
                f"target {self.name}: cores_per_chip {self.number('cores_per_chip')} is above the {places} places of "
                "the mesh (mesh_width x mesh_height x cores_per_tile); enlarge the mesh"
            )

    def most(self, name: str) -> int | None:
        """The limit of that name, None where there is none."""
        value = self.limits[name].value
        return None if value is None else int(value)

    def number(self, name: str) -> int:
        """The limit of that name, 0 where there is none."""
        return int(self.limits[name].value or 0)

    def runs(self, model: str) -> bool:
        """Whether a neuron model exists on the chip."""
        return self.models == (ANY_MODEL,) or model in self.models

    def assumptions(self) -> list[Limit]:
        """Limits of confidence D and those that the user set."""
        return [limit for limit in self.limits.values() if limit.confidence in ("D", "user")]
