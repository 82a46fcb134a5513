"""Kills and signals at spread moments: ``python -m tests.kills [--only VERB] [--times X] [--seed S]`` prints a table.

Each try starts a command in folders of its own, disturbs it at a random moment or at a stage, and then demands: every
process of it is gone within seconds; the next run of the command succeeds with exactly the result of an undisturbed
one; afterwards no temporary file, folder, shared memory or file in the making is left. After a signal that can be
caught the exit code is 128 and its number, one line says so, and nothing is left at once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import local_fetch
from tests.kill_ground import Ground, catches, ground, wait_until
from tests.kill_verbs import Stock, Verb, verbs

GONE_WITHIN_S = 20.0
"""A process that imported torch takes about 2 s to end, many times that where the machine is busy; the table says how
long it was."""
KILL, TERM, HUP = signal.SIGKILL, signal.SIGTERM, signal.SIGHUP
WEIGHTS = {
    "train": (7, 3), "train --resume": (7, 2), "train --seeds": (3, 2), "export": (6, 2), "export --overwrite": (6, 2),
    "verify": (8, 4), "verify --jobs 2": (8, 4), "data fetch (archive)": (7, 2), "data fetch (files)": (4, 1),
    "report": (6, 2),
}  # fmt: skip
"""Kills, and signals that can be caught: 62 and 24."""


@dataclass(frozen=True)
class Undisturbed:
    """How a command ends by itself."""

    result: Any
    seconds: float
    listing: set[str]


@dataclass(frozen=True)
class Try:
    """One disturbance.

    Attributes:
        moment: a stage's name, or the share of an undisturbed run's time.
        everybody: all processes of the command get the signal at once, as from a terminal or a batch system.
    """

    verb: Verb
    number: signal.Signals
    moment: str | float
    everybody: bool

    def __str__(self) -> str:
        moment = self.moment if isinstance(self.moment, str) else f"{self.moment:.0%} of the time"
        return f"{self.verb.name}, {self.number.name} to {'all' if self.everybody else 'main'}, {moment}"


@dataclass
class Finding:
    """What came of one try; ``wrong`` is empty where all held, ``missed`` where the command had ended before."""

    trial: Try
    wrong: list[str] = field(default_factory=list)
    missed: bool = False
    gone_s: float = 0.0

    def demand(self, held: bool, what: object) -> None:
        if not held:
            self.wrong.append(str(what)[-600:])


class Suite:
    """Tries over one stock; undisturbed runs are made once per verb."""

    def __init__(self, stock: Stock, seed: int) -> None:
        self.verbs, self.random = verbs(stock), random.Random(seed)
        self._known: dict[str, Undisturbed] = {}

    def undisturbed(self, verb: Verb) -> Undisturbed:
        if verb.name not in self._known:
            with ground() as place:
                verb.prepare(place)
                started = time.monotonic()
                code = place.start(verb.command(place)).wait(300)
                seconds = time.monotonic() - started
                assert code == 0, f"{verb.name}: {place.stderr()}"
                assert place.unfinished() == [], (verb.name, place.unfinished())
                self._known[verb.name] = Undisturbed(verb.result(place), seconds, place.listing())
        return self._known[verb.name]

    def planned(self, name: str, number: signal.Signals, count: int) -> Iterator[Try]:
        """Every second one at a stage, the others at random moments; every third to all processes."""
        verb = self.verbs[name]
        stages = list(verb.stages)
        self.random.shuffle(stages)
        for index in range(count):
            moment = stages[index // 2 % len(stages)] if index % 2 == 0 else self.random.uniform(0.1, 0.95)
            yield Try(verb, number, moment, everybody=index % 3 == 2)

    def tried(self, trial: Try, patience: int = 4) -> Finding:
        """A finding that is not missed, if there is one: a moment that was too late is tried again earlier."""
        found = self.once(trial)
        while found.missed and patience > 0:
            patience -= 1
            share = self.random.uniform(0.1, 0.2 + 0.15 * patience)
            found = self.once(Try(trial.verb, trial.number, share, trial.everybody))
        return found

    def once(self, trial: Try) -> Finding:
        expected, found = self.undisturbed(trial.verb), Finding(trial)
        with ground() as place:
            trial.verb.prepare(place)
            main = place.start(trial.verb.command(place))
            self._await(trial, main, place, expected)
            members = place.processes() if trial.everybody else {main.pid}
            if main.poll() is not None:
                found.missed = True
                return found
            _send(members, trial.number)
            code, started = main.wait(60), time.monotonic()
            if code == 0 or (trial.number != KILL and code == -trial.number):  # at its end, or in the interpreter's
                found.missed = True
                return found
            wait_until(lambda: not place.processes(), GONE_WITHIN_S, 0.05)
            found.gone_s = time.monotonic() - started
            found.demand(not place.processes(), f"processes left: {_commands(place.processes())}")
            if trial.number == KILL:
                found.demand(code == -KILL, f"exit code {code}")
            else:
                _check_ended(found, code, place)
            self._check_next(found, place, expected)
        return found

    def _await(self, trial: Try, main: Any, place: Ground, expected: Undisturbed) -> None:
        ended = lambda: main.poll() is not None  # noqa: E731
        if trial.number != KILL:
            wait_until(lambda: ended() or catches(main.pid, trial.number), 120.0)
        if isinstance(trial.moment, str):
            reached = trial.verb.stages[trial.moment]
            wait_until(lambda: ended() or reached(place), 120.0, 0.0005)
        else:
            wait_until(ended, expected.seconds * trial.moment)

    def _check_next(self, found: Finding, place: Ground, expected: Undisturbed) -> None:
        verb = found.trial.verb
        code = place.start(verb.again(place)).wait(300)
        found.demand(code == 0, f"the next run ended with {code}: {place.stderr()}")
        if code == 0:
            other = _difference(_result(verb, place), expected.result)
            found.demand(not other, f"the next run's result differs: {other}")
            found.demand(place.listing() == expected.listing, f"files: {place.listing() ^ expected.listing}")
        wait_until(lambda: not place.processes(), GONE_WITHIN_S, 0.05)
        found.demand(not place.processes(), f"processes after the next run: {_commands(place.processes())}")
        kept = [str(path) for path in place.parts.glob("*")]
        found.demand(not place.unfinished() and not kept, f"left: {place.unfinished() + kept}")


def _result(verb: Verb, place: Ground) -> Any:
    try:
        return verb.result(place)
    except Exception as error:  # files missing or cut short: a finding, not the suite's end
        return error


def _difference(one: Any, other: Any) -> str:
    """Where two results differ first; empty where they do not."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(key, one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = [(index, a, b) for index, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return "" if one == other else f"{one!r} is not {other!r}"[:300]
    return next((f"{key}: {found}" for key, a, b in pairs if (found := _difference(a, b))), "")


