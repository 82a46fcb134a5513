"""Errors that a user's input can cause here. Each message is one line: what, where, limit, actual value, fix."""

from __future__ import annotations


class ExportError(ValueError):
    """Base of every error that this package raises for bad input."""


class GraphError(ExportError):
    """A NIR graph or file is damaged, or does not have a form that this package understands."""


class UnsupportedError(ExportError):
    """The network is valid but cannot be converted exactly; the message gives the reason."""


class QuantizationError(ExportError):
    """A network does not fit the integer formats asked for."""
