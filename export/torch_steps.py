"""The integer network in torch, its two parts: one step of each neuron model, and the synapses of a projection.

Reached from :func:`export.to_torch` and :mod:`hypr.integer` alone: nothing else of this package needs torch.

Steps work on int64 tensors (B, N), in the notation of ``hardware/FIXED_POINT.md`` (clauses FP-3.1 to FP-3.6), and have
the form ``step(state, z, current, p, k, options) -> (new_state, z_new)``: ``state`` a tuple in the order of
``hardware.models.MODELS[model].states``, ``z`` the population's own spikes of the previous step, ``p`` the integer
parameters (N,), ``k`` the shifts. ``current`` is ``I`` of FP-2.1; CubaLIF takes its bias through ``p["bias"]`` because
the bias enters v there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from hardware.currents import mantissa_bound
from hardware.models import MOST_SPIKES, STATE_MAX
from hardware.populations import Projection
from hardware.synapses import Convolution, Dense, Sparse

State = tuple[Tensor, ...]
Values = Mapping[str, Tensor]
Shifts = Mapping[str, int]
Options = Mapping[str, str]
Step = Callable[[State, Tensor, Tensor, Values, Shifts, Options], tuple[State, Tensor]]

EXACT_FLOAT32 = 2**24
EXACT_REDUCED = 2**8
"""What the reduced products of float32 that a user may have allowed (TF32, bfloat16) keep whole."""
EXACT_FLOAT64 = 2**53

DIGIT = 12
"""Bits of the lower of two halves in which values are multiplied where one float64 product would not hold the sum."""

DENSE_RATIO = 32
"""Sparse synapses are multiplied as a matrix where it has at most so many elements for each synapse: a matrix product
takes a few per cent of the time of a sparse one per element (measured on a CPU, 1,024 x 1,024 at 5 %)."""

BLOCK = 2**24
"""Elements of the largest array that a product makes at once."""


# ---- arithmetic (FP-1.1 to FP-1.3), nothing here rounds in floats


def sat(x: Tensor) -> Tensor:
    """Symmetric saturation to 24 bits (FP-1.1)."""
    return x.clamp(-STATE_MAX, STATE_MAX)


def shz(x: Tensor, shift: int) -> Tensor:
    """Right shift toward zero (FP-1.3).

    ``>>`` floors; adding ``2^shift - 1`` to the negatives first (their sign bits, masked) turns that into rounding
    toward zero.
    """
    return (x + ((x >> 63) & ((1 << shift) - 1))) >> shift


def mulsh(x: Tensor, coefficient: Tensor, shift: int) -> Tensor:
    """``sign(x) * ((|x| * c) >> shift)`` for ``c >= 0`` (FP-1.2). A 24-bit state times a 17-bit coefficient needs 41
    bits of the 64.
    """
    return shz(x * coefficient, shift)


def wrap24(x: Tensor) -> Tensor:
    """One wrap into (-2^23, 2^23], as Lava's LIF current (FP-3.5)."""
    full = 1 << 24
    half = 1 << 23
    return x - full * (x > half).to(torch.int64) + full * (x <= -half).to(torch.int64)


# ---- neurons


def brf(state: State, z: Tensor, current: Tensor, p: Values, k: Shifts, options: Options) -> tuple[State, Tensor]:
    """FP-3.1."""
    u, v, q = state
    d = (p["C"] - mulsh(q, p["D"], k["Kd"])).clamp(min=0)
    u_new = sat(mulsh(u, d, k["K"]) - mulsh(v, p["S"], k["K"]) + current)
    v_new = sat(mulsh(u, p["S"], k["K"]) + mulsh(v, d, k["K"]))
    spike = ((u_new - q) > p["TH"]).to(torch.int64)
    return (u_new, v_new, sat(mulsh(q, p["R"], k["KR"]) + p["J"] * spike)), spike


