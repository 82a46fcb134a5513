"""``hypr certificate``: whether a certificate is about a bundle as it lies there now."""

from __future__ import annotations

from pathlib import Path

import click

from hypr.cli.output import json_option, progress, show, with_option

_MARKS = {True: "ok", False: "NOT SO", None: "?"}


@click.group("certificate")
def certificate_verb() -> None:
    """What hypr verify wrote: whether it is about a bundle as it lies there now.

    \b
    Examples:
      hypr certificate check bundles/ecg
      hypr certificate check bundles/ecg --rerun
    """


@certificate_verb.command("check")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--certificate", "file", type=click.Path(path_type=Path), help="Default: certificate.json in the bundle.")
@click.option("--rerun", "again", is_flag=True, help="Run the same engines on the same inputs again, too.")
@click.option("--data", "data_name", metavar="NAME|FILE.npz|MODULE:FUNCTION", help="Where the data are now.")
@click.option("--inputs", type=click.Path(path_type=Path), help="The .npz file that was verified with --inputs.")
@click.option("--engines", default="", help="With --rerun: your own engines that the certificate names.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes of --rerun.")
@with_option
@json_option
def check_certificate(
    bundle: Path,
    file: Path | None,
    again: bool,
    data_name: str | None,
    inputs: Path | None,
    engines: str,
    jobs: int,
    as_json: bool,
) -> int:
    """Say of each thing that a certificate states whether it holds for BUNDLE; exit code 1 where one does not.

    The verdict is computed from the entries, whatever the certificate calls itself; files are compared by their hashes
    and made again from the program.

    \b
    Examples:
      hypr certificate check bundles/ecg
      hypr certificate check bundles/ecg --certificate proof.json --rerun --jobs 2
      hypr certificate check bundles/ecg --inputs mine.npz --rerun --engines my_chip:simulator
    """
    if data_name is not None and inputs is not None:
        raise click.UsageError("give --data or --inputs, not both")
    from export.bundle.bundle import Bundle
    from export.bundle.certified import statements
    from export.bundle.names import CERTIFICATE
    from export.verification.certificate import read_certificate
    from hypr.deployment.recheck import certified_inputs, inputs_statement, rerun

    opened = Bundle.open(bundle)
    content = read_certificate(file or bundle / CERTIFICATE)
    lines = [*statements(opened, content), inputs_statement(opened, content, data_name, inputs)]
    if again:
        own = [name.strip() for name in engines.split(",") if name.strip()]
        data = certified_inputs(opened, content, data_name, inputs)
        with progress("verifying", "sequences") as step:
            lines += rerun(opened, content, data, own, jobs, step)
    holds = all(line.held is not False for line in lines)

    def render() -> None:
        for line in lines:
            click.echo(f"  {_MARKS[line.held]:<6}  {line.about}: {line.text}")
        click.echo("the certificate is about this bundle" if holds else "the certificate is NOT about this bundle")

    answer = {"holds": holds, "statements": [{"about": s.about, "text": s.text, "held": s.held} for s in lines]}
    show(answer, as_json, render)
    return 0 if holds else 1
