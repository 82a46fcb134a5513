"""From a network of one's own loop to a verified bundle, without a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export import quantize, to_nir
from export.bundle.bundle import TARGETS, Bundle, Origin, write_bundle
from export.bundle.certified import certify
from export.verification.certificate import write_certificate
from export.verification.engines import get
from export.verification.verify import VerificationResult
from hardware import emulate
from hardware.own import OWN, describe
from hypr.data import SequenceDataset, from_arrays
from hypr.deployment import outcome, sources
from hypr.deployment.arrays import sequences_of
from hypr.deployment.claims import examined
from hypr.deployment.deploy import CALIBRATION_SAMPLES, TIME_STEP_S, Exported, state_ranges, verify_bundle
from hypr.errors import HyprError
from hypr.network import Network
from hypr.training.metrics import evaluate
from hypr.training.runs import network_facts

_BATCH = 256


@dataclass(frozen=True)
class Deployed:
    """What :func:`deploy` gave.

    Attributes:
        bundle: the folder, opened and checked.
        equal: whether every engine returned the very same integers and every exported file is this program.
        float_accuracy, accuracy: of the float network and of the integers on the test sequences (R2 for real targets);
            None without labels.
        verification: engine by engine.
        certificate, report: files.
        warnings: what to know: silent or saturated layers, sections that the report leaves out.
    """

    bundle: Bundle
    equal: bool
    float_accuracy: float | None
    accuracy: float | None
    verification: VerificationResult
    certificate: Path
    report: Path
    warnings: tuple[str, ...]


def deploy(
    net: Network,
    out: str | Path,
    *,
    calibration: Any,
    test: Any = None,
    engines: Sequence[str] | None = None,
    to: Sequence[str] | None = None,
    dt_s: float = TIME_STEP_S,
    overwrite: bool = False,
    **settings: Any,
) -> Deployed:
    """Quantize a trained network, write its bundle, verify it on every engine, and write a report.

    Args:
        net: trained in any loop; it is not changed.
        out: folder of the bundle, made here.
        calibration: (n, T, N_in) inputs as in training, or a ``SequenceDataset``; states are scaled on the first 64.
        test: (x, y) or (x, y, mask): inputs (n, T, N_in), labels (n,) or (n, T), steps that count (n, T); or a
            ``SequenceDataset``. None: verified on the calibration inputs, without accuracies.
        engines: names as for ``hypr verify``; None: emulator and oracle, and those of onnx and lava that run here and
            are
            among the targets.
        to: targets, of ``nir``, ``onnx``, ``lava``; None: all that can hold the network.
        dt_s: seconds per step for the NIR files.
        overwrite: replace a bundle that is there.
        **settings: fields of :class:`export.QuantizationSettings`, for example ``weight_bits=4``.

    Raises:
        ExportError: what cannot be converted exactly, with the reason. HyprError: arrays that do not fit.
    """
    from hypr.report.content import page_of
    from hypr.report.page import write

    own = [layer.kind for layer in net.layers if layer.kind in OWN]
    to = (("nir",) if own else TARGETS) if to is None else to
    inputs = calibration_inputs(net, calibration)
    data = test_data(net, test)
    done = export_network(net, Path(out), inputs, data, to=to, dt_s=dt_s, overwrite=overwrite, **settings)
    bundle = done.bundle
    runs_here = [name for name in ("onnx", "lava") if name in to and get(name).problem() is None]
    chosen = ["emulator", *runs_here] if engines is None else list(engines)
    if data is None:
        data = from_arrays(inputs, np.zeros(len(inputs), np.int64), name="calibration inputs")
    sequences = sequences_of(data)
    if test is None:
        sequences = dataclasses.replace(sequences, labels=None)
    result = verify_bundle(bundle, sequences.values, chosen)
    found = outcome.of_program(bundle.program, sequences)
    content = certify(bundle, result, sequences.name, examined(bundle)) | {
        "outcome": found.to_dict(),
        "own_neurons": describe(bundle.program),
    }
    proof, report = bundle.path / "certificate.json", bundle.path / "report.html"
    write_certificate(content, proof)
    page = page_of(bundle.path)
    write(page, report)
    statements = [entry["statement"] for entry in content["own_neurons"].values()]
    warnings = tuple(dict.fromkeys([*statements, *done.warnings, *found.warnings, *page.left_out]))
    return Deployed(
        bundle, bool(content["equal"]), done.float_accuracy, found.accuracy, result, proof, report, warnings
    )


def export_network(
    net: Network,
    out: Path,
    calibration: np.ndarray,
    test: SequenceDataset | None = None,
    *,
    to: Sequence[str] = TARGETS,
    dt_s: float = TIME_STEP_S,
    overwrite: bool = False,
    **settings: Any,
) -> Exported:
    """Quantize a network and write its bundle; test data are kept inside it (``data.npz``).

    Args:
        net: a trained network. out: folder of the bundle.
        calibration: (n, T, N_in).
        test: labelled sequences, or None.
        to, dt_s, overwrite, settings: see :func:`deploy`.
    """
    few = np.ascontiguousarray(calibration[:CALIBRATION_SAMPLES])
    graph = to_nir(net, dt=dt_s)
    program = quantize(graph, calibration=few, **settings)
    packed = sources.pack(few, test)
    dataset, metrics, real = None, {}, None
    warnings: list[str] = []
    if test is not None:
        with torch.no_grad():
            real = evaluate(net, test, _BATCH).accuracy
        found = outcome.of_program(program, sequences_of(test))
        metrics = {"float_test_accuracy": real, "integer_test_accuracy": found.accuracy or 0.0}
        warnings += found.warnings
    if packed is not None and test is not None:
        test = stored_form(packed, test)
        dataset = {
            "name": sources.STORED,
            "options": {},
            "split_seed": 0,
            "test_sha256": test.sha256,
            "source": {"name": sources.STORED, "path": sources.STORED},
        }
    elif test is not None:
        warnings.append("the test data are too many to be kept in the bundle; give them to verify with --data")
    origin = Origin(dataset=dataset, metrics=metrics, notes={"run": out.name, "network": network_facts(net)})
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    written = write_bundle(graph, program, out, to, origin=origin, overwrite=overwrite)
    if packed is not None:
        sources.store(out / sources.STORED, packed)
    shown = few.transpose(1, 0, 2).astype(np.int32)
    seen = emulate(program, shown, "all")
    return Exported(written, real, metrics.get("integer_test_accuracy"), state_ranges(program, seen), tuple(warnings))


def stored_form(packed: dict[str, np.ndarray], test: SequenceDataset) -> SequenceDataset:
    """The test part as it comes back out of the bundle's file."""
    whole = from_arrays(
        packed["inputs"],
        packed["labels"],
        mask=packed["mask"],
        split=packed["split"],
        input_range=(int(packed["input_range"][0]), int(packed["input_range"][1])),
        classes=None if test.regression else int(packed["classes"]),
        name=Path(sources.STORED).stem,
    )
    return whole.part("test")


