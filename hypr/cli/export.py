"""``hypr export``: from a run folder to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hypr.cli.output import json_option, note, percent, show, table


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the bundle.")
@click.option("--to", default="nir,onnx,lava", show_default=True, help="Targets, separated by commas.")
@click.option(
    "--which",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Weights: best on validation, or last.",
)
@click.option("--weight-bits", type=int, default=8, show_default=True, help="Bits of a synaptic weight, 2 to 8.")
@click.option(
    "--coefficient-bits",
    type=int,
    default=12,
    show_default=True,
    help="Fraction bits of decays and rotations, 8 to 16.",
)
@click.option(
    "--weight-scale",
    default="power_of_two",
    show_default=True,
    help="power_of_two, or per_row (worth it at 4 to 6 bits).",
)
@click.option(
    "--dt",
    type=float,
    default=1e-3,
    show_default=True,
    help="Seconds per step in NIR files; the integers do not depend on it.",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there already.")
@json_option
def export_verb(
    run: Path,
    out: Path,
    to: str,
    which: str,
    weight_bits: int,
    coefficient_bits: int,
    weight_scale: str,
    dt: float,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Quantize the network of folder RUN and write a bundle.

    A bundle holds NIR, ONNX and Lava files, the integer program, and a manifest with hashes.

    \b
    Examples:
      hypr export runs/ecg --out bundles/ecg
      hypr export runs/ecg --weight-bits 4 --weight-scale per_row --out bundles/ecg4
      hypr export runs/ecg --to nir --which last --out bundles/ecg-nir
    """
    from hypr.deploy import export_run
    from hypr.runs import open_run

    targets = [name.strip() for name in to.split(",") if name.strip()]
    done = export_run(
        open_run(run, "last" if which == "last" else "best"),
        out,
        to=targets,
        dt_s=dt,
        overwrite=overwrite,
        weight_bits=weight_bits,
        coefficient_bits=coefficient_bits,
        weight_scale=weight_scale,
    )
    manifest = done.bundle.manifest
    ranges = done.ranges
    answer = {
        "bundle": out,
        "program_sha256": manifest["program_sha256"],
        "float_test_accuracy": done.float_accuracy,
        "integer_test_accuracy": done.integer_accuracy,
        "ranges": ranges,
        "layers": manifest["layers"],
        "files": manifest["files"],
    }
    show(answer, as_json, lambda: _render(answer))


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


def _render(answer: dict[str, Any]) -> None:
    rows = [(name, entry["bytes"], entry["sha256"][:16]) for name, entry in answer["files"].items()]
    table(f"Bundle {answer['bundle']}", ("file", "bytes", "sha256"), rows, right=(1,))
    click.echo(describe_ranges(answer["ranges"]))
    real, whole = answer["float_test_accuracy"], answer["integer_test_accuracy"]
    change = "" if real is None else f" ({100 * (whole - real):+.2f} points against float, {percent(real)})"
    click.echo(f"integer network on the test part: {percent(whole)}{change}")
    note(f"next: hypr verify {answer['bundle']}")
