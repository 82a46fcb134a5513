"""Training runs of version 0.1: what ``write_v01.py`` stores under ``runs/``.

Each entry is a whole configuration in TOML. Data ships inside a dependency (digits) or is generated (cue). Networks are
tiny: what matters is that every kind of folder is there, not what they learned.
"""

from __future__ import annotations

from dataclasses import dataclass

GRADED = '[data]\nname = "digits"\nencoding = "graded"\noptions = { pixels_per_step = 8 }\n'
SPIKES = '[data]\nname = "digits"\nencoding = "spikes"\noptions = { pixels_per_step = 8, levels = 1 }\n'
CUE = '[data]\nname = "cue"\noptions = { delay = 8, cue_steps = 6, recall_steps = 4, group = 2, samples = 64 }\n'

_BRF = """[[network.layers]]
neuron = "brf"
width = 8
options = { omega_range = [1.0, 8.0], b_range = [0.05, 0.5], dt = 0.1, theta = 0.15 }
"""
_READOUT = '[network]\nreadout = { neuron = "li", options = { tau_range = [15.0, 25.0] } }\n'

_HYPR = f"""{GRADED}
{_READOUT}
{_BRF}
[rule]
name = "hypr"
readout_memory = true

[optimiser]
lr = 0.05
schedule = "linear"
"""

_WINDOW = f"""{SPIKES}
{_READOUT}
[[network.layers]]
neuron = "se_adlif"
width = 6
options = {{ adaptation_spike = "current", rho = 20.0, theta = 0.05, tau_w_range = [10.0, 30.0] }}

[[network.layers]]
neuron = "alif"
width = 6
options = {{ recurrent = false, tau_u = [6.0, 1.0], tau_u_least = 3.0, tau_a = [20.0, 2.0], tau_a_least = 10.0 }}

[rule]
name = "hypr-window"
window = 4
boundary_spike = true

[optimiser]
lr = 0.01
clip = 1.0
schedule = "cosine"
"""

_BPTT = f"""{SPIKES}split_seed = 7

[network]
readout = {{ neuron = "li", options = {{ tau_range = [5.0, 10.0], interpolate = true, clip = true }} }}

[[network.layers]]
neuron = "lif"
width = 6
options = {{ reset = "subtract", theta = 0.08, surrogate = {{ kind = "double_gaussian" }} }}

[[network.layers]]
neuron = "lif"
width = 5
options = {{ recurrent = false, theta = 0.02 }}

[rule]
name = "bptt"

[loss]
ignore_first = 2

[optimiser]
kind = "adamw"
lr = 0.02
weight_decay = 0.01
betas = [0.8, 0.99]
"""

_EPROP = f"""{CUE}
[network]

[[network.layers]]
neuron = "alif"
width = 8
options = {{ tau_u = [6.0, 1.0], tau_u_least = 3.0, tau_a = [20.0, 2.0], tau_a_least = 10.0 }}

[rule]
name = "eprop"

[optimiser]
kind = "sgd"
lr = 1.0
"""

_SPIKING_READOUT = f"""{CUE}
[network]
readout = {{ neuron = "lif", options = {{ recurrent = false, theta = 0.2 }} }}

[[network.layers]]
neuron = "cuba_lif"
width = 8
options = {{ mem_gain = 0.5 }}

[rule]
name = "hypr"
window = 5

[loss]
decision = "spike_count"
"""

_EXPONENTIAL = f"""{CUE}
[network]

[[network.layers]]
neuron = "brf"
width = 6

[network.layers.options]
variant = "exponential"
omega_range = [0.01, 10.0]
b_range = [1e-9, 1e-4]
exponential_b = true
theta = 0.02
surrogate = "slayer_wide"

[rule]
name = "hypr"
window = 6
"""


def _training(**values: object) -> str:
    """The section that ends a configuration; text values are quoted by the caller."""
    return "\n[training]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


@dataclass(frozen=True)
class Stored:
    """A run to be stored.

    Attributes:
        toml: its configuration, without name.
        kill: signal that ends it early, or None for a run that comes to its end.
        after: epochs that are done when it is killed; 0: before the first one is.
        processes: that share each batch.
        exports: options of ``hypr export`` whose content hash is kept.
    """

    toml: str
    kill: str | None = None
    after: int = 0
    processes: int = 1
    exports: tuple[tuple[str, ...], ...] = ((),)


_INITIAL = '"runs/digits-hypr"'
_WIDTHS = (("--weight-bits", "4", "--weight-scale", "per_row"), ("--weight-bits", "2", "--coefficient-bits", "8"))

RUNS: dict[str, Stored] = {  # in this order: training on integers starts from the first
    "digits-hypr": Stored(_HYPR + _training(epochs=4, batch=64, seed=1), exports=((), ("--which", "last"), *_WIDTHS)),
    "digits-window": Stored('dtype = "float64"\n' + _WINDOW + _training(epochs=3, batch=128), exports=((), *_WIDTHS)),
    "digits-bptt": Stored(_BPTT + _training(epochs=3, batch=128, patience=2), exports=((), *_WIDTHS)),
    "cue-eprop": Stored(_EPROP + _training(epochs=3, batch=16, tolerance=0.1), exports=((), *_WIDTHS)),
    "cue-spiking-readout": Stored(_SPIKING_READOUT + _training(epochs=3, batch=16), exports=((), _WIDTHS[1])),
    "cue-exponential": Stored(_EXPONENTIAL + _training(epochs=2, batch=16), exports=()),
    "digits-patience": Stored(_HYPR.replace("lr = 0.05", "lr = 1e-9") + _training(epochs=9, batch=256, patience=1)),
    "digits-integer": Stored(
        _HYPR + _training(epochs=2, batch=64, seed=1, initial=_INITIAL) + "\n[quantization]\nweight_bits = 4\n",
        exports=((), ("--which", "last"), ("--weight-bits", "8")),
    ),
    "digits-processes": Stored(_HYPR + _training(epochs=2, batch=128, seed=6), processes=2),
    "killed-hypr": Stored(_HYPR + _training(epochs=3, batch=64, seed=2), kill="KILL", after=2),
    "killed-window": Stored(_WINDOW + _training(epochs=3, batch=64, seed=3), kill="TERM", after=2),
    "killed-bptt": Stored(_BPTT + _training(epochs=3, batch=64, seed=4), kill="KILL", after=2),
    "killed-eprop": Stored(
        _EPROP.replace("samples = 64", "samples = 512") + _training(epochs=3, batch=32), kill="KILL", after=2
    ),
    "killed-integer": Stored(
        _HYPR
        + _training(epochs=3, batch=64, seed=1, initial=_INITIAL)
        + "\n[quantization]\nweight_bits = [4, 8]\ncoefficient_bits = 10\nstate_fraction_bits = 12\n",
        kill="TERM",
        after=2,
    ),
    "killed-at-once": Stored(_HYPR + _training(epochs=2, batch=64, seed=5), kill="KILL"),
}
