"""Integer networks for neuromorphic hardware: the contract, its oracle, its emulator and the proof that two engines
agree. Needs NumPy only.
"""

from hardware.compare import Comparison, Divergence, compare
from hardware.decision import classify
from hardware.emulator import Emulator, emulate, teacher_forced
from hardware.errors import HardwareError, InputError, ProgramError, RuntimeMissing
from hardware.models import MODELS, STATE_MAX
from hardware.program import SPEC_VERSION, Decision, InputFormat, Layer, Program, Synapses
from hardware.program_file import content_hash, load, save
from hardware.trace import NetworkState, Trace

__all__ = [
    "MODELS",
    "SPEC_VERSION",
    "STATE_MAX",
    "Comparison",
    "Decision",
    "Divergence",
    "Emulator",
    "HardwareError",
    "InputError",
    "InputFormat",
    "Layer",
    "NetworkState",
    "Program",
    "ProgramError",
    "RuntimeMissing",
    "Synapses",
    "Trace",
    "classify",
    "compare",
    "content_hash",
    "emulate",
    "load",
    "save",
    "teacher_forced",
]
