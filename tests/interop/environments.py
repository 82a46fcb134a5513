"""A virtual environment for each tool, made when a test first asks for it and kept in the user's cache folder.

The tools do not fit into one environment. Each gets its own, without their dependencies on torch, numpy and the like:
those are shared with the environment that runs the tests, by a path file.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.paths import ROOT

ALONE: Mapping[str, tuple[str, ...]] = {
    "snntorch": ("snntorch==1.0.0", "nirtorch==2.6"),
    "norse": ("norse==1.1.0", "nirtorch==2.6"),
    "spikingjelly": ("spikingjelly==2.0.0", "nirtorch==2.6", "loguru==0.7.3"),
    "sinabs": ("sinabs==3.1.3", "nir==1.0.4", "nirtorch==1.0", "pbr==7.1.3"),
    "rockpool": ("rockpool==3.1.0", "nirtorch==2.6"),
}
"""Tool -> packages that are installed without what they depend on."""

WITH_DEPENDENCIES: Mapping[str, tuple[str, ...]] = {"spyx": ("spyx==1.0.0",)}
"""jax and flax are not in the environment of the tests."""


def interpreter(tool: str) -> Path:
    """The Python that can import `tool`; skips the test, with the reason, where it cannot be installed."""
    alone = tool in ALONE
    packages = ALONE[tool] if alone else WITH_DEPENDENCIES[tool]
    shared = _shared_packages()
    key = hashlib.sha256("\n".join([*packages, sys.version, shared]).encode()).hexdigest()[:12]
    folder = _cache() / "interop" / f"{tool}-{key}"
    python = folder / "bin" / "python"
    if (folder / "complete").is_file():
        return python
    _command(tool, [sys.executable, "-m", "venv", "--clear", str(folder)])
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "zz_shared.pth").write_text(f"{shared}\n")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    _command(tool, [*install, *(["--no-deps"] if alone else []), *packages])
    (folder / "complete").touch()
    return python


def run_worker(tool: str, *arguments: str | Path, timeout_s: float = 1200) -> None:
    """Run ``tests.interop.<tool>_worker`` in the tool's environment; AssertionError with its last words."""
    command = [str(interpreter(tool)), "-W", "ignore", "-m", f"tests.interop.{tool}_worker", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=timeout_s)
    assert done.returncode == 0, done.stderr[-2000:]


def _shared_packages() -> str:
    import torch

    return str(Path(torch.__file__).parents[1])


def _cache() -> Path:
    base = os.environ.get("HYPR_HOME")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hypr"


def _command(tool: str, arguments: list[str]) -> None:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=900)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{tool} cannot be installed here: no answer within 15 minutes")
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        pytest.skip(f"{tool} cannot be installed here: {(errors or ['no word'])[-1]}")
