"""Notebooks in a clean kernel: ``python -m tests.notebook_runs [NAME ...]`` executes them and stores what they show.

Outputs of cells with the tag ``varies`` hold times and amounts of memory; everything else must come out the same again.
On another kind of processor matrix products of float training round otherwise, and training ends a point of accuracy
away: there the words, the tables' heads and what they say of differing integers must be the same (:func:`outline`).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

from tests.paths import ROOT

FOLDER = ROOT / "notebooks"
LIMIT_S = 180
VARIES = "varies"
_NAMED = {"HYPR_DATA": "data", "HYPR_CASES": "cases"}


def names() -> list[str]:
    """Names of all notebooks, without ``.ipynb``."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read(name: str) -> Any:
    """A notebook as nbformat gives it."""
    import nbformat

    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def execute(notebook: Any, scratch: Path) -> float:
    """Run all cells in a clean kernel, which writes its files into ``scratch``; returns seconds.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed. CellTimeoutError: one took longer than the limit.
    """
    from nbclient import NotebookClient

    before = {key: os.environ.get(key) for key in (*_NAMED, "HYPR_NOTEBOOK_FOLDER", "PYTHONPATH")}
    os.environ["HYPR_NOTEBOOK_FOLDER"] = str(scratch)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), before["PYTHONPATH"])))
    for key, folder in _NAMED.items():
        os.environ[key] = before[key] or str(ROOT.parent / "shared" / folder)
    started = time.perf_counter()
    try:
        NotebookClient(notebook, timeout=LIMIT_S, resources={"metadata": {"path": str(FOLDER)}}).execute()
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)
    return time.perf_counter() - started


def shown(notebook: Any) -> list[tuple[int, str]]:
    """Tables and printed lines of all cells that must come out the same: (number of the cell, text)."""
    found = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or VARIES in cell.metadata.get("tags", []):
            continue
        for output in cell.outputs:
            printed = output.get("text") if output.get("name") == "stdout" else None
            text = printed or output.get("data", {}).get("text/html")
            if text:
                found.append((index, "".join(text).strip()))
    return found


def processor() -> str:
    """Kind of processor, as far as rounding depends on it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        re.findall(r"^(?:model name|flags)\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE)[:2]
        if cpuinfo.exists()
        else []
    )
    wide = "with AVX-512" if any("avx512f" in name.split() for name in names) else "without AVX-512"
    return f"{names[0] if names else platform.machine()}, {wide}"


def stored_on(notebook: Any) -> str | None:
    """The processor that the outputs are from, None where that was not written down."""
    return notebook.metadata.get("hypr", {}).get("processor")


def outline(text: str) -> list[str]:
    """What training decides nothing of: the heads of a table and in which rows no integer differs, or the words of
    printed lines."""
    if "<table>" not in text:
        return [re.sub(r"\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", "#", text)]
    heads = re.findall(r"<th>(.*?)</th>", text)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in text.split("<tr>")]
    counts = [str(row[heads.index("differing")] == "0") for row in rows if row] if "differing" in heads else []
    return [*heads, *counts]


def pictures(notebook: Any) -> list[str]:
    """All pictures, base64."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


def clean(notebook: Any) -> None:
    """Leave out what differs from run to run and says nothing: times in the metadata, names of kernels, ids."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "hypr": {"processor": processor()},
    }
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index:02d}"
        cell.metadata.pop("execution", None)


def main() -> None:
    import nbformat

    parser = argparse.ArgumentParser(prog="tests.notebook_runs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--scratch", type=Path, default=ROOT / "runs" / "notebooks")
    arguments = parser.parse_args()
    for given in arguments.names or names():
        name = Path(given).stem
        notebook = read(name)
        arguments.scratch.mkdir(parents=True, exist_ok=True)
        seconds = execute(notebook, arguments.scratch)
        clean(notebook)
        nbformat.write(notebook, FOLDER / f"{name}.ipynb")
        size = (FOLDER / f"{name}.ipynb").stat().st_size
        print(f"{name}: {seconds:.0f} s, {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
