"""Errors that a user's input can cause. Each message is one line: what, where, limit, actual value, fix."""


class HardwareError(ValueError):
    """Base of every error that this package raises for bad input."""


class ProgramError(HardwareError):
    """A Program breaks the contract, or its file is damaged."""


class InputError(HardwareError):
    """Inputs or initial states do not fit the Program."""


class RuntimeMissing(HardwareError):
    """An optional runtime (Lava, numba, onnxruntime) is not installed; the message says how to install it."""
