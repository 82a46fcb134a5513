"""``hypr export``: from a run folder to a bundle."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hypr.cli.output import (
    WIDTHS,
    Between,
    json_option,
    note,
    percent,
    progress,
    quantization_lines,
    show,
    table,
    with_option,
)

if TYPE_CHECKING:
    from hypr.deployment.deploy import Exported
    from hypr.deployment.search import TradeOff
    from hypr.training.runs import Run

_DEFAULT = click.core.ParameterSource.DEFAULT


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN|NET.safetensors|BUNDLE|FILE.nir")
@click.option(
    "--data",
    "data_name",
    metavar="FILE.npz|MODULE:FUNCTION",
    help="Where the data of the run are now; code that only the run names must be repeated here.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="With NET.safetensors: an .npz file of inputs to scale states.",
)
@click.option(
    "--test", "test_file", type=click.Path(path_type=Path), help="With NET.safetensors: an .npz file with labels."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the bundle.")
@click.option("--to", default="nir,onnx,lava", show_default=True, help="Targets, separated by commas.")
@click.option(
    "--which",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Weights: best on validation, or last.",
)
@click.option(
    "--weight-bits",
    type=WIDTHS,
    default="8",
    show_default=True,
    help="Bits of a synaptic weight, 2 to 8; 8,4,8 for each layer.",
)
@click.option(
    "--coefficient-bits",
    type=WIDTHS,
    default="12",
    show_default=True,
    help="Fraction bits of decays and rotations, 8 to 16; 12,14 for each layer. More where a leak would vanish.",
)
@click.option(
    "--weight-scale",
    default="auto",
    show_default=True,
    help="auto, power_of_two, per_layer or per_row; auto is per_row up to 6 bits, and above where it matters.",
)
@click.option(
    "--dt",
    type=float,
    default=1e-3,
    show_default=True,
    help="Seconds per step in NIR files; the integers do not depend on it.",
)
@click.option("--search", is_flag=True, help="Find the cheapest integer format on the validation part, and use it.")
@click.option(
    "--max-loss",
    type=Between(0, 100, max_open=True),
    default=0.3,
    show_default=True,
    help="With --search: points of accuracy that the integers may lose against the float network.",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there already.")
@click.option(
    "--for",
    "tool",
    metavar="TOOL",
    help="Write --out as one NIR file that this tool reads as the network: snntorch, norse, spikingjelly, sinabs, spyx "
    "or rockpool. RUN may then be a bundle or a NIR file of ours, too.",
)
@click.option("--quantized", is_flag=True, help="With --for and a bundle: the values of its integers.")
@with_option
@json_option
def export_verb(
    run: Path,
    data_name: str | None,
    calibration: Path | None,
    test_file: Path | None,
    out: Path,
    to: str,
    which: str,
    weight_bits: int | tuple[int, ...],
    coefficient_bits: int | tuple[int, ...],
    weight_scale: str,
    dt: float,
    search: bool,
    max_loss: float,
    overwrite: bool,
    tool: str | None,
    quantized: bool,
    as_json: bool,
) -> None:
    """Quantize the network of folder RUN, or of a file that hypr.save wrote, and write a bundle.

    A bundle holds NIR, ONNX and Lava files, the integer program, and a manifest with hashes.

    \b
    Examples:
      hypr export runs/ecg --out bundles/ecg
      hypr export runs/ecg --weight-bits 4 --weight-scale per_row --out bundles/ecg4
      hypr export runs/ecg --search --max-loss 0.3 --out bundles/ecg-small
      hypr export runs/ecg --to nir --which last --out bundles/ecg-nir
      hypr export net.safetensors --calibration train.npz --test test.npz --out bundles/mine
      hypr export bundles/ecg --for norse --out ecg-norse.nir
    """
    if tool is not None:
        _export_for(run, tool, out, quantized, which, data_name, overwrite, as_json)
        return
    if quantized:
        raise click.UsageError("--quantized goes with --for TOOL; a bundle holds quantized.nir anyway")
    from export.bundle.manifest import network_of

    targets = [name.strip() for name in to.split(",") if name.strip()]
    if not targets:
        raise click.UsageError("--to names no target; give one at least, of nir, onnx and lava")
    settings = _asked_for(weight_bits=weight_bits, coefficient_bits=coefficient_bits, weight_scale=weight_scale)
    trade: TradeOff | None = None
    on_integers = False
    if run.is_file():
        if search or data_name is not None:
            raise click.UsageError("--search and --data are for the folder of a run; give --calibration and --test")
        done = _export_file(run, out, calibration, test_file, to=targets, dt_s=dt, overwrite=overwrite, **settings)
    else:
        from hypr.deployment.deploy import export_run
        from hypr.training.runs import open_run

        if calibration is not None or test_file is not None:
            raise click.UsageError(
                "--calibration and --test are for a file of hypr.save; a run knows its data (--data)"
            )
        opened = open_run(run, "last" if which == "last" else "best", data_name)
        on_integers = opened.settings is not None and not settings
        trade = _search(opened, max_loss, settings) if search else None
        if trade is not None:
            settings = asdict(trade.settings)
        done = export_run(opened, out, to=targets, dt_s=dt, overwrite=overwrite, **settings)
    manifest = done.bundle.manifest
    ranges = done.ranges
    answer = {
        "bundle": out,
        "program_sha256": manifest["program_sha256"],
        "float_test_accuracy": done.float_accuracy,
        "trained_on_integers": on_integers,
        "integer_test_accuracy": done.integer_accuracy,
        "ranges": ranges,
        "quantization": manifest.get("quantization"),
        "warnings": done.warnings,
        **network_of(manifest),
        "files": manifest["files"],
    }
    if trade is not None:
        from hypr.deployment.search import write

        write(trade, out)
        answer["search"] = {key: value for key, value in trade.to_dict().items() if key != "all"}
    show(answer, as_json, lambda: _render(answer, trade))


def _export_for(
    source: Path,
    tool: str,
    out: Path,
    quantized: bool,
    which: str,
    data_name: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    from hypr.deployment.outgoing import write_for

    given = [name for name in _OF_A_BUNDLE if not _left_out(name)]
    if given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for bundles; with --for TOOL leave it out")
    found = write_for(
        source,
        tool,
        out,
        quantized=quantized,
        dt_s=None if _left_out("dt") else click.get_current_context().params["dt"],
        which="last" if which == "last" else "best",
        data_name=data_name,
        overwrite=overwrite,
    )
    answer = {
        "file": out,
        "tool": found.tool,
        "version": found.version,
        "dt": found.dt,
        "read_it_with": found.call,
        "notes": found.notes,
    }

    def render() -> None:
        click.echo(f"{out}: NIR as {found.tool} {found.version} reads it, dt {found.dt:.6g}")
        click.echo(f"read it with {found.call}")
        for line in found.notes:
            note(line)

    show(answer, as_json, render)


_OF_A_BUNDLE = (
    "to",
    "weight_bits",
    "coefficient_bits",
    "weight_scale",
    "search",
    "max_loss",
    "calibration",
    "test_file",
)


def _left_out(name: str) -> bool:
    """Whether an option of the command line was not given."""
    return click.get_current_context().get_parameter_source(name) is _DEFAULT


def _export_file(net: Path, out: Path, calibration: Path | None, test: Path | None, **options: Any) -> Exported:
    from hypr import load
    from hypr.deployment.arrays import read_sequences
    from hypr.deployment.direct import calibration_inputs, export_network, test_data

    if calibration is None:
        raise click.UsageError("states need a scale: give --calibration FILE.npz with inputs as in training")
    network = load(net)
    given = read_sequences(calibration, "train").dataset().dense()
    tested = None
    if test is not None:
        sequences = read_sequences(test)
        if sequences.labels is None:
            raise click.UsageError(f"{test} holds no labels; 'hypr verify --inputs {test}' takes inputs alone")
        data = sequences.dataset()
        tested = test_data(network, (data.dense(), data.labels, data.mask))
    return export_network(network, out, calibration_inputs(network, given), tested, **options)


def _asked_for(**options: Any) -> dict[str, Any]:
    """The options that stand on the command line; the others are left to the run that trained on integers, or to
    the defaults."""
    return {name: value for name, value in options.items() if not _left_out(name)}


def _search(run: Run, max_loss: float, settings: dict[str, Any]) -> TradeOff:
    from hypr.deployment.search import search_run

    if settings:
        option = next(iter(settings)).replace("_", "-")
        raise click.UsageError(f"--search chooses the format; leave out --{option}")
    with progress("formats tried") as step:
        return search_run(run, max_loss / 100, lambda done, what: step(done, 0, what))


def describe_ranges(ranges: list[dict[str, Any]]) -> str:
    """The range check in one line."""
    open_cases = [
        f"{r['layer']}.{r['state']} ({r['unproved']} of {r['neurons']} neurons)" for r in ranges if r["unproved"]
    ]
    largest = max(max(abs(bound) for bound in r["observed"]) / r["limit"] for r in ranges)
    seen = f"the largest state seen in test sequences is {percent(largest)} of the limit"
    if not open_cases:
        return f"range check: no state can saturate, whatever the inputs; {seen}"
    return f"range check: not proven for every possible input: {', '.join(open_cases)}; {seen}"


def _render(answer: dict[str, Any], trade: TradeOff | None) -> None:
    if trade is not None:
        from hypr.deployment.search import COLUMNS, PICTURE, TABLE, cells

        title = f"Integer formats, {len(trade.found.candidates)} tried, those that are best for their bits"
        table(title, COLUMNS, cells(trade), right=(5, 6, 7))
        note(f"all of them: {answer['bundle'] / TABLE}, picture: {answer['bundle'] / PICTURE}")
        if trade.warning:
            note(trade.warning)
    rows = [(name, entry["bytes"], entry["sha256"][:16]) for name, entry in answer["files"].items()]
    table(f"Bundle {answer['bundle']}", ("file", "bytes", "sha256"), rows, right=(1,))
    for line in quantization_lines(answer["quantization"]):
        click.echo(line)
    click.echo(describe_ranges(answer["ranges"]))
    real, whole = answer["float_test_accuracy"], answer["integer_test_accuracy"]
    if answer["trained_on_integers"]:
        note("formats of training, which ran on these very integers; there is no float network to compare with")
    change = "" if real is None else f" ({100 * (whole - real):+.2f} points against float, {percent(real)})"
    if whole is not None:
        click.echo(f"integer network on the test part: {percent(whole)}{change}")
    for line in answer["warnings"]:
        note(f"warning: {line}")
    note(f"next: hypr verify {answer['bundle']}")
