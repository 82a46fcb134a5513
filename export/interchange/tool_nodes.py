"""How the importers of other tools read a neuron: which networks each can hold, and the node that gives the layer back.

Each was read in the tool's own source, at the version named, and tried with networks of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import nir
import numpy as np

from export.errors import UnsupportedError
from export.interchange.plain_layers import PlainLayer
from export.interchange.time_constants import euler_time_constant

Written = tuple[PlainLayer, nir.NIRNode]
"""The layer with its weights in the units of the node, and the node."""

_FOREVER_S = 1e6
"""A time constant from which on ``1 - dt/tau`` is 1 in float32."""


@dataclass(frozen=True)
class Importer:
    """A tool's reader of NIR files.

    Attributes:
        tool, version: of which this is known. preset: key of :data:`export.interchange.presets.PRESETS`.
        call: how to read the file there; ``{dt}`` stands for the seconds per step, ``{options}`` for more.
        node: writes a layer. dt: the only time step it works with, or None. usual_dt: where the network has none.
        resets: kind of layer -> (reset, timing) pairs that it means. several: reads every neuron as one that sends
            several spikes per step, at the threshold already. readout: whether it reads leaky integrators.
        at_threshold: a single spike is sent at the threshold already: the next number above it is written.
        recurrent: why recurrent layers cannot be written, or None. one_threshold: one for all neurons of a layer.
        forgets_nothing: kinds that may have a decay of 1. affine: wants a bias at all synapses.
        late_bias: whether a bias of recurrent synapses is absent at the first step. lag: a layer's output is late.
        options: of the reading, beyond the preset. without: fields of a node that its version of NIR does not know.
    """

    tool: str
    version: str
    preset: str
    call: str
    node: Callable[[PlainLayer, float], Written]
    resets: Mapping[str, tuple[tuple[str, str], ...]]
    dt: float | None = None
    usual_dt: float = 1e-4
    several: bool = False
    readout: bool = False
    recurrent: str | None = None
    at_threshold: bool = False
    one_threshold: bool = False
    forgets_nothing: tuple[str, ...] = ()
    affine: bool = False
    late_bias: bool = False
    lag: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()


def _f32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def _tau(decay: np.ndarray, dt: float, name: str) -> np.ndarray:
    """float32 tau whose ``1 - dt/tau`` is the decay to float32."""
    return _f32(euler_time_constant(_f32(decay).astype(np.float64), dt, f"layer {name}: decay"))


def _zeros(layer: PlainLayer) -> np.ndarray:
    return np.zeros(layer.decay.shape, np.float32)


def _theta(layer: PlainLayer) -> np.ndarray:
    assert layer.theta is not None
    return _f32(layer.theta)


def _cuba_of_unit_gain(layer: PlainLayer, dt: float) -> Written:
    assert layer.syn_decay is not None
    tau_syn, tau_mem = _tau(layer.syn_decay, dt, layer.name), _tau(layer.decay, dt, layer.name)
    return layer, nir.CubaLIF(
        tau_syn=tau_syn,
        tau_mem=tau_mem,
        r=_f32(tau_mem.astype(np.float64) / dt),
        v_leak=_zeros(layer),
        v_threshold=_theta(layer),
        v_reset=_zeros(layer),
        w_in=_f32(tau_syn.astype(np.float64) / dt),
    )


def _lif_node(layer: PlainLayer, tau: np.ndarray, r: np.ndarray) -> nir.NIRNode:
    return nir.LIF(tau=tau, r=_f32(r), v_leak=_zeros(layer), v_threshold=_theta(layer), v_reset=_zeros(layer))


def _lif_of_unit_gain(layer: PlainLayer, dt: float) -> Written:
    forever = layer.decay == 1.0
    decay = np.where(forever, 0.5, layer.decay)
    tau = np.where(forever, np.float32(_FOREVER_S), _tau(decay, dt, layer.name))
    return layer, _lif_node(layer, tau, tau.astype(np.float64) / dt)


def snntorch_node(layer: PlainLayer, dt: float) -> Written:
    """Leaky and Synaptic: gains 1, one threshold."""
    return (_cuba_of_unit_gain if layer.kind == "cuba_lif" else _lif_of_unit_gain)(layer, dt)


def spyx_node(layer: PlainLayer, dt: float) -> Written:
    """LIF and CuBaLIF: gains 1 whatever r and w_in say, which are 1 as in its own files."""
    written, node = snntorch_node(layer, dt)
    for key in ("r", "w_in"):
        if hasattr(node, key):
            setattr(node, key, np.ones(layer.decay.shape, np.float32))
    return written, node


def norse_node(layer: PlainLayer, dt: float) -> Written:
    """LIFBoxCell without r: its input has the gain dt/tau. IAFCell: gain 1. CubaLIF: r and w_in are used."""
    if layer.kind == "cuba_lif":
        return _cuba_of_unit_gain(layer, dt)
    if np.all(layer.decay == 1.0):
        return layer, nir.IF(r=np.ones(layer.decay.shape, np.float32), v_threshold=_theta(layer), v_reset=_zeros(layer))
    tau = _tau(layer.decay, dt, layer.name)
    return layer.scaled(tau.astype(np.float64) / dt), _lif_node(layer, tau, np.ones(tau.shape))


def spikingjelly_node(layer: PlainLayer, dt: float) -> Written:
    """IFNode (r = 1/dt), LIFNode without decay of the input, CUBALIFNode; one decay for all neurons of a layer.

    They spike at v >= theta: in float32 that is v > theta of the number before.
    """
    if layer.spike_at == "above":
        assert layer.theta is not None
        layer = replace(layer, theta=np.nextafter(_f32(layer.theta), np.float32(np.inf)).astype(np.float64))
    for decay in (layer.decay, layer.syn_decay):
        if decay is not None and np.any(decay != decay[0]):
            raise UnsupportedError(
                f"layer {layer.name}: SpikingJelly 2.0.0 reads one time constant for all neurons of a layer, these "
                f"have decays {decay.min():.6g} to {decay.max():.6g}; write it for another tool"
            )
    if layer.kind == "cuba_lif":
        return _cuba_of_unit_gain(layer, dt)
    if np.all(layer.decay == 1.0):
        r = np.full(layer.decay.shape, 1.0 / dt, np.float32)
        return layer, nir.IF(r=r, v_threshold=_theta(layer), v_reset=_zeros(layer))
    if np.all(layer.decay == 0.0):
        raise UnsupportedError(
            f"layer {layer.name}: SpikingJelly 2.0.0 needs tau > dt, and a decay of 0 is tau = dt; write it for "
            "another tool"
        )
    return _lif_of_unit_gain(layer, dt)


def sinabs_node(layer: PlainLayer, dt: float) -> Written:
    """LIFSqueeze and ExpLeakSqueeze with tau in steps, decay exp(-1/tau), unit gain (it reads norm_input=False)."""
    tau = _exponential(layer.decay, dt, layer.name)
    if layer.kind == "li":
        return layer, nir.LI(tau=tau, r=np.ones(tau.shape, np.float32), v_leak=_zeros(layer))
    return layer, _lif_node(layer, tau, np.ones(tau.shape))


def rockpool_node(layer: PlainLayer, dt: float) -> Written:
    """LIFTorch: exponential decays, the input decays with the current; it takes dt from ``tau_mem / (1 + r)``."""
    assert layer.syn_decay is not None
    tau_syn = _exponential(layer.syn_decay, dt, layer.name)
    tau_mem = _exponential(layer.decay, dt, layer.name)
    return layer.scaled(1.0 / layer.syn_decay), nir.CubaLIF(
        tau_syn=tau_syn,
        tau_mem=tau_mem,
        r=_f32(tau_mem.astype(np.float64) / dt - 1.0),
        v_leak=_zeros(layer),
        v_threshold=_theta(layer),
        v_reset=_zeros(layer),
        w_in=np.ones(tau_syn.shape, np.float32),
    )


def _exponential(decay: np.ndarray, dt: float, name: str) -> np.ndarray:
    if np.any(decay <= 0.0) or np.any(decay >= 1.0):
        raise UnsupportedError(
            f"layer {name}: decays of {decay.min():.6g} to {decay.max():.6g} are no exp(-dt/tau); they must lie "
            "between 0 and 1"
        )
    return _f32(-dt / np.log(decay))


IMPORTERS: Mapping[str, Importer] = {
    "snntorch": Importer(
        "snnTorch",
        "1.0.0",
        "snntorch",
        "snntorch.import_nir.import_from_nir(nir.read(FILE))",
        snntorch_node,
        {"lif": (("zero", "same_step"),), "cuba_lif": (("zero", "same_step"),)},
        dt=1e-4,
        recurrent="its importer leads a recurrent layer's input into the recurrent weights",
        one_threshold=True,
        forgets_nothing=("lif",),
        options={"reset": "zero", "reset_timing": "same_step"},
    ),
    "norse": Importer(
        "Norse",
        "1.1.0",
        "norse",
        "norse.torch.from_nir(nir.read(FILE), dt={dt}{options})",
        norse_node,
        {"lif": (("zero", "same_step"),), "cuba_lif": (("zero", "same_step"), ("subtract", "same_step"))},
        usual_dt=1e-3,
        forgets_nothing=("lif",),
        late_bias=True,
        options={"synapse_gain": "w_in_dt"},
    ),
    "spikingjelly": Importer(
        "SpikingJelly",
        "2.0.0",
        "spikingjelly",
        "spikingjelly.activation_based.nir_exchange.import_from_nir(FILE, dt={dt})",
        spikingjelly_node,
        {"lif": (("zero", "same_step"),), "cuba_lif": (("zero", "same_step"),)},
        at_threshold=True,
        one_threshold=True,
        forgets_nothing=("lif",),
    ),
    "sinabs": Importer(
        "Sinabs",
        "3.1.3",
        "sinabs",
        "sinabs.nir.from_nir(nir.read(FILE), batch_size=B)",
        sinabs_node,
        {"lif": (("subtract", "same_step"),)},
        dt=1.0,
        several=True,
        readout=True,
        recurrent="its layers run over all steps at once, so that a cycle cannot hear the step before",
        affine=True,
        options={"spikes": "multi", "scheme": "exponential_unit_gain"},
        without=("v_reset",),  # it needs nir <= 1.0.4
    ),
    "spyx": Importer(
        "Spyx",
        "1.0.0",
        "spyx",
        "spyx.nir.from_nir(nir.read(FILE), INPUTS, dt={dt})",
        spyx_node,
        {"lif": (("subtract", "next_step"),), "cuba_lif": (("subtract", "same_step"),)},
        recurrent="its importer has no form for the bias and the lag of a recurrent layer that is known to be right",
        forgets_nothing=("lif",),
        lag=1,
    ),
    "rockpool": Importer(
        "Rockpool",
        "3.1.0",
        "rockpool",
        "rockpool.nn.modules.torch.nir.from_nir(nir.read(FILE))",
        rockpool_node,
        {"cuba_lif": (("subtract", "same_step"),)},
        usual_dt=1e-3,
        several=True,
        recurrent="the order of its recurrent bias is not known to be right",
    ),
}
"""Tool -> how it reads."""

REFUSED: Mapping[str, str] = {
    "nengo": "Nengo 4.1 reads no NIR files, and its neurons spike at fractions of a step: no file of ours is one of "
    "its networks",
}
"""Tool -> why no file is written for it."""
