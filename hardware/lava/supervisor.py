"""Runs a compiled Lava network without Lava's hazards.

Lava's own ``run()`` waits for ever when one of its processes fails, and its ``stop()`` waits for processes that are
gone. Here the run is started without blocking and watched: exceptions that the processes sent, processes that died,
and time without progress. On any of them every process of the network is killed, its shared memory is removed, and one
error is raised.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import RunConfig

from hardware.lava.endings import looked_at, raise_if_asked
from hardware.lava.meanings import MEANINGS
from hardware.lava.request import CHANNEL_SIZE, LavaError
from hardware.lava.stall import Stall

POLL_S = 0.005

START_GRACE_S = 3.0
"""The start of a network takes longer than a step, however short the time that the caller gives to a step."""


class Supervisor:
    """One run of one network: :meth:`start`, then :meth:`run`, which also stops it.

    Args:
        process: any Process of the network; Lava finds the others.
        config: how Lava selects ProcessModels.
        progress: shared array whose first element is the last finished Lava step.
        stall_s: seconds without a finished step after which the run is given up; None: as :mod:`hardware.lava.stall`
            says. The start has :data:`START_GRACE_S` more.
    """

    def __init__(
        self, process: AbstractProcess, config: RunConfig, progress: np.ndarray, stall_s: float | None = None
    ) -> None:
        self._process, self._config, self._progress = process, config, progress
        self._stall_s, self._starting = stall_s, Stall(stall_s, START_GRACE_S)
        self._runtime: Any = None

    def start(self) -> None:
        """Compile and fork the processes.

        Raises:
            LavaError: a process could not be built, died or stood still.
        """
        self._starting.starting()
        try:
            with looked_at(self._look):
                self._process.create_runtime(run_cfg=self._config, compile_config={"pypy_channel_size": CHANNEL_SIZE})
            self._runtime = self._process.runtime
        except BaseException:
            self._runtime = self._process.runtime
            self._kill()
            raise

    def run(self, condition: RunSteps, total: int, report: Callable[[int, int], None] | None) -> None:
        """Run to the end and stop.

        Raises:
            LavaError: see the module's description.
        """
        try:
            with looked_at(self._look):
                self._runtime.start(condition)
            self._watch(total, report)
            self._runtime.wait()
        except BaseException:
            self._kill()
            raise
        self._process.stop()

    def _watch(self, total: int, report: Callable[[int, int], None] | None) -> None:
        done, stall = -1, Stall(self._stall_s)
        while not all(port.probe() for port in self._runtime.service_to_runtime):
            time.sleep(POLL_S)
            raise_if_asked()
            if self._progress[0] != done:
                done = int(self._progress[0])
                if done > 0:
                    stall.moved(done)
                if report is not None:
                    report(min(done, total), total)
            self._raise_failure()
            if stall.over():
                raise _stood_still(stall, f"at step {max(done, 0)} of {total}")
        self._raise_failure()

    def _look(self) -> None:
        """While Lava starts, which waits for ever for a process that died or stands still."""
        raise_if_asked()
        infrastructure = getattr(self._process.runtime, "_messaging_infrastructure", None)
        for actor in list(getattr(infrastructure, "actors", ())):
            if actor.exitcode:
                code = actor.exitcode
                raise LavaError(f"a Lava process died with exit code {code} during the start{MEANINGS.get(code, '')}")
        if self._starting.over():
            raise _stood_still(self._starting, "during the start")

    def _raise_failure(self) -> None:
        for actor in self._actors():
            if actor.exception is not None:
                error, trace = actor.exception
                raise LavaError(f"a Lava process failed: {type(error).__name__}: {error}", trace)
        for actor in self._actors():
            if not actor.is_alive():
                code = actor.exitcode
                raise LavaError(
                    f"a Lava process died with exit code {code} in the middle of the run{MEANINGS.get(code, '')}"
                )

    def _actors(self) -> list[Any]:
        result: list[Any] = self._runtime._messaging_infrastructure.actors
        return result

    def _kill(self) -> None:
        runtime = self._runtime
        if runtime is None or runtime._messaging_infrastructure is None:
            return
        for actor in self._actors():
            if actor.is_alive():
                os.kill(actor.pid, signal.SIGKILL)
        runtime._is_started = runtime._is_running = False  # or Lava's destructor would wait for the dead
        # Of a start that failed half-way not everything is there; what is matters no more than the first error.
        with contextlib.suppress(Exception):
            runtime._messaging_infrastructure.stop()  # joins the processes and unlinks the shared memory
        with contextlib.suppress(Exception):
            runtime._watchdog_manager.stop()


def _stood_still(stall: Stall, where: str) -> LavaError:
    return LavaError(
        f"no time step finished for {stall.limit_s:.3g} s ({where}); the run was stopped, --timeout gives it longer"
    )
