"""Bundles of version 0.1: what ``write_v01.py`` stores under ``bundles/``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exported:
    """A bundle made by ``hypr export``.

    Attributes:
        run: of ``v01_runs.RUNS``.
        options: of ``hypr export``.
        verify: options of ``hypr verify`` whose certificate is kept in the bundle; None leaves it without one.
    """

    run: str
    options: tuple[str, ...] = ()
    verify: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Imported:
    """A bundle made by ``hypr import`` of a NIR file.

    Attributes:
        file: path below the folder of networks from other frameworks, without ``.nir``; ``.npz`` holds its inputs.
        options: of ``hypr import``.
        verify: as in :class:`Exported`.
    """

    file: str
    options: tuple[str, ...]
    verify: tuple[str, ...] | None = None


_LAVA = ("--lava-samples", "3")
_4_BITS = ("--weight-bits", "4", "--weight-scale", "per_row")

BUNDLES: dict[str, Exported | Imported] = {
    "everything": Exported("digits-hypr", verify=_LAVA),
    "per-row": Exported("digits-hypr", _4_BITS, verify=_LAVA),
    "two-layers": Exported("digits-window", ("--which", "last", "--weight-scale", "per_layer"), verify=_LAVA),
    "nir-only": Exported(
        "digits-bptt", ("--to", "nir", "--weight-bits", "2", "--coefficient-bits", "8", "--dt", "0.01")
    ),
    "onnx-only": Exported("cue-eprop", ("--to", "onnx"), verify=("--engines", "emulator,onnx", "--teacher-forced")),
    "lava-only": Exported("cue-spiking-readout", ("--to", "lava"), verify=("--engines", "emulator,lava", *_LAVA)),
    "integer": Exported("digits-integer", verify=("--engines", "emulator,onnx", "--samples", "40")),
    "searched": Exported("cue-spiking-readout", ("--search", "--max-loss", "1")),
    "snntorch": Imported("tools/snntorch_06", ("--preset", "snntorch", "--reset", "subtract"), verify=_LAVA),
    "norse": Imported("tools/norse_03", ("--preset", "norse", "--synaptic-bias", "steady_state", "--weight-bits", "6")),
    "spikingjelly": Imported("tools/spikingjelly_29", ("--preset", "nir", "--dt", "0.0001"), verify=_LAVA),
    "sinabs": Imported("tools/sinabs_02", ("--preset", "sinabs", "--decision", "sum")),
}
PROGRAM_ONLY = "program-only"
"""Name of a bundle that was written from a Program alone: no float network, no scales."""
