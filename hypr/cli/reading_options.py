"""Options that say how a NIR file is to be read and quantized, shared by the verbs that take one."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from export.errors import ExportError
from export.interchange.presets import PRESETS
from export.interchange.reading import OPEN
from hypr.cli.output import note, table

Verb = TypeVar("Verb", bound=Callable[..., Any])

_OF_A_LAYER = {
    "scheme": "How a time constant becomes a decay and a gain.",
    "reset": "What a spike does to its membrane.",
    "reset_timing": "When the reset acts.",
    "start": "Where membranes start.",
    "integrator_gain": "Gain of IF and I: r dt (NIR's equation), or r.",
    "synapse_gain": "Gain of a CubaLIF's current: w_in dt/tau_syn (NIR's equation), w_in, or w_in decayed once.",
    "spikes": "One spike per step, or as many as the membrane holds thresholds.",
    "spike_at": "Spikes above the threshold, or at it already.",
    "max_spikes": "Most spikes per step where there are several; default: far above the calibration's.",
}
FLAGS = {
    "weight_bits": "--weight-bits",
    "weight_scale": "--weight-scale",
    "scale_choice": "--scale-choice",
    "coefficient_bits": "--coefficient-bits",
    "state_fraction_bits": "--state-fraction-bits",
    "headroom_bits": "--headroom",
    "max_fraction_bits": "--max-fraction-bits",
    "guard_bits": "--guard-bits",
    "synaptic_bias": "--synaptic-bias",
    "input_format": "--input-range",
    "recurrent_bias_at_start": "--recurrent-bias-at-start",
    **{key: f"--{key.replace('_', '-')}" for key in (*OPEN, "decision", "order", "output", "dt")},
}
"""Argument of the package -> option here."""

_SPEAKING = [key for key in FLAGS if "_" in key]
"""Arguments that are no plain words, so that a message that holds one means the argument."""


class Spelled(click.Command):
    """A command whose options may be spelled with dashes or underscores."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_dashed(item) for item in args])


def _dashed(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else argument


def reading_options(verb: Verb) -> Verb:
    """Options of a reading, gathered into one argument ``conventions`` for :func:`reading_from`."""
    options = [
        click.option("--preset", help=f"Who wrote the file: {', '.join(PRESETS)}."),
        click.option("--dt", type=float, help="Seconds per step; default: the preset's, the file's, or inferred."),
    ]
    for key, text in _OF_A_LAYER.items():
        values = ", ".join(OPEN[key])
        options.append(
            click.option(
                FLAGS[key], key, multiple=True, metavar="[LAYER=]VALUE", help=f"{text} {values}. May be repeated."
            )
        )
    options += [
        click.option(
            "--recurrent-bias-at-start/--no-recurrent-bias-at-start",
            default=None,
            help="Whether the bias of recurrent synapses acts at the first step already.",
        ),
        click.option(
            "--feed-forward-keeps-input/--no-feed-forward-keeps-input",
            default=None,
            help="Whether a zero reset at the next step spares the new input of a LIF without recurrence.",
        ),
        click.option("--input-range", metavar="LOW,HIGH", help="Integers that the input channels take; default 0,1."),
        click.option("--order", help="Neurons A,B,... in the order of a step, where a cycle leaves two orders."),
        click.option("--output", help="Output node or neuron that the decision reads; default: the last by name."),
        click.option("--decision", help="per_step, sum or spike_count."),
    ]

    @functools.wraps(verb)
    def gathered(**given: Any) -> Any:
        keys = [*OPEN, "preset", "dt", "recurrent_bias_at_start", "feed_forward_keeps_input"]
        keys += ["input_range", "order", "output", "decision"]
        return verb(conventions={key: given.pop(key) for key in keys}, **given)

    wrapped: Any = gathered
    for option in reversed(options):
        wrapped = option(wrapped)
    found: Verb = wrapped
    return found


def reading_from(conventions: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Preset, and fields of :class:`export.Reading` (those given)."""
    found: dict[str, Any] = {}
    layers: dict[str, dict[str, Any]] = {}
    for key in OPEN:
        for item in conventions[key]:
            layer, equals, value = item.rpartition("=")
            if equals:
                layers.setdefault(layer, {})[key] = value.replace("-", "_")
            else:
                found[key] = value.replace("-", "_")
    plain = ("dt", "recurrent_bias_at_start", "feed_forward_keeps_input", "output", "decision")
    found |= {key: conventions[key] for key in plain if conventions[key] is not None}
    if layers:
        found["layers"] = layers
    if conventions["order"]:
        found["order"] = tuple(name.strip() for name in conventions["order"].split(",") if name.strip())
    if conventions["input_range"]:
        found["input_format"] = _range(conventions["input_range"])
    return conventions["preset"], found


def _range(text: str) -> tuple[int, int]:
    try:
        low, high = (int(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"--input-range is '{text}'; give two integers LOW,HIGH, for example 0,15") from None
    return low, high


@contextmanager
def flags_in_messages() -> Iterator[None]:
    """Refusals name the options of the command line instead of arguments of the package."""
    try:
        yield
    except ExportError as error:
        raise type(error)(_with_flags(str(error))) from None


def _with_flags(message: str) -> str:
    for key in _SPEAKING:
        message = re.sub(rf"(?<![\w-]){key}='(\w+)'", rf"{FLAGS[key]} \1", message)
        message = re.sub(rf"(?<![\w'./-]){key}(?![\w'=])", FLAGS[key], message)
    return message


def print_conventions(taken: Mapping[str, Any]) -> None:
    """What the file did not say and how it was taken, for people."""
    dt = "none" if taken["dt"] is None else f"{taken['dt']:.6g} s"
    rows = []
    for item in taken["neurons"]:
        how = [
            item.get("reset", "-"),
            item.get("reset_timing", "-"),
            item.get("spikes", "-"),
            item.get("spike_at", "-"),
        ]
        spans = [_span(item.get(key)) for key in ("decay", "gain", "syn_decay", "syn_gain")]
        rows.append((item["name"], *how, *spans))
    columns = ("neuron", "reset", "timing", "spikes", "at", "decay", "gain", "syn decay", "syn gain")
    table(f"Read with dt {dt}, scheme {taken['scheme'] or '-'}", columns, rows)
    for line in taken["notes"]:
        note(line)
    for line in taken["warnings"]:
        note(f"warning: {line}")


def _span(values: list[float] | None) -> str:
    if values is None:
        return "-"
    low, high = (f"{value:.5g}" for value in values)
    return low if low == high else f"{low} to {high}"
