"""``hypr doctor``: what is installed, which engines run here."""

from __future__ import annotations

from typing import Any

import click

from hypr.cli.output import json_option, show, table


@click.command("doctor")
@json_option
def doctor_verb(as_json: bool) -> int:
    """What is installed, and which engines run here.

    Exit code 3 where a part that training or verification needs is missing.

    \b
    Examples:
      hypr doctor
      hypr doctor --json | python -m json.tool
    """
    from hypr.deployment.doctor import examine

    found = examine()
    checks = [*found["packages"], *found["engines"]]
    ok = all(check["ok"] for check in checks if check["required"])
    show({"ok": ok, **found}, as_json, lambda: _render(found))
    return 0 if ok else 3


def _render(found: dict[str, Any]) -> None:
    machine = found["machine"]
    click.echo(f"Python {machine['python']} ({machine['executable']})")
    click.echo(f"{machine['system']}, {machine['cpus']} CPUs, {machine['free_disk_gb']} GB of disk free")
    for title, checks in (
        ("Packages", found["packages"]),
        ("Engines", found["engines"]),
        ("Optional", [found["lava"], found["accelerator"]]),
        ("Data", found["data"]),
    ):
        table(
            title,
            ("", "name", "what", "fix"),
            [(_mark(check), check["name"], check["detail"], check["fix"]) for check in checks],
        )


def _mark(check: dict[str, Any]) -> str:
    if check["ok"]:
        return "ok"
    return "MISSING" if check["required"] else "-"
