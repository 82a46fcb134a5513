"""Integer networks for neuromorphic hardware: the contract, its oracle, its emulator and the proof that two engines
agree. Needs NumPy only.
"""

from hardware.builder import ProgramBuilder
from hardware.chain import InputFormat, Layer, Synapses
from hardware.compare import Comparison, Divergence, compare
from hardware.decision import classify
from hardware.emulator import Emulator, emulate, teacher_forced
from hardware.errors import HardwareError, InputError, ProgramError, RuntimeMissing
from hardware.models import MODELS, STATE_MAX
from hardware.populations import Decision, Input, Population, Projection
from hardware.program import SPEC_VERSION, Program
from hardware.program_file import content_hash, load, save
from hardware.synapses import Convolution, Dense, Sparse
from hardware.trace import NetworkState, Trace

__all__ = [
    "MODELS",
    "SPEC_VERSION",
    "STATE_MAX",
    "Comparison",
    "Convolution",
    "Decision",
    "Dense",
    "Divergence",
    "Emulator",
    "HardwareError",
    "Input",
    "InputError",
    "InputFormat",
    "Layer",
    "NetworkState",
    "Population",
    "Program",
    "ProgramBuilder",
    "ProgramError",
    "Projection",
    "RuntimeMissing",
    "Sparse",
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
