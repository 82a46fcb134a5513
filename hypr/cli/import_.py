"""``hypr import``: a NIR file from another framework becomes a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hypr.cli.output import WIDTHS, json_option, note, quantization_lines, show, table, with_option
from hypr.cli.reading_options import Spelled, flags_in_messages, print_conventions, reading_from, reading_options

_STATES_NEED = (
    "states need a scale: give --calibration INPUTS.npz or --state-fraction-bits N (or --recorded-formats for a "
    "quantized file, --float-only for a bundle without integers)"
)


@click.command("import", cls=Spelled)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.nir")
@reading_options
@click.option("--weight-bits", type=WIDTHS, help="Bits of a weight, 2 to 8, default 8; one per layer: 8,4,8.")
@click.option("--weight-scale", help="auto (default: by row where it pays), power_of_two, per_layer or per_row.")
@click.option("--scale-choice", help="state_error (default), squared_error or maximum.")
@click.option("--coefficient-bits", help="Bits of a decay or coefficient, 8 to 16; default 12.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    multiple=True,
    help="An .npz file with input_spikes, or a folder of such, to scale states; may be given several times.",
)
@click.option("--state-fraction-bits", help="Fraction bits of states, 0 to 22, instead of --calibration.")
@click.option("--headroom", type=int, help="Bits kept free above the largest calibrated state; default 2.")
@click.option("--max-fraction-bits", type=int, help="Upper end of the automatic choice, 0 to 22; default 18.")
@click.option("--guard-bits", type=int, help="Extra fraction bits of SE-adLIF's adaptation; default 4.")
@click.option("--synaptic-bias", help="Of a CubaLIF's current: exact (default), steady_state or refuse.")
@click.option("--recorded-formats", is_flag=True, help="Quantize with the formats that a quantized file records.")
@click.option("--float-only", is_flag=True, help="A bundle without integers, for the float engine.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the bundle.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there already.")
@with_option
@json_option
def import_verb(
    file: Path,
    conventions: dict[str, Any],
    calibration: tuple[Path, ...],
    recorded_formats: bool,
    float_only: bool,
    out: Path,
    overwrite: bool,
    as_json: bool,
    **formats: Any,
) -> None:
    """Read FILE.nir as the framework that wrote it means it, quantize it and write a bundle.

    What cannot be converted exactly is refused with the reason. NIR files do not say how a reset works or when it acts:
    give the preset of the framework, or the conventions one by one, for one neuron as LAYER=VALUE.

    \b
    Examples:
      hypr import braille.nir --preset nir-paper-braille --calibration inputs.npz --out bundles/braille
      hypr import net.nir --preset norse --dt 0.001 --state-fraction-bits 12 --out bundles/net
      hypr import net.nir --preset snntorch --reset readout=none --float-only --out bundles/net
    """
    from hypr.deployment.deploy import holds_formats, import_nir

    settings = {} if float_only or recorded_formats else _settings(formats)
    recorded = not float_only and file.is_file() and holds_formats(file)
    if recorded and not settings and not calibration:
        recorded_formats = True
        note(f"{file} holds integer formats; they give the program it was written from")
    elif recorded and not recorded_formats:
        note(f"{file} holds integer formats; the options given make another program of it")
    if not (float_only or recorded_formats or calibration or "state_fraction_bits" in settings):
        raise click.UsageError(_STATES_NEED)
    if recorded_formats and calibration:
        raise click.UsageError("--recorded-formats takes the scales of the file; drop --calibration")
    preset, given = reading_from(conventions)
    with flags_in_messages():
        bundle = import_nir(
            file,
            out,
            preset,
            given,
            _values(calibration),
            float_only=float_only,
            overwrite=overwrite,
            **settings,
        )
    _show(bundle, out, as_json, float_only)


def _values(paths: tuple[Path, ...]) -> Any:
    """Inputs to calibrate with: of one file as it stands (several inputs by name), of several one after the other."""
    from hypr.deployment.arrays import InputFiles, read_inputs

    if not paths:
        return None
    if len(paths) == 1 and paths[0].is_file():
        return read_inputs(paths[0])
    return InputFiles(paths)


def _settings(formats: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of QuantizationSettings, those given; bit widths may be one per layer."""
    renamed = {"headroom": "headroom_bits"}
    found = {renamed.get(key, key): value for key, value in formats.items() if value is not None}
    for key in ("coefficient_bits", "state_fraction_bits"):
        if key in found:
            found[key] = _bits(f"--{key.replace('_', '-')}", found[key])
    for key in ("weight_scale", "scale_choice", "synaptic_bias"):
        if key in found:
            found[key] = found[key].replace("-", "_")
    return found


def _bits(flag: str, text: str) -> int | tuple[int, ...]:
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(f"{flag} is '{text}'; give an integer, or one per layer: 8,4,8") from None
    return values[0] if len(values) == 1 else values


def _show(bundle: Any, out: Path, as_json: bool, float_only: bool) -> None:
    from export.bundle.manifest import network_of

    manifest = bundle.manifest
    taken = manifest["notes"]["conventions"]
    found = [] if float_only else json.loads(bundle.program.metadata.get("notes", "[]"))
    own = [line for line in found if line not in taken["notes"]]  # what quantization decided
    answer = {
        "bundle": out,
        "program_sha256": manifest["program_sha256"],
        **network_of(manifest),
        "reading": manifest.get("reading"),
        "conventions": taken,
        "decision": manifest["decision"],
        "notes": [*taken["notes"], *own],
        "warnings": taken["warnings"],
        "quantization": manifest.get("quantization"),
        "files": manifest["files"],
    }

    def render() -> None:
        ((kind, items),) = network_of(manifest).items()
        rows = [(item["name"], item["model"], item["size"]) for item in items]
        table(f"Bundle {out}", (kind.removesuffix("s"), "model", "neurons"), rows, right=(2,))
        for line in quantization_lines(manifest.get("quantization")):
            click.echo(line)
        print_conventions(taken)
        for line in own:
            note(line)
        checks = f"hypr verify {out} --inputs FILE.npz"
        note(f"next: {f'hypr run {out} FILE.npz --engine float --out OUT.npz' if float_only else checks}")

    show(answer, as_json, render)
