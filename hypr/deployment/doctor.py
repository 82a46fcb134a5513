"""What this machine has: interpreter, packages, engines, accelerator, data. Looks, and changes nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGES = (
    "hypr",
    "torch",
    "numpy",
    "numba",
    "nir",
    "onnx",
    "onnxruntime",
    "scipy",
    "scikit-learn",
    "h5py",
    "safetensors",
    "matplotlib",
)


@dataclass(frozen=True)
class Check:
    """One line of the diagnosis.

    Attributes:
        name: what was looked at.
        ok: whether it is usable here.
        required: whether training, export and emulation need it.
        detail: version, place, or what is wrong.
        fix: what to type where it is not usable; empty otherwise.
    """

    name: str
    ok: bool
    required: bool
    detail: str
    fix: str = ""


def examine() -> dict[str, Any]:
    """The diagnosis as plain data: ``machine``, ``packages``, ``engines``, ``lava``, ``accelerator``, ``data``."""
    return {
        "machine": _machine(),
        "packages": [asdict(check) for check in packages()],
        "engines": [asdict(check) for check in engines()],
        "lava": asdict(lava()),
        "accelerator": asdict(accelerator()),
        "data": [asdict(check) for check in data_sets()],
    }


def packages() -> list[Check]:
    """Packages that the main environment needs."""
    found = []
    for name in PACKAGES:
        try:
            found.append(Check(name, True, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            if name == "hypr" and importlib.util.find_spec("hypr"):
                found.append(Check(name, True, True, "from a source folder, not installed"))
            else:
                found.append(Check(name, False, True, "not installed", "pip install -c constraints.txt -e ."))
    return found


def engines() -> list[Check]:
    """Engines that run a Program, and whether they run here."""
    from export.verification.engines import ENGINES

    found = []
    for engine in ENGINES.values():
        problem = engine.problem()
        if problem is None:
            versions = ", ".join(f"{name} {version}" for name, version in engine.versions().items())
            found.append(Check(engine.name, True, engine.name != "lava", f"{engine.description} ({versions})"))
        else:
            found.append(Check(engine.name, False, engine.name != "lava", problem, engine.install))
    return found


def lava() -> Check:
    """The Python 3.10 runtime that holds Lava."""
    from hardware.lava import paths

    status = paths.status()
    if status.installed:
        return Check("lava runtime", True, False, str(status.folder))
    return Check("lava runtime", False, False, f"not installed in {status.folder}", paths.INSTALL_COMMAND)


def accelerator() -> Check:
    """A GPU that torch can use; everything runs without one."""
    if importlib.util.find_spec("torch") is None:
        return Check("GPU", False, False, "torch is not installed", "pip install -c constraints.txt -e .")
    import torch

    if torch.cuda.is_available():
        return Check("GPU", True, False, f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}")
    return Check("GPU", False, False, "none that torch can use; training runs on the CPU")


def data_sets() -> list[Check]:
    """Data sets and whether their files are here."""
    from hypr import data

    return [
        Check(
            entry.name,
            entry.present,
            False,
            entry.path if entry.present else "not here",
            "" if entry.present else f"hypr data fetch {entry.name}",
        )
        for entry in data.catalogue()
    ]


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "free_disk_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
    }
