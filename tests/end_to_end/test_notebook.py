"""The notebook runs from top to bottom in a fresh kernel, and is committed without outputs."""

from __future__ import annotations

import time

import pytest

from tests.paths import ROOT

PATH = ROOT / "notebooks" / "float_vs_emulated.ipynb"
LIMIT_S = 180


def read():
    nbformat = pytest.importorskip("nbformat", reason="the extra 'notebook' is not installed")
    return nbformat.read(PATH, as_version=4)


def test_notebook_is_committed_without_outputs():
    for cell in read().cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.filterwarnings("default")  # the kernel's own libraries warn about the event loop
def test_notebook_runs_and_shows_pictures_and_agreement(tmp_path, monkeypatch):
    notebook = read()
    client = pytest.importorskip("nbclient", reason="the extra 'notebook' is not installed")
    monkeypatch.setenv("HYPR_NOTEBOOK_FOLDER", str(tmp_path))
    started = time.perf_counter()
    client.NotebookClient(notebook, timeout=LIMIT_S, resources={"metadata": {"path": str(PATH.parent)}}).execute()
    assert time.perf_counter() - started < LIMIT_S
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 6
    tables = [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]
    agreement = next(text for text in tables if "integers compared" in text)
    for engine in ("onnx", "reference"):
        assert f"<td>{engine}</td>" in agreement
    assert not [output for output in shown if output.output_type == "error"]
