"""Data sets as integer sequences: ``load``, ``fetch``, ``catalogue``; a user's own joins them through
``from_arrays``, ``from_events``, ``from_tonic`` and ``register``.
"""

from hypr.data import braille, cue, digits, fsdd, heidelberg, mnist, qtdb  # noqa: F401  (each registers itself)
from hypr.data.arrays import from_arrays, from_events, from_tonic
from hypr.data.dataset import Batch, SequenceDataset
from hypr.data.events import EventArray
from hypr.data.registry import DatasetSpec, Entry, catalogue, fetch, load, register, spec
from hypr.data.storage import RemoteFile, root
from hypr.extensions import permit

__all__ = [
    "Batch",
    "DatasetSpec",
    "Entry",
    "EventArray",
    "RemoteFile",
    "SequenceDataset",
    "catalogue",
    "fetch",
    "from_arrays",
    "from_events",
    "from_tonic",
    "load",
    "permit",
    "register",
    "root",
    "spec",
]
