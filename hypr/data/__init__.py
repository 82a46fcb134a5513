"""Data sets as integer sequences: ``load``, ``fetch``, ``catalogue``; a user's own joins them through ``register``."""

from hypr.data import braille, cue, digits, fsdd, heidelberg, mnist, qtdb  # noqa: F401  (each registers itself)
from hypr.data.dataset import Batch, SequenceDataset
from hypr.data.registry import DatasetSpec, Entry, catalogue, fetch, load, register, spec
from hypr.data.storage import RemoteFile, root

__all__ = [
    "Batch",
    "DatasetSpec",
    "Entry",
    "RemoteFile",
    "SequenceDataset",
    "catalogue",
    "fetch",
    "load",
    "register",
    "root",
    "spec",
]
