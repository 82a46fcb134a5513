"""What an HDF5 file from elsewhere must not do: lead out of itself, run in a circle, or claim more than it holds."""

from __future__ import annotations

import mmap
from pathlib import Path

import h5py

from export.errors import ExportError
from export.files import check_unpacked

MAX_BYTES = 2**32
"""Largest sum of all arrays of a file, uncompressed; a small damaged file can claim any size."""

MAX_DEPTH, MAX_OBJECTS = 32, 200_000
_HEAP, _HEAP_HEADER = b"GCOL\x01\0\0\0", 16


def refuse_foreign_storage(file: h5py.File, path: Path) -> None:
    """Look at every link and every array's declaration, and read no array.

    Args:
        file: open for reading. path: of it, for messages and its size.

    Raises:
        ExportError: a link out of the file or a soft one, an array whose values lie in another file (external raw
            storage, virtual data sets), a group that is reached twice, too deep, too many or too large arrays.
    """
    _check_heaps(path)
    walk = _Walk(str(path))
    walk.group(file, 0)
    if walk.total > MAX_BYTES:
        raise ExportError(
            f"{path}: arrays need more than {MAX_BYTES >> 30} GiB ({walk.total:,} bytes); the file is damaged"
        )
    check_unpacked(str(path), path.stat().st_size, walk.total)


def _check_heaps(path: Path) -> None:
    """Walk the heaps that hold texts and lists, as the HDF5 library will when it reads one: an entry of free space
    without a size has it walk on the spot for ever.

    Source: HDF5 File Format Specification 3.0, III.E "Global Heap".
    """
    if path.stat().st_size < _HEAP_HEADER:
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(_HEAP)
        while at >= 0:
            end = at + int.from_bytes(content[at + 8 : at + 16], "little")
            place = at + _HEAP_HEADER
            while place + _HEAP_HEADER <= min(end, len(content)):
                size = int.from_bytes(content[place + 8 : place + 16], "little")
                if content[place : place + 2] == b"\0\0":  # free space, its own header included
                    if size < _HEAP_HEADER:
                        raise ExportError(
                            f"{path}: damaged, a heap of texts or lists has no end; copy or export it again"
                        )
                    place += size
                else:
                    place += _HEAP_HEADER + (size + 7) // 8 * 8
            at = content.find(_HEAP, at + 1)


class _Walk:
    def __init__(self, where: str) -> None:
        self.where, self.total, self.seen = where, 0, set[tuple[int, int]]()

    def group(self, group: h5py.Group, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ExportError(f"{self.where}: groups are nested deeper than {MAX_DEPTH} levels; not a file of ours")
        self._once(group)
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ExportError(
                    f"{self.where}: item '{key}' is a link to somewhere else, which is not followed; "
                    "export the file again"
                )
            item = group[key]
            if isinstance(item, h5py.Group):
                self.group(item, depth + 1)
            elif isinstance(item, h5py.Dataset):
                self.array(item)

    def _once(self, item: h5py.Group | h5py.Dataset) -> None:
        """Two hard links may name one object, and make a circle."""
        place = h5py.h5o.get_info(item.id)
        mark = (place.fileno, place.addr)
        if mark in self.seen:
            raise ExportError(f"{self.where}: '{item.name}' is reached by two links; export the file again")
        self.seen.add(mark)
        if len(self.seen) > MAX_OBJECTS:
            raise ExportError(f"{self.where}: more than {MAX_OBJECTS:,} groups and arrays; not a file of ours")

    def array(self, item: h5py.Dataset) -> None:
        self._once(item)
        if item.is_virtual or item.external:
            raise ExportError(
                f"{self.where}: the values of '{item.name}' lie in another file, which is not read; "
                "export the file again"
            )
        self.total += int(item.size or 0) * max(int(item.dtype.itemsize), 1)
