"""Write docs/licences.md: every package that an installed hypr brings along, its version and its licence.

    python docs/licences.py            compares the page with what is installed; exit code 1 where it differs
    python docs/licences.py --write    writes it

Everything is read from the metadata of the packages installed here; versions are those of constraints.txt.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path(__file__).with_suffix(".md")
CONSTRAINTS = ROOT / "constraints.txt"

HEAD = """# Licences of dependencies

HYPR itself is under the [Apache License 2.0](https://www.apache.org/licenses/LICENSE-2.0). An installed `hypr` brings
the packages below along; names and licences are those of the packages' own metadata, versions those that were tested
together (`constraints.txt`). Made by `python docs/licences.py --write`, which a test holds to what is installed.

| package | version | licence | needed by |
|---|---|---|---|
"""
TAIL = """
* A wheel may hold further libraries with terms of their own (BLAS in NumPy and SciPy, HDF5 in h5py, LLVM in llvmlite);
  their texts lie in its folder `licenses`.
* On Linux, a `torch` that is not the CPU build also brings Triton (MIT) and NVIDIA's CUDA libraries, which are under
  NVIDIA's own licences and not free software. The version in `constraints.txt` selects the CPU build where one is
  offered.
* Lava is not among the dependencies: `hypr lava install` puts lava-nc 0.10 (BSD-3-Clause and LGPL-2.1-or-later, says
  its metadata), asteval (MIT), networkx, NumPy and SciPy (BSD) into a folder of its own.
"""


def closure(root: str = "hypr") -> dict[str, tuple[Distribution, set[str]]]:
    """Canonical name -> (the package, names of those that need it), without ``root`` itself.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    found: dict[str, tuple[Distribution, set[str]]] = {}
    waiting = [(root, frozenset[str]())]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        for text in distribution(name).requires or ():
            need = Requirement(text)
            wanted = ({"extra": extra} for extra in ("", *sorted(extras)))
            if need.marker is not None and not any(need.marker.evaluate(environment) for environment in wanted):
                continue
            key = canonicalize_name(need.name)
            found.setdefault(key, (distribution(need.name), set()))[1].add(name)
            step = (key, frozenset(need.extras))
            if step not in seen:
                seen.add(step)
                waiting.append(step)
    found.pop(root, None)
    return found


def licence(package: Distribution) -> str:
    """What the metadata says: an SPDX expression, else the classifiers, else a short text."""
    about = package.metadata
    expression = about.get("License-Expression")
    if expression:
        return str(expression)
    marked = [item.rpartition("::")[2].strip() for item in about.get_all("Classifier") or () if "License ::" in item]
    said = " ".join(str(about.get("License") or "").split())
    short = said if 0 < len(said) <= 40 else ""
    return short or ", ".join(item for item in marked if item != "OSI Approved") or "see its folder licenses"


def tested_versions() -> dict[str, str]:
    """Canonical name -> version, of constraints.txt."""
    pins = re.findall(r"^([A-Za-z0-9_.\-]+)==([^\s;]+)", CONSTRAINTS.read_text("utf-8"), re.M)
    return {canonicalize_name(name): version for name, version in pins}


def page() -> str:
    """The page for what is installed here."""
    tested, rows = tested_versions(), []
    for name, (package, users) in sorted(closure().items()):
        version = tested.get(name, "any")
        rows.append(f"| {name} | {version} | {licence(package)} | {', '.join(sorted(users))} |")
    return HEAD + "\n".join(rows) + "\n" + TAIL


def main() -> int:
    """Compare or write."""
    try:
        text = page()
    except PackageNotFoundError as error:
        sys.stderr.write(f"licences: {error.name} is not installed; install hypr with its dependencies first\n")
        return 1
    if "--write" in sys.argv[1:]:
        PAGE.write_text(text, "utf-8")
        return 0
    if PAGE.read_text("utf-8") != text:
        sys.stderr.write(f"licences: {PAGE} is not what is installed; python docs/licences.py --write\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
