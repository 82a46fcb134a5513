"""Configuration of a training run: frozen, validated, read from TOML, changed by ``key=value``.

A recipe of the package or a file of the user gives the same :class:`Config`; what a run really used is written beside
its results and can be read back.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hypr.errors import HyprError

Scalar = bool | int | float | str
Option = Scalar | list[Scalar] | dict[str, Scalar]
Decision = Literal["auto", "per_step", "sum", "spike_count"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(_Section):
    """Which integers are learned from.

    Attributes:
        name: a data set of ``hypr.data.catalogue()``.
        encoding: one of its encodings, or None for its default.
        split_seed: seed of the division into training and validation part, or None for the seed of the run.
        options: of the data set.
    """

    name: str
    encoding: str | None = None
    split_seed: int | None = Field(default=None, ge=0)
    options: dict[str, Option] = Field(default_factory=dict)


class LayerConfig(_Section):
    """A hidden layer.

    Attributes:
        neuron: a kind of ``hypr.neurons.KINDS``.
        width: neurons.
        options: arguments of the neuron's class.
        density: share of the input synapses that exist, the same number for each neuron, drawn once and fixed; None:
            all.
        recurrent_density: the same for recurrent synapses.
    """

    neuron: str
    width: int = Field(ge=1, le=1_000_000)
    options: dict[str, Option] = Field(default_factory=dict)
    density: float | None = Field(default=None, gt=0, le=1)
    recurrent_density: float | None = Field(default=None, gt=0, le=1)


class ReadoutConfig(_Section):
    """The output layer, one neuron per class; keys as for a hidden layer."""

    neuron: str = "li"
    options: dict[str, Option] = Field(default_factory=dict)
    density: float | None = Field(default=None, gt=0, le=1)
    recurrent_density: float | None = Field(default=None, gt=0, le=1)


class NetworkConfig(_Section):
    """Hidden layers in order of evaluation, and the output layer.

    Attributes:
        mask_seed: seed of the synapses that a ``density`` leaves; None: the seed of the run.
        input_delays: for each input channel the steps that it arrives late, 0 to 62; None: none.
    """

    layers: list[LayerConfig] = Field(min_length=1)
    readout: ReadoutConfig = ReadoutConfig()
    mask_seed: int | None = Field(default=None, ge=0, lt=2**63)
    input_delays: list[int] | None = None


class RuleConfig(_Section):
    """Learning rule.

    Attributes:
        name: ``hypr``, ``hypr-window``, ``bptt`` or ``eprop``.
        window: time steps per window of ``hypr`` and ``hypr-window``; None is the whole sequence. The other rules have
            no window.
        readout_memory: let the error reach spikes that the readout still holds (``hypr``, ``hypr-window``).
        carry: carry eligibilities across windows (``hypr-window``); False is truncated backpropagation.
        boundary_spike: carry the last spike's eligibility too (``hypr-window``).
    """

    name: Literal["hypr", "hypr-window", "bptt", "eprop"] = "hypr"
    window: int | None = Field(default=None, ge=1)
    readout_memory: bool = False
    carry: bool = True
    boundary_spike: bool = False


class LossConfig(_Section):
    """Loss and how a class is read from the output.

    Attributes:
        kind: a name of ``hypr.learning.losses.NAMED``.
        ignore_first: steps at the start that count neither in the loss nor in the decision.
        decision: ``per_step``, ``sum`` (over the steps that count), ``spike_count``; ``auto`` is per_step where every
            step has a label, else sum.
    """

    kind: str = "cross_entropy"
    ignore_first: int = Field(default=0, ge=0)
    decision: Decision = "auto"


class OptimiserConfig(_Section):
    """Optimiser.

    Attributes:
        kind: ``adam``, ``adamw`` or ``sgd``.
        lr: learning rate at the start.
        schedule: ``constant``, ``linear`` (to 0 over all updates) or ``cosine`` (likewise).
        clip: largest global norm of the gradient, or None.
        weight_decay: of adamw and sgd.
        betas: of adam and adamw.
    """

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(default=0.01, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    clip: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: list[float] = Field(default_factory=lambda: [0.9, 0.999], min_length=2, max_length=2)

    @model_validator(mode="after")
    def _betas_below_one(self) -> OptimiserConfig:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}, must be at least 0 and below 1")
        return self


class TrainingConfig(_Section):
    """Length and randomness of the run.

    Attributes:
        epochs: passes over the training part.
        batch: sequences per update.
        seed: of initial weights, the order of samples and, unless ``data.split_seed`` is given, the validation split.
        patience: stop after that many epochs without a better validation accuracy, or None.
        tolerance: the weights called best are those of the last epoch whose validation accuracy is at most this much
            below the highest one (0 to 1). A small validation part tells no more than about its standard error,
            and of epochs that it cannot tell apart the later one has trained longer.
        evaluation_batch: sequences at once when accuracies are measured; changes speed and memory only.
        initial: folder of a run; training starts from its best weights instead of random ones.
    """

    epochs: int = Field(default=100, ge=1)
    batch: int = Field(default=32, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    patience: int | None = Field(default=None, ge=1)
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    evaluation_batch: int = Field(default=256, ge=1)
    initial: str | None = None


class QuantizationConfig(_Section):
    """Train on the integers that will be deployed: weights and coefficients are quantized as export does it, and the
    integer dynamics run forward.

    Attributes:
        weight_bits: signed width of synaptic mantissas, 2 to 8, or one number per layer.
        coefficient_bits: fraction bits of decays and rotations, 8 to 16, or one number per layer.
        state_fraction_bits: fraction bits of states, 0 to 22; None: the most that the states of the initial network
            allow on the first training sequences. Start from a trained network (``training.initial``) then.
        headroom_bits: state range kept free above the largest value of that measurement, 0 to 8.
        guard_bits: extra fraction bits of SE-adLIF's w, 0 to 12.
        weight_scale: ``power_of_two``, ``per_layer``, ``per_row`` (better at 2 to 6 bits) or ``auto`` (per_row for at
            most 6 bits); units of rows are chosen once, on the first training sequences.
    """

    weight_bits: int | list[int] = 8
    coefficient_bits: int | list[int] = 12
    state_fraction_bits: int | list[int] | None = None
    headroom_bits: int = Field(default=2, ge=0, le=8)
    guard_bits: int = Field(default=4, ge=0, le=12)
    weight_scale: Literal["power_of_two", "per_layer", "per_row", "auto"] = "power_of_two"


class Config(_Section):
    """Everything that determines a run.

    Attributes:
        device: ``auto`` (cuda where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``float32`` or ``float64``.
        deterministic: refuse operations that are not reproducible.
        quantization: integer dynamics in the forward pass, or None for float dynamics.
    """

    name: str = Field(min_length=1, max_length=80)
    description: str = ""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    dtype: Literal["float32", "float64"] = "float32"
    deterministic: bool = False
    data: DataConfig
    network: NetworkConfig
    rule: RuleConfig = RuleConfig()
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    training: TrainingConfig = TrainingConfig()
    quantization: QuantizationConfig | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; keys that are None are left out, as TOML has no such value."""
        return self.model_dump(exclude_none=True)


_MAIN_KEY = {"data": "name", "rule": "name", "loss": "kind", "optimiser": "kind", "quantization": "weight_bits"}
"""``rule=bptt`` is short for ``rule.name=bptt``, ``quantization=4`` for ``quantization.weight_bits=4``."""


def recipes() -> dict[str, str]:
    """Names of the recipes that come with the package, and their descriptions."""
    folder = resources.files("hypr") / "recipes"
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.name.endswith(".toml"):
            found[entry.name.removesuffix(".toml")] = tomllib.loads(entry.read_text("utf-8")).get("description", "")
    return found


def load(recipe_or_path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration.

    Args:
        recipe_or_path: name of a recipe, or path of a TOML file (ends in ``.toml`` or has a path separator).
        overrides: ``key=value`` each; dotted keys (``training.epochs=5``, ``network.layers.0.width=64``), a last part
            alone where it is unique (``epochs=5``), or a section for its main key (``rule=bptt``). Values are TOML;
            what is not valid TOML is taken as text.

    Raises:
        HyprError: for an unknown recipe, a file that is not TOML, an unknown key (with the nearest valid one) or a
            value out of range.
    """
    where, text = _read(recipe_or_path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HyprError(f"{where}: not valid TOML: {error}") from None
    for override in overrides:
        _override(content, override)
    return from_dict(content, where)


def from_dict(content: Mapping[str, Any], where: str = "configuration") -> Config:
    """Validate plain values.

    Raises:
        HyprError: one line with the first thing that is wrong, its place and the fix.
    """
    try:
        return Config.model_validate(_numbers(dict(content)))
    except ValidationError as error:
        raise HyprError(_explain(error, where)) from None


def _read(recipe_or_path: str | Path) -> tuple[str, str]:
    name = str(recipe_or_path)
    if isinstance(recipe_or_path, Path) or name.endswith(".toml") or "/" in name:
        try:
            return name, Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise HyprError(
                f"{name}: cannot be read ({reason}); give a TOML file or a recipe: {', '.join(recipes())}"
            ) from None
    if name not in recipes():
        raise HyprError(f"unknown recipe '{name}'; {_nearest(name, list(recipes()))}; a file's name must end in .toml")
    return f"recipe {name}", (resources.files("hypr") / "recipes" / f"{name}.toml").read_text("utf-8")


def _override(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not key:
        raise HyprError(f"override '{override}': must be key=value, such as training.epochs=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    path = _full_path(key)
    if len(path) == 1 and path[0] in _MAIN_KEY and not isinstance(value, dict):
        path.append(_MAIN_KEY[path[0]])
    _assign(content, path, value, override)


def _full_path(key: str) -> list[str]:
    """A key of one part that names no section or top-level key is looked up by its last part."""
    path = key.split(".")
    if len(path) > 1 or key in Config.model_fields:
        return path
    matches = [[section, key] for section, kind in _sections().items() if key in kind.model_fields]
    if len(matches) > 1:
        raise HyprError(
            f"override '{key}': could be {' or '.join('.'.join(match) for match in matches)}; write one of them"
        )
    if not matches:
        raise HyprError(f"override '{key}': unknown key; {_nearest(key, _all_keys())}")
    return matches[0]


def _all_keys() -> list[str]:
    """Top-level keys, and all keys of the sections by their last part."""
    return [*Config.model_fields, *(key for section in _sections().values() for key in section.model_fields)]


def _sections() -> dict[str, type[BaseModel]]:
    annotations = {name: field.annotation for name, field in Config.model_fields.items()}
    return {name: kind for name, kind in annotations.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}


def _assign(content: Any, path: list[str], value: Any, override: str) -> None:
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(content, list):
            if not part.isdecimal() or int(part) >= len(content):
                raise HyprError(f"override '{override}': '{part}' must be a number from 0 to {len(content) - 1}")
            index: Any = int(part)
        elif isinstance(content, dict):
            index = part
        else:
            raise HyprError(f"override '{override}': '{'.'.join(path[:depth])}' is a value, it has no key '{part}'")
        if last:
            content[index] = value
        else:
            content = content[index] if isinstance(content, list) else content.setdefault(index, {})


def _numbers(value: Any, annotation: Any = Config) -> Any:
    """Whole numbers become floats where a float is asked for; nothing else is converted."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(value, dict):
        fields = annotation.model_fields
        return {key: _numbers(item, fields[key].annotation) if key in fields else item for key, item in value.items()}
    arguments = get_args(annotation)
    if isinstance(value, list) and len(arguments) == 1:
        return [_numbers(item, arguments[0]) for item in value]
    wants_float = annotation is float or (float in arguments and int not in arguments)
    return float(value) if wants_float and type(value) is int else value


def _explain(error: ValidationError, where: str) -> str:
    """One line for the first problem."""
    problems = error.errors(include_url=False)
    first = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        return (
            f"{where}: unknown key '{place}'; {_nearest(str(first['loc'][-1]), _valid_keys(first['loc'][:-1]))}{more}"
        )
    if first["type"] == "missing":
        return f"{where}: key '{place}' is missing; add it{more}"
    text = first["msg"].removeprefix("Value error, ")
    value = "" if isinstance(first["input"], dict | BaseModel) else f", got {first['input']!r}"
    return f"{where}: '{place}': {text[0].lower()}{text[1:]}{value}{more}"


def _valid_keys(location: Sequence[str | int]) -> list[str]:
    model: Any = Config
    for part in location:
        if (
            isinstance(part, str)
            and isinstance(model, type)
            and issubclass(model, BaseModel)
            and part in model.model_fields
        ):
            annotation = model.model_fields[part].annotation
            model = next(iter(get_args(annotation)), annotation)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _nearest(word: str, names: list[str]) -> str:
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.4)
    valid = f"valid: {', '.join(dict.fromkeys(names))}"
    return f"nearest valid name is '{close[0]}'; {valid}" if close else valid


def dump(config: Config) -> str:
    """The configuration as TOML text that :func:`load` reads back into an equal one."""
    content = config.to_dict()
    lines = [f"{key} = {_toml(value)}" for key, value in content.items() if not isinstance(value, dict)]
    for section, values in content.items():
        if isinstance(values, dict):
            lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """One TOML value; tables inside a section are written inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()) + " }"


def _toml_key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else _toml_text(key)


def _toml_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
