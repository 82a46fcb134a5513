"""``hypr bench``: side-by-side timings; the suites live in the folder benchmarks/ of the repository."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import sys
from pathlib import Path

import click

from hypr.cli.output import json_option

SUITES = {name: f"benchmarks.{name}" for name in ("training", "emulator", "graphs", "memory", "gpu")}
WITHOUT_JSON = ("gpu",)  # prints a table, and writes a file with --out


@click.command("bench", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("suite", required=False)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@json_option
@click.option("-h", "--help", "wants_help", is_flag=True, help="Show this message, or after a SUITE its own, and exit.")
@click.pass_context
def bench_verb(
    context: click.Context, suite: str | None, options: tuple[str, ...], as_json: bool, wants_help: bool
) -> int:
    """Run a benchmark SUITE side by side and print ratios; OPTIONS go to the suite.

    Suites: training (rules, neurons, other frameworks), emulator (all integer engines), graphs (sparse and
    convolutional synapses against dense ones), memory (against the length of the sequence), gpu (training steps on a
    GPU host).

    \b
    Examples:
      hypr bench
      hypr bench training --neurons brf,alif --rules hypr,bptt --windows 0,130
      hypr bench training --peers --repeats 5
      hypr bench emulator --bundle bundles/ecg --plot engines.png
      hypr bench graphs --networks picture --json graphs.json
      hypr bench memory --rules hypr,bptt --steps 1000,16000 --plot memory.png
      hypr bench training --help
    """
    from hardware.aside import working_folder
    from hypr.errors import HyprError

    if wants_help and suite is None:
        click.echo(context.get_help())
        return 0
    if suite is None or suite.startswith("-"):  # options alone are those of the usual suite
        suite, options = "training", options if suite is None else (suite, *options)
    if suite not in SUITES:
        near = difflib.get_close_matches(suite, SUITES, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise HyprError(f"no suite '{suite}'; {hint}suites are {', '.join(SUITES)}")
    root = Path(__file__).resolve().parents[2]
    if not (root / "benchmarks" / f"{suite}.py").is_file():  # another package may be called benchmarks
        raise HyprError(
            f"{root}: has no benchmarks/{suite}.py, for an installed package has no benchmarks; clone the repository "
            "and run this there"
        )
    sys.path.insert(0, str(root))
    main = importlib.import_module(SUITES[suite]).main
    if wants_help:
        options = ("--help",)
    if not as_json or wants_help:
        return int(main(list(options)))
    if suite in WITHOUT_JSON:
        raise HyprError(f"suite '{suite}' has no --json; leave it out")
    with working_folder() as folder:
        path = folder / "figures.json"
        with contextlib.redirect_stdout(sys.stderr):
            code = int(main([*options, "--json", str(path)]))
        click.echo(json.dumps(json.loads(path.read_text()), indent=2))
    return code
