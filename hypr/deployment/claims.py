"""What a manifest claims of its network's accuracy, computed again from the recordings where they can be found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from export.bundle.bundle import Bundle
from export.bundle.checks import Findings
from export.bundle.manifest import MANIFEST
from export.errors import ExportError
from export.interchange import float_engine
from hypr.data import SequenceDataset
from hypr.deployment.evaluation import float_accuracy, integer_accuracy, outputs_of, time_major
from hypr.deployment.sources import bundle_data, is_other
from hypr.errors import HyprError

FLOAT_SLACK = 0.01
"""Of float accuracies: training measured in float32, on the weights before they were written."""

MOST_FLOAT_WORK, MOST_INTEGER_WORK = 4 * 10**10, 4 * 10**11
"""Synapses times steps times sequences that are computed again, some ten seconds of one core."""

_INTEGER, _FLOAT = "integer_test_accuracy", "float_test_accuracy"


def examined(bundle: Bundle, name: str | None = None) -> Findings:
    """Findings of the bundle's files, and of the accuracies that its manifest claims.

    Args:
        name: the user's word for the bundle's data, where it needs one.
    """
    found = bundle.findings()
    metrics = bundle.manifest.get("metrics")
    if metrics == {} or metrics is None:
        return found
    if not isinstance(metrics, dict) or not all(map(_is_number, metrics.values())):
        return found.and_also({f"{MANIFEST} claims accuracies that are so": "'metrics' are no numbers"})
    try:
        data = bundle_data(bundle, name=name)
        if is_other(bundle, data):
            raise HyprError("the data given are others than those the bundle was made with")
        held, left = _compared(bundle, metrics, data)
    except (HyprError, ExportError) as error:
        why = " ".join(str(error).split())
        return found.and_also({}, {f"{MANIFEST}: metrics": f"not computed again ({why})"})
    return found.and_also(held, left)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _compared(
    bundle: Bundle, metrics: Mapping[str, float], data: SequenceDataset
) -> tuple[dict[str, str | None], dict[str, str]]:
    held: dict[str, str | None] = {}
    left: dict[str, str] = {}
    work = len(data) * data.steps * sum(math.prod(item.synapses.shape) for item in bundle.program.projections)
    for key, claimed in metrics.items():
        line, place = f"{MANIFEST}: metrics {key} is so", f"{MANIFEST}: metrics {key}"
        if key == _INTEGER and work <= MOST_INTEGER_WORK:
            held[line] = _difference(claimed, _integer(bundle, data), 1e-9)
        elif key == _FLOAT and work <= MOST_FLOAT_WORK:
            held[line] = _difference(claimed, _float(bundle, data), FLOAT_SLACK)
        else:
            known = key in (_INTEGER, _FLOAT)
            left[place] = "not computed again (too many test sequences)" if known else "nothing says how it is computed"
    return held, left


def _difference(claimed: float, found: float, slack: float) -> str | None:
    return None if abs(claimed - found) <= slack else f"it says {claimed:.4f}, the recordings give {found:.4f}"


def _integer(bundle: Bundle, data: SequenceDataset) -> float:
    return integer_accuracy(bundle.program, outputs_of(bundle.program, data), data)


def _float(bundle: Bundle, data: SequenceDataset) -> float:
    network = bundle.float_network()
    return float_accuracy(network.decision, float_engine.run(network, time_major(data)).output, data)
