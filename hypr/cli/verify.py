"""``hypr verify``: several engines, the same inputs, every integer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hypr.cli.lava_options import COUNT, check_lava, lava_options
from hypr.cli.output import (
    check_out,
    inputs_option,
    json_option,
    note,
    progress,
    seconds,
    show,
    show_outcome,
    table,
    with_option,
)

if TYPE_CHECKING:
    from export.bundle.bundle import Bundle
    from export.bundle.checks import Findings
    from export.verification.verify import VerificationResult
    from hypr.deployment.arrays import Sequences


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--data",
    "data_name",
    metavar="NAME|FILE.npz|MODULE:FUNCTION",
    help="Data whose test part is run; default: those the network was trained on.",
)
@inputs_option
@click.option(
    "--engines",
    default="emulator,onnx,lava",
    show_default=True,
    help="Engines, separated by commas; the scalar oracle joins. Your own: module:object with run().",
)
@click.option("--samples", type=click.IntRange(min=1), help="Run the first N sequences only.")
@click.option(
    "--lava-samples",
    type=COUNT,
    default=16,
    show_default=True,
    help="Sequences that Lava runs, spread over all; or all.",
)
@click.option(
    "--reference-samples",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Sequences that the scalar oracle runs.",
)
@click.option(
    "--teacher-forced",
    is_flag=True,
    help="Start every step from the emulator's states, so that each engine's own errors show.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Certificate file; default: certificate.json in the bundle (certificate-partial.json where that covers more).",
)
@lava_options
@with_option
@json_option
def verify_verb(
    bundle: Path,
    data_name: str | None,
    inputs: Path | None,
    engines: str,
    samples: int | None,
    lava_samples: int,
    reference_samples: int,
    teacher_forced: bool,
    jobs: int,
    out: Path | None,
    as_json: bool,
    lava: dict[str, Any],
) -> int:
    """Run engines on the same inputs and compare outputs, spikes and every state at every step.

    Lava's finished parts are kept until a verification is through: one that was interrupted goes on from there.
    Everything is compared with the emulator, the emulator with the scalar oracle. A certificate with hashes and
    versions is written. Every file of the bundle is made again from the program and compared, too. Exit code 1 on any
    difference. Where the data have labels, the accuracy of the integers is told
    and certified too. An .npz file holds input_spikes (steps x samples x channels) and perhaps labels and mask.

    \b
    Examples:
      hypr verify bundles/ecg
      hypr verify bundles/ecg --engines emulator,onnx --jobs 2
      hypr verify bundles/ecg --engines lava --lava-samples all --timeout 60
      hypr verify bundles/ecg --engines onnx,reference --teacher-forced
      hypr verify bundles/ecg --inputs mine.npz --engines my_chip:simulator --out mine.json
    """
    if data_name is not None and inputs is not None:
        raise click.UsageError("give --data or --inputs, not both")
    names = [engine.strip() for engine in engines.split(",") if engine.strip()]
    if not names:
        raise click.UsageError("--engines names no engine; give one at least, for example emulator")
    check_lava(lava, names)
    if lava["arithmetic"] != "fixed_pt":
        raise click.UsageError("verification compares integers; --arithmetic floating_pt is for hypr run")
    check_out(out)
    from export.bundle.bundle import Bundle
    from export.bundle.certified import certify, place_of
    from export.bundle.names import ADDED
    from export.verification.certificate import write_certificate
    from hardware.aside import sweep
    from hardware.own import describe
    from hypr.deployment.arrays import read_sequences
    from hypr.deployment.claims import examined
    from hypr.deployment.deploy import float_against_integer, verify_bundle
    from hypr.deployment.outcome import of_program

    opened = Bundle.open(bundle)
    for name in ADDED:  # what killed runs left of these is no part of the bundle
        sweep(opened.path / name)
    data = _test_part(opened, data_name, samples) if inputs is None else read_sequences(inputs).first(samples)
    with progress("verifying", "sequences") as step:
        result = verify_bundle(
            opened,
            data.values,
            names,
            teacher_forced=teacher_forced,
            sample_limits={"lava": lava_samples, "reference": reference_samples},
            jobs=jobs,
            progress=step,
            lava=lava,
        )
    found = examined(opened, data_name)
    outcome = of_program(opened.program, data)
    content = certify(opened, result, data.name, found) | {
        "outcome": outcome.to_dict(),
        "own_neurons": describe(opened.program),
        "float_against_integer": float_against_integer(opened, data.values),
        "state_sizes": {
            f"{state}/{item.name}": item.size for item in opened.program.populations for state in item.spec.states
        },
    }
    target = out or place_of(opened, content)
    write_certificate(content, target)
    show({**content, "certificate": target}, as_json, lambda: render(result, found, data.name, target, content))
    if not as_json:
        show_outcome(outcome)
    return 0 if content["equal"] else 1


def _test_part(bundle: Bundle, name: str | None, samples: int | None) -> Sequences:
    from hypr.deployment.arrays import sequences_of
    from hypr.deployment.sources import bundle_data, is_other

    data = bundle_data(bundle, name=name)
    known = bundle.manifest.get("dataset")
    if name is not None and known and name != known.get("name"):
        what = "other data than the bundle was made with" if is_other(bundle, data) else "the very data of the bundle"
        note(f"data: {name}, {what}")
    return sequences_of(data if samples is None else data.subset(slice(0, samples)))


def render(result: VerificationResult, found: Findings, name: str, target: Path, content: dict[str, Any]) -> None:
    """The result as a table, the file checks, and the verdict."""
    from export.bundle.names import PARTIAL
    from export.quantization.findings import saturation_lines
    from export.verification.verdict import verdict_of
    from hypr.deployment.deploy import agreement_lines

    rows = [
        (p.ran_as, p.baseline, len(p.samples), p.steps, p.compared, p.differing, p.spikes, seconds(p.seconds))
        for p in result.pairs
    ]
    steps = result.inputs_shape[0]
    mode = "each step from the baseline's states" if result.teacher_forced else "free-running"
    columns = ("engine", "against", "sequences", "steps", "integers", "differing", "spikes", "time")
    table(
        f"{name}: {result.inputs_shape[1]} sequences of {steps} steps, {mode}", columns, rows, right=(2, 3, 4, 5, 6, 7)
    )
    for check, held in found.held.items():
        click.echo(f"  ok  {check}" if held else f"  NOT SO  {check}: {found.failed[check]}")
    for place, why in found.not_compared.items():
        click.echo(f"  not compared  {place}: {why}")
    for row in result.rows():
        if row["first_divergence"]:
            click.echo(f"first difference, {row['engine']} against {row['against']}: {row['first_divergence']}")
    most = max(result.pairs, key=lambda pair: len(pair.samples))
    sizes = {state: steps * len(most.samples) * count for state, count in content["state_sizes"].items()}
    for line in saturation_lines(most.saturated, sizes):
        note(f"warning: {line}")
    for line in agreement_lines(content["float_against_integer"]):
        click.echo(line)
    click.echo(verdict_of(content).line)
    if target.name == PARTIAL:
        note("certificate.json beside it covers more, and stays")
    note(f"certificate: {target}")
