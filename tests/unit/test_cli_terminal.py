"""Completion of shells, and colours only where they belong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hypr.cli.app import VERBS
from tests.paths import ROOT

BASE = {**os.environ, "PYTHONPATH": str(ROOT)}


def hypr(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", "import sys; from hypr.cli import main; sys.argv[0] = 'hypr'; main()", *arguments],
        env={**BASE, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def completed(line):
    words = line.split(" ")
    done = hypr(_HYPR_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1))
    return {item.split(",", 1)[1] for item in done.stdout.splitlines()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_names_the_program(shell):
    done = hypr("completion", shell)
    assert done.returncode == 0 and "_HYPR_COMPLETE" in done.stdout and "hypr" in done.stdout


def test_an_unknown_shell_is_one_line_that_names_the_known_ones():
    done = hypr("completion", "csh")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "'bash', 'zsh', 'fish'" in done.stderr


def test_verbs_options_and_recipes_are_completed():
    assert set(VERBS) <= completed("hypr ")
    assert {"--resume", "--seeds"} <= completed("hypr train --")
    assert "qtdb-brf" in completed("hypr train qtdb")


def test_there_is_no_colour_where_the_output_is_no_terminal():
    done = hypr("doctor")
    assert "\x1b[" not in done.stdout + done.stderr
