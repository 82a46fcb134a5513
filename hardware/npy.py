"""The header of a ``.npy`` member from elsewhere. NumPy's own reader hands damaged ones to a tokenizer, which fails in
ways of its own."""

from __future__ import annotations

import ast

import numpy as np

_MAGIC, _MOST_HEADER, _MOST_DIMENSIONS = b"\x93NUMPY", 10_000, 8


def parse_header(content: bytes) -> tuple[np.dtype, bool, tuple[int, ...], int]:
    """Read the header of format version 1.0 or 2.0.

    Args:
        content: of the whole member.

    Returns:
        type, whether the order is Fortran's, shape, and where the values begin.

    Raises:
        ValueError: damaged, of another version, or of a type that is no number or text.
    """
    if content[:6] != _MAGIC or content[6:8] not in (b"\x01\x00", b"\x02\x00"):
        raise ValueError("not an array of a known version")
    first = 10 if content[6] == 1 else 12
    length = int.from_bytes(content[8:first], "little")
    if length > _MOST_HEADER or first + length > len(content):
        raise ValueError(f"its header claims {length} bytes")
    try:
        header = ast.literal_eval(content[first : first + length].decode("latin-1").strip())
        kind, fortran, shape = header["descr"], header["fortran_order"], header["shape"]
        dtype = np.dtype(kind) if isinstance(kind, str) else None
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise ValueError(f"its header is damaged ({type(error).__name__})") from None
    whole = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
    if dtype is None or dtype.hasobject or not isinstance(fortran, bool) or not whole or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"its header must be that of an array of numbers, got type {kind!r}, shape {shape!r}"[:120])
    return dtype, fortran, shape, first + length