def se_adlif(state: State, z: Tensor, current: Tensor, p: Values, k: Shifts, options: Options) -> tuple[State, Tensor]:
    """FP-3.2."""
    u, w = state
    u_new = sat(mulsh(u, p["A"], k["K"]) - shz(w, k["g"]) + current)
    spike = (u_new > p["TH"]).to(torch.int64)
    u_new = u_new * (1 - spike)
    driver = spike if options["adaptation_spike"] == "current" else z
    return (u_new, sat(mulsh(w, p["Be"], k["K"]) + mulsh(u_new, p["At"], k["Ka"]) + p["Bt"] * driver)), spike


def alif(state: State, z: Tensor, current: Tensor, p: Values, k: Shifts, options: Options) -> tuple[State, Tensor]:
    """FP-3.3."""
    a, u = state
    a_new = sat(mulsh(a, p["Rho"], k["K"]) + p["Ja"] * z)
    threshold = p["B0"] + a_new
    u_new = sat(mulsh(u, p["A"], k["K"]) + current - threshold * z)
    return (a_new, u_new), (u_new > threshold).to(torch.int64)


def fire(x: Tensor, x_before: Tensor, z: Tensor, threshold: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """FP-3.7 to FP-3.9: membrane after its reset, and spikes."""
    if options["spikes"] != "one":
        most = MOST_SPIKES[options["spikes"]]
        count = torch.div(x.clamp(min=0), threshold, rounding_mode="floor").clamp(max=most)
        return x - count * threshold, count
    edge = threshold - int(options["fires"] == "at")  # integers above it fire
    if options["reset_at"] == "next":
        x = _reset(x, z, threshold, options)
        return x, (x > edge).to(torch.int64)
    tested = x - threshold * (x_before > edge) if options["reset_at"] == "carried" else x
    spike = (tested > edge).to(torch.int64)
    return _reset(x, spike, threshold, options), spike


def _reset(x: Tensor, z: Tensor, threshold: Tensor, options: Options) -> Tensor:
    if options["reset"] == "zero":
        return x * (1 - z)
    return sat(x - threshold * z) if options["reset"] == "subtract" else x


def lif(state: State, z: Tensor, current: Tensor, p: Values, k: Shifts, options: Options) -> tuple[State, Tensor]:
    """FP-3.4."""
    u = sat(mulsh(state[0], p["A"], k["K"]) + current)
    u, spike = fire(u, state[0], z, p["TH"], options)
    return (u,), spike


def cuba_lif(state: State, z: Tensor, current: Tensor, p: Values, k: Shifts, options: Options) -> tuple[State, Tensor]:
    """FP-3.5, Lava's LIF."""
    u, v = state
    u_new = wrap24(mulsh(u, 4096 - (p["du"] + 1), 12) + (current << 6))
    v_new = sat(mulsh(v, 4096 - p["dv"], 12) + u_new + p["bias"])
    v_new, spike = fire(v_new, v, z, p["vth"] << 6, options)
    return (u_new, v_new), spike


def li(state: State, z: Tensor, current: Tensor, p: Values, k: Shifts, options: Options) -> tuple[State, Tensor]:
    """FP-3.6; the output is the state itself."""
    u = sat(mulsh(state[0], p["A"], k["K"]) + current)
    return (u,), u


STEPS: Mapping[str, Step] = {
    "brf": brf,
    "se_adlif": se_adlif,
    "alif": alif,
    "lif": lif,
    "cuba_lif": cuba_lif,
    "li": li,
}


# ---- synapses


def carrier_of(projection: Projection, largest: int) -> str:
    """In which type every partial sum of ``W s`` is an exact integer, whatever the order of summation.

    torch has no fast integer matrix product, so a floating type carries it where the largest possible sum of
    ``|W| |s|`` over a row proves that it can: ``float32`` below 2^24 (and values of at most 8 bits, so that reduced
    products are exact too), ``float64`` below 2^53; else ``int64``, the sum of two halves.

    Args:
        largest: magnitude of the source's values.
    """
    synapses = projection.synapses
    if isinstance(synapses, Convolution):
        bound = int(np.abs(synapses.kernel.astype(np.int64)).sum((1, 2, 3)).max()) * largest
    else:
        bound = mantissa_bound(projection, -largest, largest)
    if bound < EXACT_FLOAT32 and largest <= EXACT_REDUCED:
        return "float32"
    return "float64" if bound < EXACT_FLOAT64 else "int64"


class ProjectionModule(nn.Module):
    """The synapses of a projection (FP-2.1): ``(W s) << exponent``. The integers are buffers, of the names and types of
    :mod:`hardware.synapses`.

    Args:
        projection: synapses and exponent; its delay is left to the caller.
        low, high: range of the source's values, which the choice of :attr:`carrier` rests on.
    """

    def __init__(self, projection: Projection, low: int, high: int) -> None:
        super().__init__()
        synapses = projection.synapses
        self.synapses, self.exponent = synapses, projection.exponent
        self.carrier = carrier_of(projection, max(abs(low), abs(high)))
        names = ("kernel",) if isinstance(synapses, Convolution) else ("weight",)
        for name in ("indptr", "indices", "weight") if isinstance(synapses, Sparse) else names:
            self.register_buffer(name, torch.from_numpy(getattr(synapses, name).copy()))
        self._floating: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """int64 (..., N_target) from integers (..., N_source)."""
        targets, sources = self.synapses.shape
        widest = max(targets, sources)
        if isinstance(self.synapses, Convolution):
            widest = max(widest, targets * self.synapses.kernel[0].size)
        rows = values.reshape(-1, sources)
        parts = [self._sums(part) for part in rows.split(max(1, BLOCK // widest))]
        return (torch.cat(parts) << self.exponent).view(*values.shape[:-1], targets)

    def _sums(self, rows: Tensor) -> Tensor:
        """``W s`` of each row, int64, exact."""
        if self.carrier != "int64":
            return self._product(rows.to(getattr(torch, self.carrier))).to(torch.int64)
        whole = rows.to(torch.int64)
        halves = (whole >> DIGIT, whole & ((1 << DIGIT) - 1))
        upper, lower = (self._product(half.double()).to(torch.int64) for half in halves)
        return (upper << DIGIT) + lower

    def _product(self, rows: Tensor) -> Tensor:
        weight = self._weight()
        if isinstance(self.synapses, Convolution):
            return self._convolution(self.synapses, rows, weight)
        return torch.sparse.mm(weight, rows.T).T if weight.is_sparse else rows @ weight.T

    @staticmethod
    def _convolution(shape: Convolution, rows: Tensor, kernel: Tensor) -> Tensor:
        """Patches times kernel. No convolution of a library: some of them transform (Winograd, Fourier), and are exact
        no longer."""
        patches = unfold(
            rows.view(-1, *shape.in_shape), kernel.shape[2:], shape.dilation, shape.padding, shape.stride
        )  # (B, C_in kH kW, places), the channels of a group side by side
        grouped = patches.view(len(rows), shape.groups, -1, patches.shape[2])
        return (kernel.reshape(shape.groups, -1, grouped.shape[2]) @ grouped).reshape(len(rows), -1)

    def _weight(self) -> Tensor:
        """The integers in the carrier's type, kept for the device they were last needed on. No buffer of its own: what
        casts a module's floating buffers, ``half()`` for instance, must not reach it."""
        device = next(self.buffers()).device
        if self._floating is None or self._floating.device != device:
            self._floating = self._whole().to(torch.float32 if self.carrier == "float32" else torch.float64)
        return self._floating

    def _whole(self) -> Tensor:
        """int8: kernel, matrix, or sparse matrix."""
        if isinstance(self.synapses, Convolution):
            return self.get_buffer("kernel")
        weight = self.get_buffer("weight")
        if isinstance(self.synapses, Dense):
            return weight
        counts = self.get_buffer("indptr").diff().to(torch.int64)
        targets = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        places = torch.stack([targets, self.get_buffer("indices").to(torch.int64)])
        shape = self.synapses.shape
        if shape[0] * shape[1] <= DENSE_RATIO * weight.numel():
            return weight.new_zeros(shape).index_put_((places[0], places[1]), weight)
        with torch.sparse.check_sparse_tensor_invariants(enable=False):  # said outright: torch 2.11 warns otherwise
            return torch.sparse_coo_tensor(places, weight, shape, is_coalesced=True)
