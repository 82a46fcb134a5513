"""``hypr import``: a NIR file from another framework becomes a bundle."""

from __future__ import annotations

import json
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
@click.option("--order", help="Neurons A,B,... in the order of a step, where a cycle of the graph leaves two orders.")
@click.option("--output", help="Output node or neuron that the decision reads; default: the last by name.")
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
    order: str | None,
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
    from export.bundle.manifest import network_of
    from hypr.deployment.arrays import read_inputs
    from hypr.deployment.deploy import import_nir

    if calibration is None and state_fraction_bits is None:
        raise click.UsageError("states need a scale: give --calibration INPUTS.npz or --state-fraction-bits N")
    settings: dict[str, Any] = {"weight_bits": weight_bits, "state_fraction_bits": state_fraction_bits}
    if synaptic_bias is not None:
        settings["synaptic_bias"] = synaptic_bias
    if order is not None:
        conventions["order"] = tuple(name.strip() for name in order.split(",") if name.strip())
    values = None if calibration is None else read_inputs(calibration)
    bundle = import_nir(file, out, preset, conventions, values, overwrite=overwrite, **settings)
    manifest = bundle.manifest
    notes = json.loads(bundle.program.metadata.get("notes", "[]"))
    answer = {
        "bundle": out,
        "program_sha256": manifest["program_sha256"],
        **network_of(manifest),
        "reading": manifest.get("reading"),
        "decision": manifest["decision"],
        "notes": notes,
        "files": manifest["files"],
    }

    def render() -> None:
        ((kind, items),) = network_of(manifest).items()
        rows = [(item["name"], item["model"], item["size"]) for item in items]
        table(f"Bundle {out}", (kind.removesuffix("s"), "model", "neurons"), rows, right=(2,))
        for line in notes:
            note(line)
        note(f"next: hypr verify {out} --inputs FILE.npz")

    show(answer, as_json, render)
