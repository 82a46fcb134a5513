"""Options of ``hypr run`` and ``hypr verify`` about how Lava runs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class _Count(click.ParamType):
    """A number of samples, or all."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "all":
            return 2**31 - 1
        if value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        self.fail(f"{value!r} is neither 'all' nor a number, 0 or more", param, ctx)


COUNT = _Count()


def _timeout(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise click.BadParameter(f"{value} is no time in seconds above 0")
    return value


def lava_options(function: Command) -> Command:
    """``--timeout``, ``--connections`` and ``--arithmetic``, passed on as the mapping ``lava``."""

    @functools.wraps(function)
    def command(*args: Any, timeout: float | None, connections: str, arithmetic: str, **rest: Any) -> Any:
        lava = {"timeout_s": timeout, "connections": connections, "arithmetic": arithmetic}
        return function(*args, lava=lava, **rest)

    options = (
        click.option(
            "--timeout",
            type=float,
            callback=_timeout,
            metavar="SECONDS",
            help="Give Lava up after so long without a finished step; default 15, or 50 times the slowest step seen.",
        ),
        click.option(
            "--connections",
            type=click.Choice(["dense", "batched", "auto"]),
            default="auto",
            show_default=True,
            help="Lava's own Dense (one sample after another), this project's batched one, or one sample dense.",
        ),
        click.option(
            "--arithmetic",
            type=click.Choice(["fixed_pt", "floating_pt"]),
            default="fixed_pt",
            show_default=True,
            help="Of Lava: the integers, or the same equations in real arithmetic (hypr run only).",
        ),
    )
    decorated: Any = command
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def check_lava(lava: dict[str, Any], engines: Sequence[str]) -> None:
    """Options of Lava ask for the engine lava."""
    asked = lava["timeout_s"] is not None or lava["connections"] != "auto" or lava["arithmetic"] != "fixed_pt"
    if asked and "lava" not in engines:
        raise click.UsageError(
            "--timeout, --connections and --arithmetic are about the engine lava, which is not asked for"
        )
