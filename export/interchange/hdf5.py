"""What an HDF5 file from elsewhere must not do: lead out of itself, run in a circle, or claim more than it holds."""

from __future__ import annotations

from pathlib import Path

import h5py

from export.errors import ExportError
from export.files import check_unpacked

MAX_BYTES = 2**32
"""Largest sum of all arrays of a file, uncompressed; a small damaged file can claim any size."""

MAX_DEPTH, MAX_OBJECTS = 32, 200_000


def refuse_foreign_storage(file: h5py.File, path: Path) -> None:
    """Look at every link and every array's declaration, and read no array.

    Args:
        file: open for reading. path: of it, for messages and its size.

    Raises:
        ExportError: a link out of the file or a soft one, an array whose values lie in another file (external raw
            storage, virtual data sets), a group that is reached twice, too deep, too many or too large arrays.
    """
    walk = _Walk(str(path))
    walk.group(file, 0)
    if walk.total > MAX_BYTES:
        raise ExportError(
            f"{path}: arrays need more than {MAX_BYTES >> 30} GiB ({walk.total:,} bytes); the file is damaged"
        )
    check_unpacked(str(path), path.stat().st_size, walk.total)


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
