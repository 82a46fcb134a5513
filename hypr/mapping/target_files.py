"""Target files: TOML, every limit with its source and confidence; validated here, plain data for ``hardware.mapping``.

A file of one's own names the target that it ``extends`` and gives what differs; see docs/mapping.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hardware.errors import HardwareError
from hardware.mapping import CONFIDENCES, LIMITS, Energy, Figures, Limit, Target, Time
from hypr.errors import HyprError
from hypr.training.overrides import nearest
from hypr.training.toml import parse_toml

MOST_BYTES = 2**20
Confidence = Literal["A", "A*", "B", "C", "D", "user"]
NONE = "none"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Sourced(_Section):
    source: str = Field(min_length=1)
    confidence: Confidence = "user"


class _Number(_Sourced):
    value: int | float | Literal["none"]


class _Models(_Sourced):
    value: list[str] = Field(min_length=1)


class _Rule(_Sourced):
    value: Literal["lists", "kernel"]


class _Kinds(_Section):
    dense: float = Field(ge=0)
    sparse: float = Field(ge=0)
    convolution: float = Field(ge=0)


class _Energy(_Section):
    synop: _Kinds
    update: float = Field(ge=0)
    spike: float = Field(ge=0)
    message: float = Field(ge=0)
    hop_x: float = Field(ge=0)
    hop_y: float = Field(ge=0)


class _Time(_Section):
    synop: _Kinds
    update: float = Field(ge=0)
    spike: float = Field(ge=0)
    message_in: float = Field(ge=0)
    message_out: float = Field(ge=0)
    combine: Literal["sum", "max"]
    barrier: list[list[float]] = Field(min_length=1)
    between: Literal["linear", "lower"] = "linear"

    @model_validator(mode="after")
    def _barrier_rises(self) -> _Time:
        if any(len(entry) != 2 for entry in self.barrier):
            raise ValueError("barrier must be pairs [tiles, ns]")
        tiles = [entry[0] for entry in self.barrier]
        if tiles != sorted(set(tiles)):
            raise ValueError("the tiles of a barrier must rise")
        return self


class _Figures(_Sourced):
    name: str = Field(min_length=1)
    title: str = Field(min_length=1)
    leaves_out: str = Field(min_length=1)
    energy: _Energy | None = None
    time: _Time | None = None


class _File(_Section):
    name: str = Field(min_length=1, max_length=80)
    title: str = ""
    extends: str | None = None
    models: _Models | None = None
    convolution: _Rule | None = None
    limits: dict[str, _Number] = Field(default_factory=dict)
    figures: list[_Figures] | None = None


def targets() -> list[str]:
    """Names of the targets that come with the package."""
    folder = resources.files("hypr") / "mapping" / "targets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_target(name_or_path: str | Path, changes: Sequence[str] = ()) -> Target:
    """Read and validate a target.

    Args:
        name_or_path: a target of the package, or the path of a TOML file.
        changes: ``limit=value`` each (``none`` for no limit, ``models=any``), with confidence ``user``.

    Raises:
        HyprError: one line: unknown target, unreadable or invalid file, unknown limit, wrong value.
    """
    where, file = _read(name_or_path)
    base = None
    if file.extends is not None:
        if file.extends not in targets():
            raise HyprError(f"{where}: extends unknown target '{file.extends}'; {nearest(file.extends, targets())}")
        base = load_target(file.extends)
    limits = {} if base is None else dict(base.limits)
    for name, number in file.limits.items():
        limits[name] = _limit(name, None if number.value == NONE else number.value, number, where)  # type: ignore[arg-type]
    models = (file.models.value, file.models.source, file.models.confidence) if file.models else None
    for change in changes:
        name, _, text = change.partition("=")
        if name == "models":
            models = ([part.strip() for part in text.split(",")], "set on the command line", "user")
        else:
            limits[name] = _changed(name, text, change)
    _check_kinds(limits, where)
    figures = None if file.figures is None else tuple(_figures(one) for one in file.figures)
    try:
        return Target(
            file.name,
            file.title or (base.title if base else file.name),
            limits,
            *((tuple(models[0]), models[1], models[2]) if models else _models_of(base)),
            convolution=file.convolution.value if file.convolution else base.convolution if base else "kernel",
            figures=figures if figures is not None else base.figures if base else (),
        )
    except HardwareError as error:
        raise HyprError(f"{where}: {error}") from None


def _models_of(base: Target | None) -> tuple[tuple[str, ...], str, str]:
    if base is None:
        return ("any",), "the target file names none", "user"
    return base.models, base.models_source, base.models_confidence


def _read(name_or_path: str | Path) -> tuple[str, _File]:
    name = str(name_or_path)
    if isinstance(name_or_path, Path) or name.endswith(".toml") or "/" in name:
        try:
            if Path(name).stat().st_size > MOST_BYTES:
                raise HyprError(f"{name}: larger than 1 MiB; this is no target file")
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            known = ", ".join(targets())
            raise HyprError(f"{name}: cannot be read ({reason}); give a TOML file or a target: {known}") from None
    elif name in targets():
        text = (resources.files("hypr") / "mapping" / "targets" / f"{name}.toml").read_text("utf-8")
        name = f"target {name}"
    else:
        raise HyprError(f"unknown target '{name}'; {nearest(name, targets())}; a file's name must end in .toml")
    try:
        return name, _File.model_validate(_floats(parse_toml(text, name)))
    except ValidationError as error:
        raise HyprError(_explain(error, name)) from None


def _floats(value: Any, inside: bool = False) -> Any:
    """Whole numbers of figures are floats; limits keep their type."""
    if isinstance(value, dict):
        return {key: _floats(item, inside or key == "figures") for key, item in value.items()}
    if isinstance(value, list):
        return [_floats(item, inside) for item in value]
    return float(value) if inside and type(value) is int else value


def _explain(error: ValidationError, where: str) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("int", "float", "literal['none']"))
    more = f" (and {len(problems) - 1} more)" if len({str(one["loc"][:3]) for one in problems}) > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key '{place}'; {nearest(str(first['loc'][-1]), list(_File.model_fields))}{more}"
    if first["type"] == "missing":
        return f"{where}: key '{place}' is missing; add it{more}"
    if len(first["loc"]) > 2 and first["loc"][2] == "value":
        return f"{where}: '{place}' must be a number or \"none\", got {first['input']!r}{more}"
    text = first["msg"].removeprefix("Value error, ")
    value = "" if isinstance(first["input"], dict | list | BaseModel) else f", got {first['input']!r}"
    return f"{where}: '{place}': {text[0].lower()}{text[1:]}{value}{more}"


def _limit(name: str, value: int | float | None, given: _Number, where: str) -> Limit:
    if name not in LIMITS:
        raise HyprError(f"{where}: unknown limit '{name}'; {nearest(name, list(LIMITS))}")
    return Limit(name, value, given.source, given.confidence)


def _changed(name: str, text: str, change: str) -> Limit:
    if name not in LIMITS:
        raise HyprError(f"'{change}': unknown limit '{name}'; {nearest(name, [*LIMITS, 'models'])}")
    try:
        value = None if text == NONE else float(text) if name == "idle_power_mw" else int(text)
    except ValueError:
        raise HyprError(f"'{change}': must be a number or none, got {text!r}") from None
    return Limit(name, value, "set on the command line", "user")


def _check_kinds(limits: dict[str, Limit], where: str) -> None:
    for name, limit in limits.items():
        if isinstance(limit.value, float) and name != "idle_power_mw":
            raise HyprError(f"{where}: '{name}' must be a whole number, got {limit.value}")
        if limit.value is not None and not -1 < limit.value < 2**53:
            raise HyprError(f"{where}: '{name}' must be 0 to 2^53, got {limit.value}")


def _figures(given: _Figures) -> Figures:
    energy, time = given.energy, given.time
    return Figures(
        given.name,
        given.title,
        given.source,
        given.confidence,
        given.leaves_out,
        None if energy is None else Energy(**{**energy.model_dump(), "synop": energy.synop.model_dump()}),
        None
        if time is None
        else Time(
            **{
                **time.model_dump(),
                "synop": time.synop.model_dump(),
                "barrier": tuple((entry[0], entry[1]) for entry in time.barrier),
            }
        ),
    )


assert set(CONFIDENCES) == set(Confidence.__args__)  # type: ignore[attr-defined]
