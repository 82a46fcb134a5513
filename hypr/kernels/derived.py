"""What the kernels derive from parameters alone, kept for as long as a caller promises not to change them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
_kept: ContextVar[dict[Hashable, Any] | None] = ContextVar("hypr_derived", default=None)


@contextmanager
def constant_parameters() -> Iterator[None]:
    """Inside, no parameter of any layer may change, so that :func:`derived` computes each value once (this thread)."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def derived(key: Hashable, build: Callable[[], T]) -> T:
    """``build()``, or what it returned for the same key earlier inside :func:`constant_parameters`.

    Args:
        key: names the value; must hold the layer itself, which keeps its identity from being used again.
        build: computes the value from parameters and what the key holds, nothing else.
    """
    kept = _kept.get()
    if kept is None:
        return build()
    if key not in kept:
        kept[key] = build()
    value: T = kept[key]
    return value
