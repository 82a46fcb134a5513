"""The notebooks: stored with what they show, from public names only, and the same again from a clean kernel."""

from __future__ import annotations

import ast
import base64
import io
import re
from collections.abc import Iterator
from importlib import import_module

import pytest

from hardware.lava.paths import status
from tests.paths import ROOT, cases_folder, data_folder

pytest.importorskip("nbformat", reason="the extra 'notebook' is not installed")
pytest.importorskip("nbclient", reason="the extra 'notebook' is not installed")

from tests import notebook_runs as runs

FASTEST = "01_first_network"
NEEDS_DATA = {
    "04_bring_your_own_nir": ("qtdb", "braille"),
    "05_online_stream": ("qtdb",),
    "06_hypr_against_bptt": ("qtdb",),
}
NEEDS_CASES = {"04_bring_your_own_nir": ("tools", "pretrained", "nir")}
NEEDS_LAVA = ("01_first_network", "02_float_vs_emulated", "03_deploy_on_lava")
ALL_PUBLIC = ("hypr", "hypr.data", "hypr.report", "export", "hardware")
MOST_BYTES, WIDEST = 2_500_000, 860

NAMES = runs.names()


def code(name: str) -> list:
    return [cell for cell in runs.read(name).cells if cell.cell_type == "code"]


def test_there_are_six_notebooks_and_they_are_small_together():
    assert [name[:2] for name in NAMES] == ["01", "02", "03", "04", "05", "06"]
    assert sum((runs.FOLDER / f"{name}.ipynb").stat().st_size for name in NAMES) < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stored_executed_from_top_to_bottom_without_errors(name):
    cells = code(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert len(runs.shown(runs.read(name))) >= 5
    assert not re.search(r"\b0x[0-9a-f]{6,}", str([cell.outputs for cell in cells])), "an address, not a result"
    assert runs.read(name).cells[-1].cell_type == "markdown"


@pytest.mark.parametrize("name", NAMES)
def test_stored_pictures_are_small(name):
    from PIL import Image

    pictures = [base64.b64decode(data) for data in runs.pictures(runs.read(name))]
    assert pictures
    for data in pictures:
        with Image.open(io.BytesIO(data)) as image:
            assert image.width <= WIDEST and len(data) < 100_000


def documented() -> set[str]:
    pages = (ROOT / "docs" / "reference").glob("*.md")
    return {name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)}


def used(name: str) -> Iterator[str]:
    """Dotted names of this project that a notebook imports, or reads from a package that it imports."""
    for cell in code(name):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("hypr", "export", "hardware"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Attribute):
                dotted = ast.unparse(node)
                if re.fullmatch(r"(hypr\.data|hypr|export|hardware)\.\w+", dotted) and dotted != "hypr.data":
                    yield dotted


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_uses_public_names_only(name):
    known, found = documented(), set(used(name))
    assert len(found) >= 5
    for dotted in found:
        module, _, last = dotted.rpartition(".")
        exported = module in ALL_PUBLIC and last in dir(import_module(module)) and not last.startswith("_")
        told = any(item == dotted or item.startswith(f"{dotted}.") for item in known)
        assert exported or told, f"{dotted} is neither exported nor in docs/reference"


@pytest.mark.parametrize(
    "name", [name if name == FASTEST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
@pytest.mark.filterwarnings("default")  # the kernel's own libraries warn about the event loop
def test_a_clean_kernel_shows_the_stored_tables_again(name, tmp_path):
    for folder in NEEDS_DATA.get(name, ()):
        data_folder(folder)
    for folder in NEEDS_CASES.get(name, ()):
        cases_folder(folder)
    notebook = runs.read(name)
    stored, pictures = runs.shown(notebook), len(runs.pictures(notebook))
    seconds = runs.execute(notebook, tmp_path)
    assert seconds < runs.LIMIT_S
    if name in NEEDS_LAVA and not status().installed:
        pytest.skip("it ran, but without Lava, which the stored tables have")
    assert len(runs.pictures(notebook)) == pictures
    found, hint = runs.shown(notebook), f"store anew, if this is meant: python -m tests.notebook_runs {name}"
    if runs.stored_on(runs.read(name)) == runs.processor():
        assert found == stored, hint
    for (old, before), (new, after) in zip(stored, found, strict=True):
        assert (old, runs.outline(before)) == (new, runs.outline(after)), hint


def test_outputs_of_another_processor_may_differ_in_numbers_of_training_only():
    table = "<table><tr><th>accuracy</th><th>differing</th></tr><tr><td>{}</td><td>{}</td></tr></table>"
    assert runs.outline(table.format("0.9304", "0")) == runs.outline(table.format("0.9499", "0"))
    assert runs.outline(table.format("0.9304", "0")) != runs.outline(table.format("0.9304", "1"))
    assert (
        runs.outline("loss 0.56 of 1,359") == runs.outline("loss 0.48 of 1,300") != runs.outline("gain 0.56 of 1,359")
    )