def _check_ended(found: Finding, code: int, place: Ground) -> None:
    number = found.trial.number
    found.demand(code == 128 + number, f"exit code {code}: {place.stderr()}")
    last = f"hypr: ended by {number.name}\n"
    said = [line for line in place.stderr().splitlines() if "ended" in line or "Traceback" in line or "rror" in line]
    found.demand(place.stderr().endswith(last) and len(said) == 1, f"said: {place.stderr()}")
    found.demand(not place.unfinished(), f"left at once: {place.unfinished()}")


def _send(members: Iterable[int], number: signal.Signals) -> None:
    for pid in members:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _commands(pids: Iterable[int]) -> list[str]:
    found = []
    for pid in pids:
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:200])
        except OSError:
            continue
    return found


def table(findings: list[Finding]) -> str:
    """Verb, signal, tried, survived, left."""
    rows = [("verb", "signal", "tried", "survived", "left", "longest until all processes had gone")]
    for name in dict.fromkeys(found.trial.verb.name for found in findings):
        for kind, numbers in (("SIGKILL", {KILL}), ("SIGTERM, SIGHUP", {TERM, HUP})):
            ours = [f for f in findings if f.trial.verb.name == name and f.trial.number in numbers and not f.missed]
            if ours:
                good, slowest = sum(not f.wrong for f in ours), max(f.gone_s for f in ours)
                rows.append((name, kind, str(len(ours)), str(good), str(len(ours) - good), f"{slowest:.1f} s"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=list(WEIGHTS), help="these verbs alone; may be repeated")
    parser.add_argument("--times", type=float, default=1.0, help="so many times the usual numbers")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="kills-") as folder, local_fetch.served() as address:
        stock = Stock(Path(folder), address)
        stock.make()
        suite = Suite(stock, options.seed)
        for name in options.only or WEIGHTS:
            kills, signals = (round(count * options.times) for count in WEIGHTS[name])
            plan = [*suite.planned(name, KILL, kills)]
            plan += [*suite.planned(name, TERM, signals - signals // 2), *suite.planned(name, HUP, signals // 2)]
            for trial in plan:
                findings.append(suite.tried(trial))
                state = "; ".join(findings[-1].wrong) or ("missed" if findings[-1].missed else "ok")
                print(f"{findings[-1].trial}: {state} ({findings[-1].gone_s:.1f} s)", flush=True)
    print(table(findings))
    tried = [found for found in findings if not found.missed]
    print(
        f"{len(tried)} tried, {sum(not found.wrong for found in tried)} survived, {len(findings) - len(tried)} missed"
    )
    return 1 if any(found.wrong for found in tried) else 0


if __name__ == "__main__":
    sys.exit(main())
