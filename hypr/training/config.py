"""Configuration of a training run: frozen, validated, read from TOML, changed by ``key=value``.

A recipe of the package or a file of the user gives the same :class:`Config`; what a run really used is written beside
its results and can be read back.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from export.files import read_at_most
from hypr.errors import HyprError
from hypr.training.overrides import apply, fit_options, nearest, sections
from hypr.training.toml import MOST_BYTES, dump_toml, parse_toml

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
        initial: ``data``: fresh weights are scaled on one batch so that every layer fires from the first step
            (:func:`hypr.fit_activity_`); ``random``: as drawn.
        mask_seed: seed of the synapses that a ``density`` leaves; None: the seed of the run.
        input_delays: for each input channel the steps that it arrives late, 0 to 62; None: none.
    """

    layers: list[LayerConfig] = Field(min_length=1)
    readout: ReadoutConfig = ReadoutConfig()
    initial: Literal["random", "data"] = "data"
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
        own_spike: let a neuron's previous spike act on the neuron itself (``hypr``, ``hypr-window``); ``auto``: where
            reset or adaptation hang on it alone (ALIF, reset by subtraction).

    None is the rule's own default: False for ``hypr``, all that is carried for ``hypr-window``.
    """

    name: Literal["hypr", "hypr-window", "bptt", "eprop"] = "hypr"
    window: int | None = Field(default=None, ge=1)
    readout_memory: bool | None = None
    carry: bool | None = None
    boundary_spike: bool | None = None
    own_spike: bool | Literal["auto"] | None = None

    @model_validator(mode="after")
    def _only_its_own(self) -> RuleConfig:
        for key in sorted(self.model_fields_set - {"name"} - set(RULE_OPTIONS[self.name])):
            if getattr(self, key) is not None:
                raise ValueError(f"rule '{self.name}' has no option '{key}'; leave it out")
        return self

    def settled(self) -> RuleConfig:
        """With the defaults of the rule in the place of None, so that what is written down keeps its meaning."""
        carried = self.name == "hypr-window" and self.carry is not False
        auto: bool | str = "auto" if carried else False
        defaults = {"carry": True, "boundary_spike": carried, "readout_memory": carried, "own_spike": auto}
        chosen = {key: defaults.get(key) for key in RULE_OPTIONS[self.name] if getattr(self, key) is None}
        return self.model_copy(update=chosen)


RULE_OPTIONS: dict[str, tuple[str, ...]] = {
    "hypr": ("window", "readout_memory", "own_spike"),
    "hypr-window": ("window", "carry", "boundary_spike", "readout_memory", "own_spike"),
    "bptt": (),
    "eprop": (),
}
"""Options that a rule has."""


class LossConfig(_Section):
    """Loss and how a class is read from the output.

    Attributes:
        kind: a name of ``hypr.learning.losses.NAMED``.
        ignore_first: steps at the start that count neither in the loss nor in the decision.
        decision: ``per_step``, ``sum`` (over the steps that count), ``spike_count``; ``auto`` is per_step where every
            step has a label, else sum.
        rate_weight: price of spikes above ``rate_target``, loss per spike of each neuron and step
            (:class:`hypr.learning.rates.RatePenalty`); one number, or one per hidden layer.
        rate_target: rate in spikes per neuron and step that costs nothing; likewise.
    """

    kind: str = "cross_entropy"
    ignore_first: int = Field(default=0, ge=0)
    decision: Decision = "auto"
    rate_weight: float | list[float] = 0.0
    rate_target: float | list[float] = 0.0


class OptimiserConfig(_Section):
    """Optimiser.

    Attributes:
        kind: ``adam``, ``adamw`` or ``sgd``.
        lr: learning rate at the start.
        schedule: ``constant``, ``linear`` (to 0 over all updates) or ``cosine`` (likewise).
        clip: largest global norm of the gradient, or None.
        weight_decay: of adamw and sgd.
        betas: of adam and adamw.
        follow_initial: where ``network.initial`` made a layer's weights larger, its weights and bias learn faster by
            the
            square root of that factor, but at no more than ``follow_cap``.
        follow_cap: see there.
    """

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(default=0.01, gt=0, le=1e6)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    clip: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.0, ge=0, le=1e6)
    betas: list[float] = Field(default_factory=lambda: [0.9, 0.999], min_length=2, max_length=2)
    follow_initial: bool = False
    follow_cap: float = Field(default=0.1, gt=0, le=1e6)

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
        stop_dead: stop a run after two epochs in which a hidden layer fired no spike and no gradient got through.
    """

    epochs: int = Field(default=100, ge=1)
    batch: int = Field(default=32, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    patience: int | None = Field(default=None, ge=1)
    tolerance: float = Field(default=0.0, ge=0, lt=1)
    evaluation_batch: int = Field(default=256, ge=1)
    initial: str | None = None
    stop_dead: bool = True


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
        stage: the engine that runs the integers, hardware in the loop: ``lava``, ``onnx``, ``reference`` or your own
            ``module:object`` (:mod:`hypr.integer.loop`); None: the emulator. ``stage=lava`` alone trains on integers.
    """

    weight_bits: int | list[int] = 8
    coefficient_bits: int | list[int] = 12
    state_fraction_bits: int | list[int] | None = None
    headroom_bits: int = Field(default=2, ge=0, le=8)
    guard_bits: int = Field(default=4, ge=0, le=12)
    weight_scale: Literal["power_of_two", "per_layer", "per_row", "auto"] = "power_of_two"
    stage: str | None = Field(default=None, min_length=1)


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


def load(
    recipe_or_path: str | Path, overrides: Sequence[str] = (), note: Callable[[str], None] | None = None
) -> Config:
    """Read a configuration.

    Args:
        recipe_or_path: name of a recipe, or path of a TOML file (ends in ``.toml`` or has a path separator).
        overrides: ``key=value`` each; dotted keys (``training.epochs=5``, ``network.layers.0.width=64``), a last part
            alone where it is unique (``epochs=5``), or a section for its main key (``rule=bptt``). Values are TOML;
            what is not valid TOML is taken as text. ``none`` clears a key that may be left out
            (``rule.window=none``).
        note: is told in a line which options of the recipe or file another rule made void.

    Raises:
        HyprError: for an unknown recipe, a file that is not TOML, an unknown key (with the nearest valid one) or a
            value out of range, or an override for an option that the rule does not have.
    """
    where, text = _read(recipe_or_path)
    content = parse_toml(text, where)
    given = {tuple(apply(content, override, Config, _MAIN_KEY)) for override in overrides}
    dropped = fit_rule(content, given)
    if dropped and note is not None:
        note(f"{where}: rule {content['rule']['name']} has no {', '.join(dropped)}; left out")
    return from_dict(content, where)


def fit_rule(content: dict[str, Any], given: Collection[tuple[str, ...]] = ()) -> list[str]:
    """Take options out of the section ``rule`` that its rule does not have; returns which.

    Raises:
        HyprError: one of them is in ``given``, the paths of what the user asked for.
    """
    return fit_options(content, "rule", RuleConfig().name, RULE_OPTIONS, given)


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
            return name, read_at_most(name, MOST_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise HyprError(
                f"{name}: cannot be read ({reason}); give a TOML file or a recipe: {', '.join(recipes())}"
            ) from None
    if name not in recipes():
        raise HyprError(f"unknown recipe '{name}'; {nearest(name, list(recipes()))}; a file's name must end in .toml")
    return f"recipe {name}", (resources.files("hypr") / "recipes" / f"{name}.toml").read_text("utf-8")


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
        word, section = str(first["loc"][-1]), str(first["loc"][0])
        known = {
            f"{name}.{key}" for name, kind in sections(Config).items() for key in kind.model_fields if name != section
        }
        elsewhere = [key for key in sorted(known) if key.split(".")[1] == word]
        if word in sections(Config):
            elsewhere = [f"{word}.{key}" for key in sections(Config)[word].model_fields]
        near = f"did you mean {', '.join(elsewhere)}?" if elsewhere else nearest(word, _valid_keys(first["loc"][:-1]))
        return f"{where}: unknown key '{place}'; {near}{more}"
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


def dump(config: Config) -> str:
    """The configuration as TOML text that :func:`load` reads back into an equal one."""
    return dump_toml(config.to_dict())
