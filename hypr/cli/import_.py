"""``hypr import``: a NIR file from another framework becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hypr.cli.output import json_option, note, show, table, with_option


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.nir")
@click.option("--preset", help="Who wrote the file: nir, snntorch, snntorch-2024, norse, sinabs, nir-paper-braille.")
@click.option("--dt", type=float, help="Seconds per step; default: the preset's, the file's, or inferred.")
@click.option("--scheme", help="euler, exponential or exponential_unit_gain.")
@click.option("--reset", help="zero or subtract.")
@click.option("--reset-timing", help="same_step, next_step or carried_over.")
@click.option("--decision", help="per_step, sum or spike_count.")
@click.option("--weight-bits", type=int, default=8, show_default=True, help="Bits of a synaptic weight, 2 to 8.")
@click.option("--calibration", type=click.Path(path_type=Path), help="An .npz file with input_spikes, to scale states.")
@click.option("--state-fraction-bits", type=int, help="Fraction bits of states, 0 to 22, instead of --calibration.")
@click.option(
    "--synaptic-bias",
    help="Of a CubaLIF with a bias in its current: refuse (default), or steady_state, inexact for the first steps.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the bundle.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there already.")
@with_option
@json_option
def import_verb(
    file: Path,
    preset: str | None,
    weight_bits: int,
    calibration: Path | None,
    state_fraction_bits: int | None,
    synaptic_bias: str | None,
    out: Path,
    overwrite: bool,
    as_json: bool,
    **conventions: Any,
) -> None:
    """Read FILE.nir as the framework that wrote it means it, quantize it and write a bundle.

    What cannot be converted exactly is refused with the reason. NIR files do not say how a reset works or when it acts:
    give the preset of the framework, or the conventions one by one.

    \b
    Examples:
      hypr import braille.nir --preset nir-paper-braille --calibration inputs.npz --out bundles/braille
      hypr import net.nir --preset norse --dt 0.001 --state-fraction-bits 12 --out bundles/net
    """
    from hypr.deployment.arrays import read_inputs
    from hypr.deployment.deploy import import_nir

    if calibration is None and state_fraction_bits is None:
        raise click.UsageError("states need a scale: give --calibration INPUTS.npz or --state-fraction-bits N")
    settings: dict[str, Any] = {"weight_bits": weight_bits, "state_fraction_bits": state_fraction_bits}
    if synaptic_bias is not None:
        settings["synaptic_bias"] = synaptic_bias
    values = None if calibration is None else read_inputs(calibration)
    bundle = import_nir(file, out, preset, conventions, values, overwrite=overwrite, **settings)
    manifest = bundle.manifest
    answer = {
        "bundle": out,
        "program_sha256": manifest["program_sha256"],
        "layers": manifest["layers"],
        "reading": manifest.get("reading"),
        "decision": manifest["decision"],
        "files": manifest["files"],
    }

    def render() -> None:
        rows = [(layer["name"], layer["model"], layer["size"]) for layer in manifest["layers"]]
        table(f"Bundle {out}", ("layer", "model", "neurons"), rows, right=(2,))
        note(f"next: hypr verify {out} --inputs FILE.npz")

    show(answer, as_json, render)