def calibration_inputs(net: Network, given: Any) -> np.ndarray:
    """Calibration inputs as integers (n, T, N_in), checked against the network.

    Raises:
        HyprError: wrong shape, values that are not whole; a swapped axis is named where it shows.
    """
    if isinstance(given, SequenceDataset):
        return given.dense(slice(0, CALIBRATION_SAMPLES))
    x = np.asarray(given)
    found = from_arrays(x, np.zeros(len(x) if x.ndim else 0, np.int64), name="calibration")
    _fits(net, found)
    return found.dense()


def test_data(net: Network, given: Any) -> SequenceDataset | None:
    """Labelled test sequences, checked against the network. Raises as :func:`calibration_inputs`."""
    if given is None:
        return None
    if isinstance(given, SequenceDataset):
        return given
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise HyprError("deploy: test must be (x, y) or (x, y, mask)")
    x, y = np.asarray(given[0]), np.asarray(given[1])
    mask = given[2] if len(given) == 3 else None
    classes = net.n_out if y.dtype.kind != "f" else None
    low, high = net.input_format
    found = from_arrays(
        x, y, mask=mask, classes=classes, input_range=(low, high), input_scale=net.input_scale, name="test sequences"
    )
    _fits(net, found)
    return found


def _fits(net: Network, data: SequenceDataset) -> None:
    if data.channels != net.n_in:
        swapped = "; steps and channels look swapped: give x.transpose(0, 2, 1)" if data.steps == net.n_in else ""
        raise HyprError(
            f"{data.name}: inputs have shape {data.inputs.shape}, the network has {net.n_in} inputs (last "
            f"axis){swapped}"
        )
    low, high = net.input_format
    if data.input_low < min(low, 0) or data.input_high > max(high, 1):
        raise HyprError(
            f"{data.name}: inputs span {data.input_low} to {data.input_high}, the network's input_format is {low} to "
            f"{high}; "
            f"build it with hypr.Network(..., input_format=({data.input_low}, {data.input_high}))"
        )
