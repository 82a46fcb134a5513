"""What a report says about a run or a bundle: reads the folder, runs a few sequences, returns a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from export.bundle.bundle import MANIFEST, Bundle
from export.errors import ExportError
from hardware import emulate
from hardware.errors import HardwareError
from hardware.mapping import Target
from hardware.program import Program
from hypr.data import SequenceDataset
from hypr.deployment.deploy import bundle_data, staircase_of
from hypr.deployment.evaluation import time_major
from hypr.errors import HyprError
from hypr.mapping import DEFAULT_TARGET, load_target
from hypr.report import pictures
from hypr.report.behaviour import behaviour
from hypr.report.chip import on_chip
from hypr.report.comparison import COMPARED_SEQUENCES, side_by_side
from hypr.report.integers import count_synapses, integers, quantization
from hypr.report.page import Block, Page, Part, Picture, Table
from hypr.report.proof import headline, outcome, proofs, verification
from hypr.report.recorded import Findings, Result, Training, checked
from hypr.training.config import dump
from hypr.training.recorded import from_recorded
from hypr.training.runs import CONFIG, METRICS, RESULT, Run, open_run

Found = TypeVar("Found")
_FROM_DATA = "accuracies, staircase, rasters, traces, cost on a chip"


def page_of(folder: Path, data: str | None = None, target: str | Path | None = None) -> Page:
    """The report of a run folder or a bundle.

    Args:
        folder: of either.
        data: where the data of a bundle are now; None: where the bundle knows them.
        target: chip that a bundle is mapped on, a name or a file; None: :data:`hypr.mapping.DEFAULT_TARGET`.

    Raises:
        HyprError, ExportError: neither of the two, or damaged; an unknown chip; a chip for a run.
    """
    if (folder / MANIFEST).exists():
        return of_bundle(Bundle.open(folder), data, load_target(DEFAULT_TARGET if target is None else target))
    if (folder / CONFIG).exists():
        if target is not None:
            raise HyprError(f"{folder}: a run has no integer network to map on {target}; export it, report the bundle")
        return of_run(open_run(folder))
    raise HyprError(
        f"{folder}: neither a run ({CONFIG}) nor a bundle ({MANIFEST}); "
        "give a folder that hypr train or hypr export wrote"
    )


def of_run(run: Run) -> Page:
    """Accuracies, training curves, configuration and environment of a run."""
    result = None if run.result is None else checked(Result, run.result, str(run.path / RESULT))
    metric = "R2" if result is not None and result.metric == "r2" else "accuracy"
    cards = [("epochs trained", str(len(run.metrics))), ("rule", run.config.rule.name)]
    if result is not None:
        cards = [
            (f"{split.replace('_', ' ')} {metric}", _percent(value)) for split, value in result.best.items()
        ] + cards
    sizes = [(f"hidden{i}", layer.neuron, str(layer.width)) for i, layer in enumerate(run.config.network.layers)]
    parts = [
        _training(run.metrics, run.config.rule.name, str(run.path / METRICS)),
        Part("Network", tables=[Table(("layer", "neuron", "width"), sizes, right=(2,))]),
        Part(
            "How it was made",
            tables=[_pairs(_flat(run.environment))],
            blocks=[Block("configuration (config.toml)", dump(run.config))],
        ),
    ]
    return Page(f"Training run: {run.config.name}", f"{run.config.description} ({run.path.name})", None, cards, parts)


def of_bundle(bundle: Bundle, name: str | None, target: Target) -> Page:
    """Accuracies, staircase, verification, rasters, traces, training curves, formats, place and cost on a chip, and
    provenance of a bundle; what lacks its data or files is left out, and the page says so."""
    program, notes = bundle.program, _mapping(bundle.manifest.get("notes"))
    left_out: list[str] = []
    data = _or_leave_out(
        left_out, "accuracies, staircase, rasters, traces, cost on a chip", lambda: _test_data(bundle, name)
    )
    steps: list[tuple[str, float, float]] = []
    if data is not None:
        steps = _or_leave_out(left_out, "the staircase", lambda: _stairs(bundle, data, name)) or []
    found = _or_leave_out(left_out, "the verification", lambda: proofs(bundle)) or []
    proof = found[0].content if found and found[0].about_this else None
    parts: list[Part] = []
    if steps:
        parts.append(_staircase(steps, data))
    parts += verification(found, bundle.path)
    compared = None
    if data is not None:
        compared = _or_leave_out(left_out, "float against integers", lambda: behaviour(bundle, data))
    if proof is not None and "outcome" in proof:
        parts.append(outcome(proof["outcome"], confusion=compared is None))
    if data is not None:
        parts += [] if compared is None else [compared]
        parts += _or_leave_out(left_out, "rasters and traces", lambda: side_by_side(bundle, data)) or []
    trained, where = notes.get("training"), str(bundle.path / MANIFEST)
    if trained:
        told = _or_leave_out(left_out, "training", lambda: _training(trained, str(notes.get("rule", "?")), where))
        parts += [] if told is None else [told]
    few = None if data is None else emulate(program, time_major(data.subset(slice(0, COMPARED_SEQUENCES))), "all")
    parts += _or_leave_out(left_out, "integer formats", lambda: [integers(program, few)]) or []
    findings = bundle.manifest.get("quantization")
    if findings:
        lost = _or_leave_out(left_out, "quantization", lambda: quantization(checked(Findings, findings, where)))
        parts += [] if lost is None else [lost]
    parts += _or_leave_out(left_out, f"the map on {target.title}", lambda: on_chip(bundle, target, data)) or []
    parts.append(_provenance(bundle, notes, proof))
    name = str(notes.get("run") or bundle.path.name)
    config = notes.get("config")
    on_integers = isinstance(config, Mapping) and config.get("quantization") is not None
    subtitle = "trained and deployed on integers" if on_integers else "trained in float, deployed as integers"
    subtitle += f" on {data.description}" if data is not None else ""
    return Page(f"Deployment report: {name}", subtitle, headline(found), _cards(program, steps, proof), parts, left_out)


def _or_leave_out(left_out: list[str], what: str, make: Callable[[], Found]) -> Found | None:
    """What ``make`` returns; where its data or files are missing, a line about it instead."""
    try:
        return make()
    except (HyprError, ExportError, HardwareError) as error:
        left_out.append(f"{what}: {' '.join(str(error).split())}")
        return None


def _test_data(bundle: Bundle, name: str | None) -> SequenceDataset:
    data = bundle_data(bundle, name=name)
    if len(bundle.program.inputs) != 1 or data.channels != bundle.program.inputs[0].size:
        sizes = ", ".join(str(item.size) for item in bundle.program.inputs)
        raise HyprError(f"'{data.name}' has {data.channels} channels, the network {sizes} inputs")
    return data


def _stairs(bundle: Bundle, data: SequenceDataset, name: str | None) -> list[tuple[str, float, float]]:
    if data.regression:
        raise HyprError("it counts right decisions, these data have real targets")
    return staircase_of(bundle, data, name)


def _cards(
    program: Program, steps: Sequence[tuple[str, float, float]], proof: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    neurons = sum(population.size for population in program.populations)
    synapses = count_synapses(program)
    cards = []
    if steps:
        cards += [
            ("float accuracy (test)", _percent(steps[0][1])),
            ("integer accuracy (test)", _percent(steps[-1][1])),
            ("change, points", f"{100 * (steps[-1][1] - steps[0][1]):+.2f}"),
        ]
    cards += [("neurons", f"{neurons:,}"), ("synapses", f"{synapses:,}")]
    if proof is not None:
        cards.append(("integers compared", f"{sum(entry['integers_compared'] for entry in proof['comparisons']):,}"))
    return cards


def _staircase(steps: Sequence[tuple[str, float, float]], data: SequenceDataset | None) -> Part:
    where = "" if data is None else f" on all {len(data)} test sequences"
    return Part(
        "From float to integer",
        f"Accuracy{where} with more and more of the network made integer. "
        "The last step is what every engine below runs.",
        pictures=[
            Picture(
                pictures.staircase(steps),
                "accuracy after each step, its standard error over sequences, and the change against the float "
                "network in points",
            )
        ],
    )


def _training(recorded: Any, rule: str, where: str) -> Part:
    """Curves of recorded epochs.

    Raises:
        HyprError: they are damaged.
    """
    lines = [line.model_dump() for line in checked(Training, {"training": recorded}, where).training]
    if not lines:
        return Part("Training", "No epoch was finished.")
    return Part(
        "Training",
        f"{len(lines)} epochs with rule {rule}.",
        pictures=[Picture(pictures.training_curves(lines), "loss and accuracy per epoch")],
        notes=[f"Epoch {line['epoch']}, warning: {text}" for line in lines for text in line["warnings"] or ()],
    )


def _provenance(bundle: Bundle, notes: Mapping[str, Any], proof: Mapping[str, Any] | None) -> Part:
    manifest = bundle.manifest
    facts = {
        "program sha256": manifest["program_sha256"],
        "seed": manifest.get("seed"),
        **_flat(_mapping(manifest.get("dataset")), "data "),
    }
    facts |= _flat(_mapping(manifest.get("versions")), "export: ")
    if proof is not None:
        facts |= {
            "verified": proof["created"],
            "host": proof["host"]["system"],
            "inputs sha256": proof["inputs"]["sha256"],
        }
        for engine, packages in proof["versions"].items():
            if isinstance(packages, Mapping):
                facts[f"engine {engine}"] = ", ".join(f"{name} {version}" for name, version in packages.items())
    files = [(name, f"{entry['bytes']:,}", entry["sha256"]) for name, entry in manifest["files"].items()]
    blocks = []
    if isinstance(notes.get("config"), dict):
        blocks.append(Block("training configuration", dump(from_recorded(notes["config"], "bundle"))))
    if notes.get("environment"):
        blocks.append(Block("training environment", json.dumps(notes["environment"], indent=2)))
    tables = [_pairs(facts), Table(("file", "bytes", "sha256"), files, right=(1,))]
    return Part("Versions and hashes", "", tables, blocks=blocks)


def _mapping(value: Any) -> Mapping[str, Any]:
    """What somebody may have put in place of a mapping is left out."""
    return value if isinstance(value, Mapping) else {}


def _pairs(facts: Mapping[str, Any]) -> Table:
    return Table(("what", "value"), [(str(key), str(value)) for key, value in facts.items() if value is not None])


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}: ")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"
