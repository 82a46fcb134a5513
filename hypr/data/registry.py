"""Table of data sets and the one way to load, fetch and list them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypr import extensions
from hypr.data import own, storage
from hypr.data.dataset import SPLITS, SequenceDataset
from hypr.errors import HyprError


@dataclass(frozen=True)
class DatasetSpec:
    """What the program knows of a data set before it reads a byte.

    Attributes:
        name: as in ``hypr data fetch NAME``.
        description: one sentence.
        origin: source and licence.
        loader: ``loader(split, encoding, seed, **options) -> SequenceDataset``.
        encodings: names of the encodings, the default first.
        options: name and default value of every option.
        files: files that it needs, empty where it is embedded or generated.
    """

    name: str
    description: str
    origin: str
    loader: Callable[..., SequenceDataset]
    encodings: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[storage.RemoteFile, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    Attributes:
        name, description, origin, encodings, options: as in :class:`DatasetSpec`.
        present: True where ``load`` finds its files.
        path: folder of its files, or ``no files needed``.
    """

    name: str
    description: str
    origin: str
    encodings: tuple[str, ...]
    options: Mapping[str, Any]
    present: bool
    path: str


_SPECS: dict[str, DatasetSpec] = {}


def register(spec: DatasetSpec) -> None:
    """Add the data set that ``spec`` describes, also one of a user's own; a name that exists is replaced."""
    _SPECS[spec.name] = spec


def nearest(word: str, names: list[str]) -> str:
    """The end of a message about an unknown name: the nearest valid one and all valid ones."""
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"nearest is '{close[0]}'; " if close else ""
    return f"{hint}valid: {', '.join(sorted(names)) or 'none'}"


def spec(name: str, trusted: bool = True) -> DatasetSpec:
    """The entry of a data set: registered, a file ``mine.npz``, a function ``module:function``, or of an installed
    extension.

    Args:
        name: see above.
        trusted: whether the user names it here and now; False: a file does, and code needs the user's word
            (:func:`hypr.data.permit`).

    Raises:
        HyprError: where the name is unknown, or means code that only a file names.
    """
    if name in _SPECS:
        return _SPECS[name]
    if own.is_file(name):
        loader, options = own.of_file(Path(name))
        return _own_spec(name, "a file of your own", loader, options)
    if own.is_code(name):
        if not trusted:
            extensions.require_permission(name, f"add --data {name} (data.name={name} for 'hypr train')")
        loader, options = own.of_function(name)
        return _own_spec(name, "a function of your own", loader, options)
    point = extensions.offered("hypr.data", name)
    if point is not None:
        if not trusted:
            extensions.require_permission(name, f"add --data {name} (data.name={name} for 'hypr train')")
        found = extensions.load(point)
        if isinstance(found, DatasetSpec):
            return found
        loader, options = own.of_function(point.value)
        return _own_spec(name, f"extension {point.value}", loader, options)
    raise HyprError(
        f"unknown data set '{name}'; {nearest(name, list(_SPECS))}; your own: a file NAME.npz, or module:function"
    )


def _own_spec(name: str, origin: str, loader: own.Loader, options: Mapping[str, Any]) -> DatasetSpec:
    return DatasetSpec(name, "your own data", origin, loader, ("as given",), options)


def load(
    name: str, split: str = "train", *, encoding: str | None = None, seed: int = 0, trusted: bool = True, **options: Any
) -> SequenceDataset:
    """Load one split of a data set.

    Args:
        name: of the catalogue, a file ``mine.npz``, or a function ``module:function``.
        split: ``train``, ``validation`` or ``test``; where a data set has no validation part of its own, it is drawn
            from the training part.
        encoding: one of the data set's, or None for its default.
        seed: of that draw, and of generated data. The test part never depends on it where the data set has an official
            one.
        trusted: False where a file names the data set; see :func:`spec`.
        **options: of the data set.

    Returns:
        The same integers for the same arguments.

    Raises:
        HyprError: for an unknown name, split, encoding or option, and for files that are missing or damaged.
    """
    entry = spec(name, trusted)
    if split not in SPLITS:
        raise HyprError(f"data set '{name}': unknown split '{split}'; {nearest(split, list(SPLITS))}")
    encoding = entry.encodings[0] if encoding is None else encoding
    if encoding not in entry.encodings:
        raise HyprError(f"data set '{name}': unknown encoding '{encoding}'; {nearest(encoding, list(entry.encodings))}")
    for key, value in options.items():
        if key not in entry.options:
            raise HyprError(f"data set '{name}': unknown option '{key}'; {nearest(key, list(entry.options))}")
        expected = type(entry.options[key])
        fits = type(value) is expected or (expected is float and type(value) is int)
        if not fits:
            raise HyprError(f"data set '{name}': option '{key}' must be {expected.__name__}, got {value!r}")
    return entry.loader(split, encoding, seed, **{**entry.options, **options})


def fetch(name: str, report: storage.Report | None = None) -> list[str]:
    """Download the files of a data set that are missing.

    Args:
        name: of the catalogue.
        report: called as the download goes on.

    Returns:
        Names of the files that were fetched, empty where nothing was missing.

    Raises:
        HyprError: for an unknown name, without network, or with a wrong checksum.
    """
    entry = spec(name)
    folder = storage.root() / name
    fetched = []
    for file in entry.files:
        if not storage.is_whole(folder, file):
            storage.download(folder, file, report)
            fetched.append(file.path)
    return fetched


def catalogue() -> list[Entry]:
    """Every data set, by name, and whether its files are there."""
    entries = []
    for entry in sorted(_SPECS.values(), key=lambda one: one.name):
        folder = storage.root() / entry.name
        present = all(storage.is_whole(folder, file) for file in entry.files)
        place = str(folder) if entry.files else "no files needed"
        entries.append(
            Entry(entry.name, entry.description, entry.origin, entry.encodings, entry.options, present, place)
        )
    return entries
