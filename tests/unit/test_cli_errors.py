"""The one place that turns errors into exit codes."""

from __future__ import annotations

import json

import click
import pytest

from export.errors import UnsupportedError
from hardware.errors import ProgramError, RuntimeMissing
from hypr.cli import app
from hypr.errors import HyprError


def raising(error: BaseException) -> click.Command:
    @click.command("doctor")
    @click.option("--json", is_flag=True)
    def command(json: bool) -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HyprError("what, where; fix"), 2),
        (UnsupportedError("what, where; fix"), 2),
        (ProgramError("what, where; fix"), 2),
        (FileNotFoundError(2, "No such file or directory", "what, where; fix"), 2),
        (PermissionError(13, "Permission denied", "what, where; fix"), 2),
        (click.UsageError("what, where; fix"), 2),
        (RuntimeMissing("what, where; fix"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_code_and_one_line(monkeypatch, capsys, error, code):
    monkeypatch.setattr(app.VerbGroup, "get_command", lambda *_: raising(error))
    assert app.run(["doctor", "--json"]) == code
    found = capsys.readouterr()
    lines = found.err.strip().splitlines()  # click ends the line on which ^C was echoed
    assert len(lines) == 1
    assert lines[0].startswith("hypr: ")
    assert json.loads(found.out)["exit_code"] == code
    if not isinstance(error, KeyboardInterrupt):
        assert "what, where; fix" in found.err


def test_message_of_several_lines_becomes_one(monkeypatch, capsys):
    monkeypatch.setattr(app.VerbGroup, "get_command", lambda *_: raising(HyprError("one\n  two")))
    app.run(["doctor"])
    assert capsys.readouterr().err == "hypr: one two\n"


def test_defect_of_the_program_is_not_hidden(monkeypatch):
    monkeypatch.setattr(app.VerbGroup, "get_command", lambda *_: raising(ZeroDivisionError("defect")))
    with pytest.raises(ZeroDivisionError):
        app.run(["doctor"])
