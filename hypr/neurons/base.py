"""What every neuron layer shares: synapses, trainable per-neuron parameters and their ranges, and the contract of
``step``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hypr.errors import HyprError
from hypr.neurons.connectivity import checked_mask
from hypr.neurons.jacobians import Jacobians, forward_mode
from hypr.neurons.surrogate import Surrogate, describe, spike, surrogate

_MASKS = {"weight": "mask", "recurrent_weight": "recurrent_mask"}
"""Attribute that holds the mask of a parameter."""

KINDS: dict[str, type[Neuron]] = {}
"""Neuron classes by their ``kind``; a subclass enters when it is defined."""


@dataclass(frozen=True)
class Range:
    """Where a per-neuron parameter starts and where it is kept.

    Attributes:
        start: two numbers: bounds of the initial distribution, or mean and standard deviation for ``normal``.
        low: smallest value kept by ``constrain_``.
        high: largest value kept by ``constrain_``.
        distribution: of the initial values; ``log_uniform`` is uniform in the logarithm.
    """

    start: tuple[float, float]
    low: float = -math.inf
    high: float = math.inf
    distribution: Literal["uniform", "log_uniform", "normal"] = "uniform"

    def __post_init__(self) -> None:
        a, b = self.start
        if not (math.isfinite(a) and math.isfinite(b)) or (self.distribution != "normal" and a > b):
            raise HyprError(f"range {self.start}: needs two finite numbers, the first not above the second")
        if self.distribution == "log_uniform" and a <= 0:
            raise HyprError(f"range {self.start}: a log-uniform range needs positive bounds")

    def sample(self, n: int, generator: torch.Generator | None) -> Tensor:
        """(n,) initial values in the default dtype, clipped to [low, high]; ``generator`` None is torch's own."""
        a, b = self.start
        if self.distribution == "normal":
            values = a + b * torch.randn(n, generator=generator)
        elif self.distribution == "log_uniform":
            values = torch.exp(math.log(a) + (math.log(b) - math.log(a)) * torch.rand(n, generator=generator))
        else:
            values = a + (b - a) * torch.rand(n, generator=generator)
        return values.clamp(self.low, self.high)


