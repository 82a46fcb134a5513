"""Where the Lava runtime lies, and what is known of it without starting it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from hardware.errors import RuntimeMissing

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
INSTALL_COMMAND = "hypr lava install"
STAMP = "complete.json"
"""File in the runtime's folder, written last of all."""


@dataclass(frozen=True)
class RuntimeStatus:
    """What is known of the runtime without starting it.

    Attributes:
        installed: whether it is complete.
        folder: where it lies or would lie.
        python: its interpreter, or None.
        versions: package -> version, as checked at installation.
    """

    installed: bool
    folder: Path
    python: Path | None
    versions: dict[str, str]


def default_folder() -> Path:
    """``$HYPR_HOME`` or the platform's cache folder, and the hash of the requirements."""
    if os.environ.get("HYPR_HOME"):
        base = Path(os.environ["HYPR_HOME"]).expanduser()
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches" / "hypr"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hypr"
    return base.absolute() / f"lava-runtime-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"


def status(folder: Path | None = None) -> RuntimeStatus:
    """Whether the runtime is there, in the given folder or in its usual one; reads one small file."""
    folder = folder or default_folder()
    try:
        stamp = json.loads((folder / STAMP).read_text())
        versions = {str(k): str(v) for k, v in stamp["versions"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return RuntimeStatus(False, folder, None, {})
    python = folder / "bin" / "python"
    if not os.access(python, os.X_OK):  # its base interpreter was removed
        return RuntimeStatus(False, folder, None, {})
    return RuntimeStatus(True, folder, python, versions)


def python_path() -> Path:
    """Interpreter of the installed runtime.

    Raises:
        RuntimeMissing: it is not installed; the message is the line to type.
    """
    found = status()
    if not found.installed or found.python is None:
        raise RuntimeMissing(f"the Lava runtime is not installed in {found.folder}; run '{INSTALL_COMMAND}'")
    return found.python
