"""Commands of the fault tests: ``python -m tests.end_to_end.lava_fault_scripts NAME FOLDER [key=value ...]``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from unittest import mock

import click


def run(folder: Path, **options: str) -> None:
    """A run on Lava under the command line's own handling of errors and signals."""
    import numpy as np

    from hardware.lava import runtime
    from hardware.program_file import load

    inputs = np.load(folder / "inputs.npz")["input_spikes"]
    timeout = float(options["timeout"]) if "timeout" in options else None
    runtime.run(load(folder / "program.npz"), inputs, connections="dense", timeout_s=timeout)


def verify(folder: Path, **options: str) -> None:
    """Two processes, each with Lava, as ``hypr verify --jobs 2`` has them."""
    import numpy as np

    from export.verification import engines
    from export.verification.verify import verify
    from hardware.program_file import load

    program, inputs = load(folder / "program.npz"), np.load(folder / "inputs.npz")["input_spikes"]
    verify(program, inputs, [engines.get("lava")], sample_limits={"lava": 8, "reference": 1}, jobs=2)


if __name__ == "__main__":
    from hypr.cli import app

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit it ignored
    name, place, *words = sys.argv[1:]
    work = {"run": run, "verify": verify}[name]
    pairs = dict(word.split("=", 1) for word in words)
    command = click.Command("fault", callback=lambda: work(Path(place), **pairs))
    with mock.patch.object(app, "cli", command):
        sys.exit(app.run(["--"]))  # a call without a word is one for help, and takes no signals
