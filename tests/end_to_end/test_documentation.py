"""The documentation builds without a warning, and what its tutorials show works as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from hypr.cli.app import VERBS
from tests.paths import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if find_spec("mkdocs") is None or find_spec("mkdocstrings_handlers") is None:
        pytest.skip("mkdocs is not installed (pip install -e '.[docs]')")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr[-3000:]
    return out


def test_every_verb_and_every_recipe_key_stands_on_its_page(site):
    commands = (site / "reference" / "commands.html").read_text()
    assert all(f"hypr {verb}" in commands for verb in VERBS)
    keys = (site / "reference" / "keys.html").read_text()
    assert "training.epochs" in keys and "omega_range" in keys and "&lt;!-- made" not in keys


def test_every_notebook_is_a_page_with_its_pictures(site):
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert len(notebooks) == 6
    for notebook in notebooks:
        stored = json.loads(notebook.read_text())
        outputs = [output for cell in stored["cells"] for output in cell.get("outputs", [])]
        pictures = sum("image/png" in output.get("data", {}) for output in outputs)
        page = (site / "notebooks" / f"{notebook.stem}.html").read_text()
        assert pictures and page.count("data:image/png;base64,") == pictures
        assert (site / "notebooks" / notebook.name).read_bytes() == notebook.read_bytes()


def test_pages_ask_no_other_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        asked = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?://[^\s\">]+)", page.read_text())
        assert not asked, f"{page.name}: {asked}"


def test_the_walk_of_the_data_page(tmp_path):
    page = (DOCS / "tutorials" / "data.md").read_text()
    (make,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (recipe,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    commands = re.findall(r"^hypr (.*)$", page, re.MULTILINE)
    (tmp_path / "mine.toml").write_text(recipe)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", make], cwd=tmp_path, check=True, timeout=60)
    assert [command.split()[0] for command in commands] == ["train", "export", "verify", "report"]
    for command in commands:
        words = command.split() + (["--engines", "emulator,onnx"] if command.startswith("verify") else [])
        done = subprocess.run(
            [sys.executable, "-m", "hypr", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "runs" / "mine" / "result.json").read_text())
    assert result["best"]["test"] > 0.8

    own = [sys.executable, "-m", "hypr", "verify", "bundles/mine", "--engines", "own_engine:board", "--out", "odd.json"]
    (tmp_path / "own_engine.py").write_text((DOCS / "examples" / "own_engine.py").read_text())
    done = subprocess.run(own, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "hidden0" in done.stdout


def test_pictures_of_neurons_come_from_the_package(tmp_path):
    script = (DOCS / "draw_neurons.py").read_text()
    copy = tmp_path / "draw_neurons.py"
    copy.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, copy], env=environment, check=True, timeout=120)
    made = {path.name for path in (tmp_path / "neurons").glob("*.svg")}
    assert made == {path.name for path in (DOCS / "neurons").glob("*.svg")}
