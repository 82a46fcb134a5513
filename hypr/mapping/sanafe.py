"""SANA-FE's estimate beside ours: the same plan and spikes, simulated by a separate program where it is installed.

SANA-FE (Boyle 2025, GPL-3) is never imported: it runs in an interpreter of its own, with files in and JSON out.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from hardware.aside import working_folder
from hardware.mapping import Activity, Plan, cost_of, with_activity
from hypr.errors import HyprError
from hypr.mapping import sanafe_driver, sanafe_files
from hypr.mapping.chip_map import ChipMap

FIGURES = "sanafe"
MOST_SYNAPSES, MOST_EVENTS, MOST_STEPS = 4_000_000, 100_000_000, 20_000
SECONDS = 600
FIX = "map with --target loihi1"


def compare(found: ChipMap, python: Path, folder: Path | None = None) -> dict[str, Any]:
    """Both estimates of the same steps, per step.

    Args:
        found: a map on a target whose figures have an entry ``sanafe``. python: an interpreter that has SANA-FE.
        folder: where its two files stay; None: they are removed.

    Returns:
        ``steps``, ``version``, ``notes`` and ``rows`` of (what, unit, ours, SANA-FE's).

    Raises:
        HyprError: no such figures, several chips, too large, SANA-FE missing, or its failure.
    """
    plan = _replayed(found.plan)
    figures = next((one for one in plan.target.figures if one.name == FIGURES), None)
    if figures is None or figures.energy is None or figures.time is None:
        raise HyprError(f"target {plan.target.name}: has no figures '{FIGURES}' with energy and time; {FIX}")
    rows = {name: np.asarray(value) for name, value in plan.activity.rows.items()}
    steps = len(next(iter(rows.values())))
    text, hosts = sanafe_files.network(plan, rows)
    files = {"architecture.yaml": sanafe_files.architecture(plan, figures.energy, figures.time, hosts)}
    files["network.yaml"] = text
    with working_folder() as temporary:
        place = folder or temporary
        for name, content in files.items():
            (place / name).write_text(content, encoding="utf-8")
        theirs = _run(python, place, steps)
    return {
        "version": theirs["version"],
        "steps": steps,
        "activity": plan.activity.origin,
        "rows": _rows(plan, theirs, steps),
        "notes": [f"synapses of '{name}' are of several kinds; SANA-FE charges the most frequent"
                  for name in sanafe_files.mixed(plan)],
    }  # fmt: skip


def _replayed(plan: Plan) -> Plan:
    """The plan with spikes of 0 and 1: as recorded, few enough; drawn where a rate was assumed.

    Raises:
        HyprError: it cannot be simulated.
    """
    synapses = sum(wiring.total for wiring in plan.needs.wirings.values())
    if not plan.cores or plan.placed.chips > 1:
        raise HyprError(f"SANA-FE simulates one chip; the plan has {plan.placed.chips}; map a smaller network")
    if synapses > MOST_SYNAPSES:
        raise HyprError(
            f"SANA-FE would take gigabytes for {synapses:,} synapses, the limit is {MOST_SYNAPSES:,}; "
            "map a smaller network"
        )
    activity, rows = plan.activity, dict(plan.activity.rows)
    if activity.samples == 0:
        rng = np.random.default_rng(0)
        rows = {name: rng.random((activity.steps, rate.shape[1])) < rate for name, rate in rows.items()}
    per_step = sum(
        float(rows[wiring.projection.source].mean(axis=0) @ wiring.counts(np.arange(wiring.targets)))
        for wiring in plan.needs.wirings.values()
        if wiring.projection.source in rows
    )
    length = len(next(iter(rows.values())))
    length = int(min(length, MOST_STEPS, max(1, MOST_EVENTS // max(per_step, 1))))
    origin = (
        f"{length} steps of: {activity.origin}" if activity.samples else f"{length} steps drawn at the assumed rate"
    )
    return with_activity(plan, Activity({name: one[:length] for name, one in rows.items()}, length, 1, origin))


def _run(python: Path, folder: Path, steps: int) -> dict[str, Any]:
    driver = str(Path(sanafe_driver.__file__))
    command = [str(python), "-I", driver, str(folder / "architecture.yaml"), str(folder / "network.yaml"), str(steps)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=folder)
    except OSError as error:
        raise HyprError(
            f"{python}: cannot be started ({error.strerror}); give the interpreter that has SANA-FE"
        ) from None
    except subprocess.TimeoutExpired:
        raise HyprError(f"SANA-FE took more than {SECONDS} s; give fewer --samples or --steps") from None
    last = done.stdout.strip().splitlines()[-1:]
    if done.returncode == 0 and last:
        try:
            answer: dict[str, Any] = json.loads(last[0])
            return answer
        except ValueError:
            pass
    reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1][:200]
    missing = "No module named 'sanafe'" in done.stderr
    fix = f"install it there: {python} -m pip install sanafe" if missing else "give the interpreter that has SANA-FE"
    raise HyprError(f"{python}: SANA-FE failed ({reason}); {fix}")


def _rows(plan: Plan, theirs: dict[str, Any], steps: int) -> list[tuple[str, str, float, float]]:
    cost = cost_of(plan)
    (mine,) = [one for one in cost.estimates if one.figures.name == FIGURES]
    energy, joule = mine.energy_uj or {}, theirs["energy"]
    nano = 1e3 / steps
    return [
        ("energy of synapses", "nJ", energy["synapses"] * nano, joule["synapse"] * 1e9 / steps),
        ("energy of neurons", "nJ", energy["updates"] * nano, joule["soma"] * 1e9 / steps),
        ("energy of messages", "nJ", (energy["messages"] + energy["hops"]) * nano, joule["network"] * 1e9 / steps),
        ("energy", "nJ", energy["total"] * nano, joule["total"] * 1e9 / steps),
        ("time", "us", mine.step_us or 0.0, theirs["sim_time"] * 1e6 / steps),
        ("synaptic operations", "", sum(cost.counts.synops.values()) / steps, theirs["spikes"] / steps),
        ("messages", "", cost.counts.messages / steps, theirs["packets_sent"] / steps),
        ("spikes", "", (cost.counts.spikes + cost.counts.input_spikes) / steps, theirs["neurons_fired"] / steps),
    ]
