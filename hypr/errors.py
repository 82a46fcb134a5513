"""Errors that a user's input can cause. Each message is one line: what, where, limit, actual value, fix."""


class HyprError(ValueError):
    """Base of every error that this package raises for bad input."""