class Neuron(nn.Module):
    """A layer of N neurons with input and, if wanted, recurrent synapses: all of them, or those that a mask names.

    ``I^t = W pre^t + b + R z^{t-1}``, then ``(s^t, z^t) = step(s^{t-1}, z^{t-1}, I^t, parameters)``, elementwise per
    neuron (HYPR, section 3). A neuron of your own needs ``state_names``, ``trainable`` and ``step``::

        class Leaky(hypr.Neuron):
            state_names = ("u",)
            trainable = {"decay": hypr.Range((0.8, 0.95), low=0.0, high=0.99)}

            def step(self, state, z, current, parameters):
                u = parameters["decay"] * state[0] * (1 - z) + current
                return (u,), self.spike(u - 1.0)

    Every rule trains ``hypr.Network([Leaky(4, 32), hypr.LI(32, 2)])``, with Jacobians by forward-mode differentiation.

    Args:
        n_in: inputs, at least 1.
        n: neurons, at least 1.
        recurrent: whether z^{t-1} of the layer comes back through ``recurrent_weight``.
        surrogate: name in ``hypr.neurons.surrogate.NAMED`` or an object with ``psi``.
        generator: random source of the initial values; None is torch's global one.
        mask: bool (N, n_in), True where an input synapse exists; None: everywhere. The weights of the others are 0 for
            good: no rule gives them a gradient.
        recurrent_mask: the same for recurrent synapses, (N, N), column = presynaptic neuron.

    Attributes:
        weight: (N, n_in), uniform in +-sqrt(6 / (fan_in + N)), fan_in = n_in + N for a recurrent layer (the authors'
            Xavier variant); with a mask wider by ``1 / sqrt(share of synapses that exist)``, so that currents are as
            strong as without.
        bias: (N,), starts at 0.
        recurrent_weight: (N, N), column = presynaptic neuron; None without recurrence.
        ranges: raw parameter name -> :class:`Range`; each such parameter is an attribute (N,).
    """

    kind: ClassVar[str] = ""
    state_names: ClassVar[tuple[str, ...]] = ()
    spiking: ClassVar[bool] = True
    bias_in_current: ClassVar[bool] = True
    moved_by_own_spike: bool = False
    """Whether reset or adaptation takes its size from the neuron's own previous spike alone, not from the state: only
    its eligibility tells synapses of them (``own_spike`` of the rules)."""
    mask: Tensor | None
    recurrent_mask: Tensor | None
    trainable: ClassVar[Mapping[str, Range]] = {}

    integer_step: ClassVar[Callable[..., Any] | None] = None
    """For export, a static method ``integer_step(n, states, spikes_before, drive) -> (states, spikes)`` as those of
    ``hardware.neurons``: int64 (B, N), parameters, shifts and ``n["bias"]`` by name; states within 24 bits
    (``sat``)."""
    integer_scalar_step: ClassVar[Callable[..., Any] | None] = None
    """The same a second time for one neuron in Python ints, as those of ``hardware.reference``: then verification
    compares two implementations."""
    integer_parameters: ClassVar[Mapping[str, tuple[int, int | None]]] = {}
    """Integer parameters and their ranges; None: up to ``2^K``."""
    integer_shifts: ClassVar[tuple[str, ...]] = ("K",)
    """Names of shifts; each is ``coefficient_bits``."""
    quantize: ClassVar[Callable[..., Any] | None] = None
    """Static method ``quantize(parameters, unit, shifts) -> {name: (N,)}``: ``effective()`` values and the value of one
    state unit, float64 (N,), to integer parameters; rounded afterwards."""
    dequantize: ClassVar[Callable[..., Any] | None] = None
    """Static method ``dequantize(integers, unit, shifts) -> effective values``; needed to train on integers, and for
    the staircase."""

    @staticmethod
    def input_gain(parameters: Mapping[str, np.ndarray]) -> Any:
        """What the step multiplies its current with before it reaches the state, for export: (N,) or a number, from the
        effective ``parameters`` (N,) by name.
        """
        return 1.0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" not in cls.__dict__:
            cls.kind = cls.__name__.lower()
        KINDS[cls.kind] = cls
        if cls.integer_step is not None and cls.kind:
            from hypr.neurons.integer import register_class

            register_class(cls)

    def __init__(
        self,
        n_in: int,
        n: int,
        recurrent: bool = True,
        surrogate: str | Surrogate | dict[str, Any] = "slayer",
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
        recurrent_mask: Tensor | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("n_in", n_in), ("n", n)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise HyprError(f"{type(self).__name__}: {name} is {value!r}, must be a whole number of at least 1")
        self.n_in, self.n, self.recurrent = n_in, n, bool(recurrent)
        self.surrogate = _surrogate(surrogate)
        self.ranges: dict[str, Range] = {}
        bound = math.sqrt(6.0 / (n_in + (n if recurrent else 0) + n))
        self.weight = nn.Parameter((2 * torch.rand(n, n_in, generator=generator) - 1) * bound)
        self.bias = nn.Parameter(torch.zeros(n))
        self.recurrent_weight = (
            nn.Parameter((2 * torch.rand(n, n, generator=generator) - 1) * bound) if recurrent else None
        )
        self._connect(mask, recurrent_mask)
        for name, limits in self.trainable.items():
            self._declare(name, limits, generator)

    def _connect(self, mask: Tensor | None, recurrent_mask: Tensor | None) -> None:
        where = type(self).__name__
        if recurrent_mask is not None and self.recurrent_weight is None:
            raise HyprError(f"{where}: a recurrent_mask needs recurrent synapses; leave it out")
        given = {"mask": (mask, self.n_in), "recurrent_mask": (recurrent_mask, self.n)}
        for name, (value, sources) in given.items():
            checked = checked_mask(where, name, value, (self.n, sources))
            self.register_buffer(name, None if checked is None else checked.to(self.weight.device))
        for name, held in self.masks().items():
            self.get_parameter(name).data /= math.sqrt(float(held.float().mean()))
        self.cut_()

    def _declare(self, name: str, limits: Range, generator: torch.Generator | None) -> None:
        if hasattr(self, name):
            raise HyprError(
                f"{type(self).__name__}: a trainable parameter cannot be called '{name}', a layer has that already"
            )
        self.ranges[name] = limits
        self.register_parameter(name, nn.Parameter(limits.sample(self.n, generator)))

    # ---- the neuron

    def step(
        self, state: tuple[Tensor, ...], z: Tensor, current: Tensor, parameters: Mapping[str, Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """One step, elementwise over any common shape.

        Args:
            state: s^{t-1}, one tensor per name in ``state_names``.
            z: z^{t-1}.
            current: I^t.
            parameters: effective values, as returned by :meth:`effective`.

        Returns:
            s^t in the same order, and z^t (through :meth:`spike`).
        """
        raise NotImplementedError(f"{type(self).__name__} needs a step(state, z, current, parameters)")

    def spike(self, x: Tensor) -> Tensor:
        """1 where x > 0, else 0, with the layer's surrogate derivative."""
        return spike(x, self.surrogate)

    def effective(self) -> dict[str, Tensor]:
        """Effective parameters (N,) that enter the step, differentiable functions of the raw trainable ones. Default:
        the raw ones.
        """
        return {name: getattr(self, name) for name in self.ranges}

    def jacobians(self, state: Tensor, spikes: Tensor, current: Tensor, parameters: Mapping[str, Tensor]) -> Jacobians:
        """Derivatives of the step (HYPR, section 3); by default from forward-mode differentiation.

        Args:
            state: (T, B, d, N), before each step. spikes: (T, B, N), of the step before each.
            current: (T, B, N), of each step. parameters: effective ones, (N,) by name.

        Returns:
            A to F of :class:`hypr.neurons.jacobians.Jacobians`.

        They depend on s^{t-1}, z^{t-1} and I^t only, never on a recorded s^t, so any S-stage may have produced the
        trajectory.
        """
        return forward_mode(self, state, spikes, current, parameters)

    # ---- parameters

    def raw(self) -> dict[str, nn.Parameter]:
        """The parameters of which the effective ones are made, by name."""
        raw = {name: self.get_parameter(name) for name in self.ranges}
        return raw if self.bias_in_current else {**raw, "bias": self.bias}

    def masks(self) -> dict[str, Tensor]:
        """Masks by the name of the weights that they cut, ``weight`` and ``recurrent_weight``, where there is one."""
        found = {name: getattr(self, attribute) for name, attribute in _MASKS.items()}
        return {name: mask for name, mask in found.items() if mask is not None}

    def cut(self, name: str, value: Tensor) -> Tensor:
        """``value``, of the shape of the parameter ``name``, with 0 where a mask leaves no synapse."""
        mask = self.masks().get(name)
        return (
            value if mask is None else torch.where(mask, value, torch.zeros((), dtype=value.dtype, device=value.device))
        )

    @torch.no_grad()
    def cut_(self) -> None:
        """Set the weights of synapses that a mask leaves out to 0, in place."""
        for name, mask in self.masks().items():
            self.get_parameter(name).masked_fill_(~mask, 0.0)

    @torch.no_grad()
    def constrain_(self) -> None:
        """Clip the per-neuron parameters to their ranges, cut masked weights, in place; call it after each update."""
        self.cut_()
        for name, limits in self.ranges.items():
            self.get_parameter(name).clamp_(limits.low, limits.high)

    # ---- descriptions

    def constants(self) -> dict[str, float]:
        """Numbers of the step that are not trained, by their names in the difference equations."""
        return {}

    def options(self) -> dict[str, str]:
        """Named options of the step, as export names them."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Keyword arguments beyond n_in, n, recurrent and surrogate that build this layer again."""
        return {}

    def structure(self) -> dict[str, Any]:
        """Plain dictionary (strings, numbers, lists) from which ``Network.from_structure`` builds the layer again,
        weights and masks excepted: of a mask it says that there is one.
        """
        base: dict[str, Any] = {"kind": self.kind, "n_in": self.n_in, "n": self.n}
        if self.spiking:
            base |= {"recurrent": self.recurrent, "surrogate": describe(self.surrogate)}
        return base | self.settings() | {_MASKS[name]: True for name in self.masks()}

    def to_arrays(self) -> dict[str, Any]:
        """The layer for export: effective values as float64 arrays, names as in the difference equations of
        ``export.interchange.source``.
        """
        if self.integer_step is not None:
            from hypr.neurons.integer import check_exportable

            check_exportable(self)
        values = {name: value for name, value in self.effective().items() if name != "bias"}
        return {
            "kind": self.kind,
            "weight": _array(self.weight),
            "bias": _array(self.bias),
            "recurrent_weight": None if self.recurrent_weight is None else _array(self.recurrent_weight),
            "parameters": {name: _array(value) for name, value in values.items()}
            | {name: np.full(self.n, value) for name, value in self.constants().items()},
            "options": self.options(),
        } | {name: mask.cpu().numpy().copy() for name, mask in self.named_buffers() if name in _MASKS.values()}

    def after_reset(self, states: Tensor, spikes: Tensor) -> Tensor:
        """States (..., d, N) as an integer engine records them, where the reset is part of the step that spiked.

        Args:
            states: (..., d, N), as the float step leaves them. spikes: (..., N), of the same step.

        In the float step the reset of SE-adLIF, LIF and CubaLIF is applied by the next step through z^{t-1}.
        """
        return states

    def extra_repr(self) -> str:
        held = {name: float(mask.float().mean()) for name, mask in self.masks().items()}
        kept = "".join(f", {share:.3g} of {name}" for name, share in held.items())
        return f"{self.n_in}, {self.n}, recurrent={self.recurrent}{kept}"


def pull_back(layers: Sequence[Neuron], gradients: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Chain rule from gradients of the layers' effective parameters (N,) to those of the raw ones (N,) that are
    trained, for all layers at once: a pass of autograd costs more than the few numbers in it.
    """
    raws = [{name: p for name, p in layer.raw().items() if p.requires_grad} for layer in layers]
    values, upstream = [], []
    with torch.enable_grad():
        for layer, given in zip(layers, gradients, strict=True):
            effective = layer.effective()
            known = [name for name in given if effective[name].requires_grad]
            values += [effective[name] for name in known]
            upstream += [given[name] for name in known]
    # A parameter that several layers share is asked for once: what comes back is its whole gradient.
    wanted = list({id(parameter): parameter for raw in raws for parameter in raw.values()}.values())
    found: Sequence[Tensor | None] = [None] * len(wanted)
    if wanted and values:
        found = torch.autograd.grad(values, wanted, upstream, allow_unused=True)
    given_by = {id(parameter): gradient for parameter, gradient in zip(wanted, found, strict=True)}
    results: list[dict[str, Tensor]] = []
    for raw in raws:
        pairs = [(name, parameter, given_by.pop(id(parameter), None)) for name, parameter in raw.items()]
        results.append({name: torch.zeros_like(parameter) if g is None else g for name, parameter, g in pairs})
    return results


def _surrogate(choice: str | Surrogate | dict[str, Any]) -> Surrogate:
    return surrogate(choice)


def _array(value: Tensor) -> np.ndarray:
    return value.detach().to("cpu", torch.float64).numpy().copy()


def one_of(layer: str, name: str, value: str, allowed: tuple[str, ...]) -> str:
    """``value`` if it is allowed, else a one-line error."""
    if value not in allowed:
        raise HyprError(f"{layer}: {name} is {value!r}; allowed: {', '.join(allowed)}")
    return value


def pair(layer: str, name: str, value: Any) -> tuple[float, float]:
    """Two finite numbers, the first not above the second."""
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        raise HyprError(f"{layer}: {name} is {value!r}; give two numbers, low and high") from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise HyprError(f"{layer}: {name} is {value!r}; both must be finite and the first not above the second")
    return low, high


def positive(layer: str, **values: float) -> None:
    """Raise unless every value is a finite positive number."""
    for name, value in values.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise HyprError(f"{layer}: {name} is {value!r}, must be a positive number")
