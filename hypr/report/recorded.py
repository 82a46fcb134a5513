"""What a report reads from files that somebody may have edited, validated before it is drawn."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hypr.errors import HyprError

Model = TypeVar("Model", bound=BaseModel)


class _Loose(BaseModel):
    """Further items are left alone: later versions may write more."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=True)


class Tensor(_Loose):
    """What became of the weights of a projection."""

    nonzero: int
    lost: int
    clipped: int


class Decay(_Loose):
    """What became of the time constants of one kind."""

    became_one: int
    became_zero: int
    largest_error: float


class Spikes(_Loose):
    """Spikes per neuron and step on calibration inputs."""

    float_rate: float
    integer_rate: float | None = None


class State(_Loose):
    """Values of a state that sat at the limit; states that were not looked at have none."""

    did: int = 0


class Layer(_Loose):
    """What quantization did to a layer."""

    name: str
    tensors: dict[str, Tensor] = {}
    decays: dict[str, Decay] = {}
    spikes: Spikes | None = None
    states: dict[str, State] = {}


class Findings(_Loose):
    """``quantization`` of a manifest."""

    layers: list[Layer] = []
    warnings: list[str] = []


class Epoch(_Loose):
    """A line of the metrics, or of a manifest's notes about training."""

    epoch: int
    loss: float
    train_accuracy: float | None = None
    validation_accuracy: float | None = None
    warnings: list[str] | None = None


class Training(_Loose):
    """All epochs."""

    training: list[Epoch]


class Result(_Loose):
    """``result.json``."""

    best: dict[str, float]
    metric: str = "accuracy"


def checked(model: type[Model], value: Any, where: str) -> Model:
    """A validated model.

    Raises:
        HyprError: one line that begins with ``where`` and names the first item that is wrong.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise HyprError(f"{where}: '{place}' is damaged ({first['msg'].lower()})") from None
