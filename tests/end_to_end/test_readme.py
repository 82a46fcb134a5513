"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys

from hypr.cli.app import VERBS
from tests.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_example_runs_and_finds_no_divergence(tmp_path):
    (script,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "example.py"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "None"


def test_files_that_the_readme_links_to_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 12 and all((ROOT / link).exists() for link in links)


def test_the_page_about_a_loop_of_ones_own_shows_the_example_that_the_walk_runs():
    page = (ROOT / "docs" / "tutorials" / "loop.md").read_text(encoding="utf-8")
    assert '--8<-- "hypr/examples/own_loop.py"' in page


def test_the_networks_of_the_readme_fire(tmp_path):
    first = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    path = tmp_path / "example.py"
    path.write_text(first + "\nprint(min(int(value.sum()) for value in out.spikes.values()))\n", encoding="utf-8")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 100


def test_verbs_named_in_the_readme_exist():
    named = set(re.findall(r"^hypr ([a-z]+)|`hypr ([a-z]+)", README, re.MULTILINE))
    assert {first or second for first, second in named} <= set(VERBS)


def test_make_targets_named_in_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", README, re.MULTILINE))
    for first, second in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", README, re.MULTILINE):
        assert (first or second) in targets
