"""Progress of a long computation: the computation reports to an object that it was given and never prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress(Protocol):
    """What training reports. An object may also have ``warn(text)``, something is wrong though training goes on, and
    ``note(text)``, something worth knowing."""

    def begin(self, epochs: int, updates: int, done: int) -> None:
        """``updates`` per epoch; ``done`` epochs were done before."""

    def update(self, epoch: int, loss: float) -> None:
        """One update is done; epochs count from 1."""

    def epoch(self, line: Mapping[str, Any]) -> None:
        """One epoch is done; ``line`` is its line of the metrics file."""

    def end(self) -> None:
        """Training is over, also by an error."""


class Silent:
    """Reports nothing."""

    def begin(self, epochs: int, updates: int, done: int) -> None: ...

    def update(self, epoch: int, loss: float) -> None: ...

    def epoch(self, line: Mapping[str, Any]) -> None: ...

    def warn(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...


class TrainingBar:
    """A bar with rate and time left on standard error; nothing where that is not a terminal.

    Args:
        name: shown before the bar.
        console: where to draw; standard error if None.
    """

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._name = name
        self._bar: Progress | None = None

    def begin(self, epochs: int, updates: int, done: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),  # with all columns a line of 80
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[state]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(self._name, total=epochs * updates, completed=done * updates, state="", rate="")
        self._bar.start()

    def update(self, epoch: int, loss: float) -> None:
        if self._bar is not None:
            speed = self._bar.tasks[0].speed
            self._bar.update(self._task, advance=1, rate=f"{speed:.1f}/s" if speed else "")

    def epoch(self, line: Mapping[str, Any]) -> None:
        if self._bar is not None:
            validation = f"val {100 * line['validation_accuracy']:.1f} %"
            self._bar.update(self._task, state=f"loss {line['loss']:.3f} {validation}")

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self._console.print(f"warning: {text}", markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
