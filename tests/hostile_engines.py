"""Engines that somebody could bring along, and that must neither be believed nor spoil the run of another."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np

from hardware import emulate
from hardware.trace import Trace


class Agreeable(np.ndarray):
    """An array that is equal to everything."""

    def __ne__(self, other: object) -> Any:
        return np.zeros(self.shape, bool)

    def __eq__(self, other: object) -> Any:
        return np.ones(self.shape, bool)

    __hash__ = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return np.zeros(self.shape, bool)


class _Engine:
    """The emulator, with something done to what it returns."""

    def change(self, value: np.ndarray) -> Any:
        return value

    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        trace = emulate(program, inputs, record)
        return Trace(
            "emulator",
            self.change(trace.output),
            {key: self.change(value) for key, value in trace.spikes.items()},
            {key: self.change(value) for key, value in trace.states.items()},
        )


class _Called(_Engine):
    def __init__(self, name: str) -> None:
        self.name = name

    def change(self, value: np.ndarray) -> Any:
        return value + 1  # wrong everywhere


class _Nothing(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        return None


class _Lists(_Engine):
    def change(self, value: np.ndarray) -> Any:
        return value.tolist()


class _Masked(_Engine):
    def change(self, value: np.ndarray) -> Any:
        return np.ma.masked_all(value.shape, value.dtype)


class _Agreeable(_Engine):
    def change(self, value: np.ndarray) -> Any:
        return np.zeros_like(value).view(Agreeable)


class _Objects(_Engine):
    def change(self, value: np.ndarray) -> Any:
        return value.astype(object)


class _Floats(_Engine):
    def change(self, value: np.ndarray) -> Any:
        return value.astype(np.float64)


class _OneStep(_Engine):
    def change(self, value: np.ndarray) -> Any:
        return value[:1]


class _Raises(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        raise KeyError("broken\nin two lines")


class _Own(BaseException):
    pass


class _Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class _RaisesKind(_Engine):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        raise self.error


class _NoAttributes:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"nobody asks for {name}")


class _RunRaises:
    @property
    def run(self) -> Any:
        raise RuntimeError("nobody asks for run")


class _SpikesRaise(Trace):
    """A trace whose arrays are not there when they are asked for."""

    def __getattribute__(self, name: str) -> Any:
        if name == "spikes":
            raise RuntimeError("nobody asks for spikes")
        return super().__getattribute__(name)


class _Shy(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        trace = super().run(program, inputs, record)
        return _SpikesRaise(trace.engine, trace.output, trace.spikes, trace.states)


class _Chatty(_Engine):
    """Right, and loud; and it goes away from where it was called."""

    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        print("EQUAL: all integers agree")
        os.chdir("/")
        return super().run(program, inputs, record)


class _Terminated(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)


class _Leaves(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        raise SystemExit(0)


class _Exits(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        os._exit(0)


class _Forks(_Engine):
    """Right; its own process ends as forked ones do."""

    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        return super().run(program, inputs, record)


class _Other(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        return {"output": emulate(program, inputs, record).output}


class _Stateless(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        return emulate(program, inputs)


class _WritesInputs(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        found = super().run(program, inputs, record)
        inputs[...] = 1
        return found


class _WritesProgram(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        found = super().run(program, inputs, record)
        for projection in program.projections:
            projection.synapses.weight.flags.writeable = True
            projection.synapses.weight[...] = 0
        for population in program.populations:
            for value in (population.bias, *population.parameters.values()):
                value.flags.writeable = True
                value[...] = 1
        return found


class _Lying(Trace):
    """A trace that shows other arrays than it holds."""

    def arrays(self) -> dict[str, np.ndarray]:
        raise AssertionError("nobody should ask a foreign trace for its arrays")


class _Liar(_Engine):
    def run(self, program: Any, inputs: Any, record: Any) -> Any:
        trace = super().run(program, inputs, record)
        return _Lying(trace.engine, trace.output, trace.spikes, {k: v + 1 for k, v in trace.states.items()})


class Sound(_Engine):
    """Right, and given as a class."""


called_reference, called_lava, called_emulator = _Called("reference"), _Called("lava"), _Called("emulator")
called_onnx, called_step, called_two_lines = _Called("onnx"), _Called("onnx-step"), _Called("a\nb")
nothing, lists, masked, agreeable, objects, floats = (
    _Nothing(),
    _Lists(),
    _Masked(),
    _Agreeable(),
    _Objects(),
    _Floats(),
)
one_step, raises, leaves, other, stateless = _OneStep(), _Raises(), _Leaves(), _Other(), _Stateless()
exits, forks = _Exits(), _Forks()
writes_inputs, writes_program, liar = _WritesInputs(), _WritesProgram(), _Liar()
no_run, text = object(), "emulator"
generator_exit, own_kind, speechless = _RaisesKind(GeneratorExit()), _RaisesKind(_Own("x")), _RaisesKind(_Speechless())
no_attributes, run_raises, shy, chatty, terminated = _NoAttributes(), _RunRaises(), _Shy(), _Chatty(), _Terminated()

REFUSED = (
    *("nothing", "lists", "masked", "agreeable", "objects", "floats", "one_step", "raises", "leaves", "other"),
    *("stateless", "no_run", "text", "missing", "generator_exit", "own_kind", "speechless", "no_attributes"),
    *("run_raises", "shy", "exits"),
)
"""Answered with one line and exit code 2."""

DIFFERENT = (
    "called_reference",
    "called_lava",
    "called_emulator",
    "called_onnx",
    "called_step",
    "called_two_lines",
    "liar",
)
"""Run and found wrong, under the name of the module."""

HARMLESS = ("writes_inputs", "writes_program", "Sound", "chatty", "forks")
"""Run and right; what they do besides reaches nobody else."""
