"""The integer S-stage of a run: its formats, the engine that runs it, and what that engine costs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hypr import extensions
from hypr.data import SequenceDataset
from hypr.data.storage import write_atomically
from hypr.learning.rule import Rule
from hypr.network import Network
from hypr.training import runs
from hypr.training.build import build_stage
from hypr.training.config import Config
from hypr.training.distributed import Group

if TYPE_CHECKING:
    from hypr.integer.stage import IntegerStage


def engine_of(config: Config) -> Any:
    """What runs the integers of a run, None for the emulator: a registered name, or an object of the user's.

    Raises:
        RuntimeMissing: it is not installed here. ExportError, HyprError: no such engine, or code that nobody but a
            file names.
    """
    name = None if config.quantization is None else config.quantization.stage
    if name is None:
        return None
    from export.verification.engines import RESERVED
    from hypr.integer.loop import in_the_loop

    found: Any = name
    point = None if name in RESERVED else extensions.offered("hypr.engines", name)
    if ":" in name:
        extensions.require_permission(name, f"stage={name}")
        found = extensions.imported(name, "engine")
    elif point is not None:
        extensions.require_permission(name, f"stage={name}")
        found = extensions.load(point)
    if isinstance(found, type):
        found = found()
    in_the_loop(found)
    return found


def kept(engine: Any) -> contextlib.AbstractContextManager[None]:
    """What an engine needs for many runs in a row: Lava starts one worker for all windows."""
    if engine != "lava":
        return contextlib.nullcontext()
    from hardware.lava.runtime import kept_worker

    return kept_worker()


def stage_of(
    config: Config, network: Network, data: SequenceDataset, folder: Path, group: Group, engine: Any
) -> IntegerStage | None:
    """Integer S-stage where the configuration asks for one; its formats are written down before the first update."""
    if config.quantization is None:
        return None
    from hypr.integer.stage import IntegerStage  # float training needs none of its packages

    path = folder / runs.QUANTIZATION
    if group.sum([path.exists() and group.leader])[0]:  # as the first process sees it: it writes soon
        return IntegerStage(network, runs.read_settings(path), engine=engine)
    stage = build_stage(config.quantization, network, data, engine)
    content = (stage.settings.to_json() + "\n").encode()
    group.leader_first(lambda: write_atomically(path, content))
    return stage


def cost_line(stage: IntegerStage, rule: Rule, data: SequenceDataset, batch: int, updates: int) -> str:
    """What an engine in the loop costs, measured on the first window of the first batch.

    Args:
        batch: sequences per update. updates: still to be done.
    """
    window = min(data.steps, getattr(rule, "window", None) or data.steps)
    first = torch.from_numpy(data.dense(slice(0, batch))[:, :window])
    network = stage.network
    started = time.perf_counter()
    with stage.active(), torch.no_grad():
        network.run(network.prepare(first), network.initial_state(len(first)))
    spent = time.perf_counter() - started
    windows = -(-data.steps // window)
    calls = windows if rule.loss.per_step or windows == 1 else 2 * windows  # one loss for all steps: outputs come first
    runs_text = f"{calls} runs of {window} steps" if calls > 1 else f"one run of {window} steps"
    return (
        f"stage {named(stage.engine)}: {spent:.1f} s for a run of {window} steps and {len(first)} sequences; an update "
        f"needs {runs_text}, so about {duration(calls * spent * updates)} for {updates} updates, and validation on top"
    )


def named(engine: Any) -> str:
    """An engine's name for people."""
    return (
        engine
        if isinstance(engine, str)
        else type(engine).__name__
        if not hasattr(engine, "__name__")
        else engine.__name__
    )


def duration(value: float) -> str:
    """Seconds for people, up to days."""
    for limit, unit, text in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172_800.0, 3600.0, "h")):
        if value < limit:
            return f"{value / unit:.1f} {text}"
    return f"{value / 86_400:.1f} days"
