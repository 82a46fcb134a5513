"""The form of a certificate: which entries there are and of which type, before anything reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from export.errors import ExportError

MAX_COUNT = 2**62

Check = Callable[[Any], bool]


def check_form(content: Mapping[str, Any]) -> None:
    """Check a certificate's entries.

    Raises:
        ExportError: the beginning of a line that names the entry.
    """
    _check(content, _CERTIFICATE, "")
    for index, entry in enumerate(content["comparisons"]):
        where = f"comparisons[{index}]."
        _check(entry, _COMPARISON, where)
        if entry["first_divergence"] is not None:
            _check(entry["first_divergence"], _DIVERGENCE, f"{where}first_divergence.")
    _check(content["inputs"], _INPUTS, "inputs.")
    if "outcome" in content:
        _check(content["outcome"], _OUTCOME, "outcome.")


def _check(content: Mapping[str, Any], form: Mapping[str, tuple[bool, Check]], where: str) -> None:
    for key, (needed, right) in form.items():
        if key not in content and not needed:
            continue
        if key not in content:
            raise ExportError(f"'{where}{key}' is missing")
        if not right(content[key]):
            raise ExportError(f"'{where}{key}' is {str(content[key])[:40]!r}, which it cannot be")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_COUNT


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _number_or_none(value: Any) -> bool:
    return value is None or _number(value)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _list_of(inner: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(inner, value))


def _mapping_of(inner: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(inner, value.values()))


def _hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and all(digit in "0123456789abcdef" for digit in value)


def _range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_count, value)) and value[0] <= value[1]


def _shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_count, value))


def _confusion(value: Any) -> bool:
    return value is None or (_list_of(_list_of(_count))(value) and all(len(row) == len(value) for row in value))


_CERTIFICATE: dict[str, tuple[bool, Check]] = {
    "created": (True, _text),
    "equal": (True, _flag),
    "statement": (True, _text),
    "limits": (True, _list_of(_text)),
    "mode": (True, lambda value: value in ("free_running", "teacher_forced")),
    "spec_version": (True, _text),
    "program_sha256": (True, _hash),
    "inputs": (True, _mapping),
    "files": (True, _mapping_of(_hash)),
    "comparisons": (True, _list_of(_mapping)),
    "checks": (True, _mapping_of(_flag)),
    "versions": (True, _mapping_of(lambda value: _text(value) or _mapping_of(_text)(value))),
    "host": (True, lambda value: _mapping(value) and _text(value.get("system"))),
    "seconds": (True, _number),
    "reasons": (False, _mapping_of(_text)),
    "not_compared": (False, _mapping_of(_text)),
    "silent": (False, _list_of(_text)),
    "own_engines": (False, _mapping_of(_mapping)),
    "outcome": (False, _mapping),
}
_COMPARISON: dict[str, tuple[bool, Check]] = {
    **dict.fromkeys(("engine", "ran_as", "against"), (True, _text)),
    **dict.fromkeys(("samples", "steps", "integers_compared", "integers_differing", "spikes"), (True, _count)),
    "sample_ranges": (True, _list_of(_range)),
    "spikes_by_layer": (False, _mapping_of(_count)),
    "saturated": (False, _mapping_of(_count)),
    "seconds": (True, _number),
    "first_divergence": (True, lambda value: value is None or _mapping(value)),
}
_DIVERGENCE: dict[str, tuple[bool, Check]] = {
    **dict.fromkeys(("layer", "state", "clause"), (True, _text)),
    **dict.fromkeys(("step", "sample", "neuron"), (True, _count)),
    **dict.fromkeys(("value_against", "value_engine"), (True, _integer)),
}
_INPUTS: dict[str, tuple[bool, Check]] = {
    "name": (True, _text_or_none),
    "sha256": (True, _hash),
    "shape": (True, _shape),
    "shapes": (False, _mapping_of(_shape)),
}
_OUTCOME: dict[str, tuple[bool, Check]] = {
    "metric": (False, _text),
    "accuracy": (True, _number_or_none),
    "decisions": (True, _count),
    "confusion": (True, _confusion),
    "rates": (True, _mapping_of(_number)),
    "warnings": (True, _list_of(_text)),
}
