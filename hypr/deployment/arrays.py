"""``INPUTS.npz`` and ``OUT.npz``: what ``hypr run`` and ``hypr verify`` read and write. No pickle."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.files import write_atomically
from hardware.inputs import Inputs
from hardware.trace import Trace
from hypr.errors import HyprError

INPUT_KEY = "input_spikes"


def read_inputs(path: Path) -> Inputs:
    """Inputs (T, B, N_in), integers (spikes or graded payloads) or bool: the array ``input_spikes``, or where there is
    none a mapping of the arrays ``input_spikes/NAME``.

    Raises:
        HyprError: no such file, not an NPZ file, none of these arrays, not three axes, not integers.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise HyprError(f"{path}: is a single array; save it with np.savez(path, {INPUT_KEY}=array)")
            named = [key for key in archive.files if key.startswith(f"{INPUT_KEY}/")]
            if INPUT_KEY not in archive.files and not named:
                held = ", ".join(archive.files[:8]) or "nothing"
                raise HyprError(
                    f"{path}: holds no '{INPUT_KEY}' (it holds {held}); save it with np.savez(path, {INPUT_KEY}=array)"
                )
            keys = [INPUT_KEY] if INPUT_KEY in archive.files else named
            found = {key.partition("/")[2]: _checked(path, key, archive[key]) for key in keys}
    except HyprError:
        raise
    except OSError as error:
        raise HyprError(
            f"{path}: cannot be read ({error.strerror or 'damaged'}); give an .npz file with '{INPUT_KEY}'"
        ) from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:100]
        raise HyprError(f"{path}: damaged or not an .npz file ({reason}); write it again with np.savez") from None
    return found[""] if keys == [INPUT_KEY] else found


class InputFiles(Sequence[np.ndarray]):
    """Calibration inputs from files, one of which is in memory at a time; items are (B, T, N_in).

    Args:
        paths: ``.npz`` files with ``input_spikes``, and folders of such.

    Raises:
        HyprError: a folder without such files; at an item what :func:`read_inputs` raises.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths: list[Path] = []
        for path in paths:
            found = sorted(path.glob("*.npz")) if path.is_dir() else [path]
            if not found:
                raise HyprError(f"{path}: no .npz file in it; save inputs with np.savez(path, {INPUT_KEY}=array)")
            self.paths += found

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        values = read_inputs(self.paths[index])
        if isinstance(values, Mapping):
            return {name: value.transpose(1, 0, 2) for name, value in values.items()}
        return values.transpose(1, 0, 2)


def _checked(path: Path, key: str, inputs: np.ndarray) -> np.ndarray:
    if inputs.ndim != 3:
        raise HyprError(f"{path}: '{key}' has shape {inputs.shape}; it must be (steps, samples, channels)")
    if inputs.dtype.kind not in "biu":
        raise HyprError(
            f"{path}: '{key}' holds {inputs.dtype}; it must hold integers or bool: "
            "encode values as spikes or payloads first"
        )
    return inputs


def write_trace(trace: Trace, path: Path) -> None:
    """Write ``output``, ``spikes/<population>`` and ``<state>/<population>``; the file appears whole or not at all."""

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.savez_compressed(stream, **trace.arrays())  # type: ignore[arg-type]  # the stubs take keyword names for flags

    write_atomically(path, write)
