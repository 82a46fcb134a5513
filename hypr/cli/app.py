"""The table of verbs, and the one place where a user's mistake becomes one line and an exit code."""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

OK, FAILED, USAGE, MISSING, ENGINE_FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 130

VERBS: dict[str, tuple[str, str]] = {
    "demo": ("hypr.cli.demo", "Train on digits, quantize, export, run every engine, verify, report."),
    "doctor": ("hypr.cli.doctor", "What is installed, and which engines run here."),
    "data": ("hypr.cli.data", "Data sets: list them, fetch them, say where they are."),
    "train": ("hypr.cli.train", "Train a network from a recipe."),
    "compare": ("hypr.cli.compare", "Finished runs side by side: means, standard errors, paired differences."),
    "export": ("hypr.cli.export", "Quantize a trained run and write it as NIR, ONNX and Lava."),
    "import": ("hypr.cli.import_", "Turn a NIR file from another framework into a bundle."),
    "run": ("hypr.cli.run", "Run an exported network on one engine."),
    "verify": ("hypr.cli.verify", "Compare engines integer by integer and write a certificate."),
    "certificate": ("hypr.cli.certificate", "Whether a certificate is about a bundle as it lies there now."),
    "map": ("hypr.cli.map_", "Where a network fits on a chip, and what it costs there."),
    "report": ("hypr.cli.report", "One self-contained HTML page about a run or a bundle."),
    "bench": ("hypr.cli.bench", "Side-by-side timings: rules, neurons, other frameworks."),
    "completion": ("hypr.cli.completion", "The script that makes a shell complete hypr's verbs, options and recipes."),
    "lava": ("hypr.cli.lava", "The Python 3.10 runtime that holds Lava: install it, show it, remove it."),
}
"""Verb -> (module that defines a click command of that name, one line of help)."""


class VerbGroup(click.Group):
    """Commands that are imported when they are called; an unknown one is answered with the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(importlib.import_module(VERBS[cmd_name][0]), f"{cmd_name}_verb")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise click.UsageError(f"no verb '{args[0]}'; {hint}verbs are {', '.join(VERBS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table above instead of every command's own text, which would import them all."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="hypr", prog_name="hypr")
def cli() -> None:
    """Train recurrent spiking networks, turn them into integers, deploy them, and prove bit for bit that they behave
    the same.

    \b
    Start here:
      hypr demo                                   the whole way on real data, in a few minutes
      hypr train digits-brf --out runs/digits     then export, verify and report it

    Exit codes: 0 fine, 1 a mismatch or failed check, 2 usage or bad input, 3 a missing or broken optional part,
    4 Lava failed while it ran, 130 interrupted, 129 and 143 ended by SIGHUP and SIGTERM.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises for a user's mistake."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    try:
        with _signals_raise(arguments):
            code = cli.main(list(arguments), prog_name="hypr", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else OK
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as asked:  # a verb, or hypr itself, without anything: its help
        click.echo(asked.ctx.get_help() if asked.ctx else "")
        return OK
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED, arguments)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "hypr"
        message = " ".join(error.format_message().split())
        return _fail(f"{message} ('{where} --help' shows what it takes)", USAGE, arguments)
    except click.ClickException as error:
        return _fail(error.format_message(), USAGE, arguments)
    except BrokenPipeError:
        _no_more_output()  # the reader of our output has gone (for example `| head`): no message
        return OK
    except SystemExit as end:
        number = getattr(end, "number", None)  # of a signal: hardware.lava.endings.Ended
        if number is not None:
            return _fail(str(end), 128 + number, arguments)
        # click's answer to a broken pipe: it wraps both streams, then exits with 1
        if not type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):
            raise
        _no_more_output()
        return OK
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            _no_more_output()
        return _fail(_one_line(error), code, arguments)


def _signals_raise(arguments: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """SIGTERM and SIGHUP end with a clean-up; help has nothing to clean up, and does not import what that needs."""
    if not arguments or {"-h", "--help"} & set(arguments):
        return contextlib.nullcontext()
    from hardware.lava.endings import ending_raises

    return ending_raises()


def _no_more_output() -> None:
    """Nothing is tried a second time, when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _code_of(error: Exception) -> int | None:
    """Exit code of an error that a user can cause, None for one that only a defect of the program can cause."""
    from export.errors import ExportError
    from hardware.errors import HardwareError, RuntimeMissing
    from hardware.lava.request import LavaError
    from hypr.errors import HyprError

    if isinstance(error, RuntimeMissing):
        return MISSING
    if isinstance(error, LavaError):
        return ENGINE_FAILED
    if isinstance(error, HardwareError | ExportError | HyprError | OSError):
        return USAGE
    return None


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        names = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return f"{names}: {error.strerror}" if names else error.strerror
    return " ".join(str(error).split())


def _fail(message: str, code: int, arguments: Sequence[str]) -> int:
    click.echo(f"hypr: {message}", err=True)
    if "--json" in arguments:
        answer: dict[str, Any] = {"ok": False, "error": message, "exit_code": code}
        click.echo(json.dumps(answer))
    return code
