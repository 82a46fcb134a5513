"""The notebooks as pages, with the outputs that are stored in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add ``notebooks/NAME.md`` and the notebook itself, ``notebooks/NAME.ipynb``, for every notebook.

    Args:
        files: pages that lie in ``docs``. config: of the site.
    """
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        where = f"notebooks/{path.stem}"
        files.append(File.generated(config, f"{where}.md", content=page_of(path)))
        files.append(File.generated(config, f"{where}.ipynb", abs_src_path=str(path)))
    return files


def page_of(path: Path) -> str:
    """A notebook as Markdown: texts, cells, and what they show."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"~~~~python\n{source}\n~~~~")
        parts += [shown for output in cell["outputs"] for shown in _shown(output)]
    title, rest = parts[0].split("\n", 1)
    link = f"[This page as a notebook]({path.name})"
    return "\n\n".join([title, link, rest, *parts[1:]]) + "\n"


def _shown(output: dict[str, Any]) -> list[str]:
    data = output.get("data", {})
    if "text/html" in data:
        return ["".join(data["text/html"]).replace("\n", "")]
    if "image/png" in data:
        image = "".join(data["image/png"]).replace("\n", "")
        return [f'<img alt="picture made by the cell above" src="data:image/png;base64,{image}">']
    text = "".join(output.get("text", []) or data.get("text/plain", ""))
    return [f"~~~~text\n{text.rstrip()}\n~~~~"] if text.strip() else []
