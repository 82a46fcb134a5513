"""Reading ``.npz`` files that nobody vouches for: no pickle, and nothing allocated for what a member only claims."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from export.errors import ExportError
from export.files import check_unpacked
from hardware.npy import parse_header
from hypr.errors import HyprError

MOST_MEMBERS = 4096
_ENCRYPTED = 0x1
_DAMAGED = (
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
)
"""What zipfile and NumPy raise for damaged content."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Arrays of an .npz file.

    Raises:
        HyprError: it cannot be read, is damaged, encrypted, holds Python objects, or claims more than its size allows.
    """
    try:
        with path.open("rb") as stream:
            beginning = stream.read(6)
            if beginning == b"\x93NUMPY":
                raise HyprError(f"{path}: is a single array; save several with np.savez(path, inputs=x, labels=y)")
            with zipfile.ZipFile(stream) as archive:
                return _members(path, archive)
    except HyprError:  # is a ValueError
        raise
    except OSError as error:
        raise HyprError(f"{path}: cannot be read ({error.strerror or 'damaged'}); give an .npz file") from None
    except ExportError as error:
        raise HyprError(str(error)) from None
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise HyprError(f"{path}: damaged or not an .npz file ({reason}); write it again with np.savez") from None


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise HyprError(f"{path}: {len(infos):,} arrays, the limit is {MOST_MEMBERS:,}; this is no file of np.savez")
    check_unpacked(str(path), path.stat().st_size, sum(info.file_size for info in infos))
    found: dict[str, np.ndarray] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if name in found:
            raise HyprError(f"{path}: array '{name}' occurs twice; write it again with np.savez")
        if info.flag_bits & _ENCRYPTED:
            raise HyprError(f"{path}: array '{name}' is encrypted; write it again with np.savez")
        with archive.open(info) as stream:
            content = stream.read(info.file_size + 1)
        if len(content) != info.file_size:
            raise ValueError(f"'{name}' holds {len(content)} bytes, expected {info.file_size}")
        found[name] = _array(path, name, content)
    return found


def _array(path: Path, name: str, content: bytes) -> np.ndarray:
    """One ``.npy`` member; its size must be what its own header says."""
    try:
        dtype, fortran, shape, start = parse_header(content)
    except ValueError as error:
        raise HyprError(f"{path}: array '{name}' is damaged or no array of numbers ({error}); save it again") from None
    body = content[start:]
    if math.prod(shape) * dtype.itemsize != len(body) or not dtype.itemsize:
        raise HyprError(
            f"{path}: array '{name}' is damaged: it holds {len(body)} bytes, its shape {shape} needs "
            f"{math.prod(shape) * dtype.itemsize}; save it again"
        )
    return np.frombuffer(body, dtype=dtype).reshape(shape, order="F" if fortran else "C").copy(order="K")
