"""From a configuration to the objects it names: network, rule, optimiser."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hypr.data import SequenceDataset
from hypr.data.registry import nearest
from hypr.errors import HyprError
from hypr.learning import BPTT, HYPR, EProp, HYPRWindow
from hypr.learning.losses import NAMED
from hypr.learning.rule import Rule
from hypr.network import Network
from hypr.neurons import KINDS, Neuron, random_mask
from hypr.training import checkpoint, runs
from hypr.training.config import (
    Config,
    LayerConfig,
    LossConfig,
    OptimiserConfig,
    QuantizationConfig,
    ReadoutConfig,
    RuleConfig,
)

if TYPE_CHECKING:
    from hypr.integer.stage import IntegerStage

_MASKS = 2**32  # beside the numbers of epochs, from which seeds are derived too
_NOT_OPTIONS = ("self", "n_in", "n", "generator", "mask", "recurrent_mask")


def build_network(config: Config, dataset: SequenceDataset) -> Network:
    """Network with initial weights from the seed of the run, on the CPU, in the configured precision.

    Raises:
        HyprError: for an unknown neuron or option.
    """
    generator = torch.Generator().manual_seed(config.training.seed)
    seed = config.training.seed if config.network.mask_seed is None else config.network.mask_seed
    # Of its own: a density moves no weight that it keeps. Derived: the weights' numbers would keep the least ones.
    masks = torch.Generator().manual_seed(derived_seed(seed, _MASKS))
    layers, width = [], dataset.channels
    for index, layer in enumerate(config.network.layers):
        layers.append(_layer(f"network.layers.{index}", layer, (width, layer.width), generator, masks))
        width = layer.width
    layers.append(_layer("network.readout", config.network.readout, (width, dataset.classes), generator, masks))
    try:
        network = Network(
            layers,
            input_scale=dataset.input_scale,
            input_format=(dataset.input_low, dataset.input_high),
            decision={"rule": _decision(config, dataset, layers[-1]), "ignore_first": _ignored(config, dataset)},
            input_delays=config.network.input_delays,
        )
    except HyprError as error:
        raise HyprError(str(error).replace("Network: ", "network: ")) from None
    return network.to(getattr(torch, config.dtype))


def derived_seed(seed: int, number: int) -> int:
    """A seed for one of several independent random sources of a run."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)


def initial_network(config: Config, dataset: SequenceDataset) -> Network:
    """Network that training starts from: fresh weights from the seed, or the best ones of the run ``training.initial``,
    with the masks that they were trained with.

    Raises:
        HyprError: that folder holds no run, or a network of another structure.
    """
    network = build_network(config, dataset)
    if config.training.initial is None:
        return network
    trained = runs.open_run(config.training.initial).network
    if trained.structure()["layers"] != network.structure()["layers"]:
        raise HyprError(
            f"training.initial: the network of {config.training.initial} has other layers than this configuration; "
            "use the same network section"
        )
    for name, (count, own) in _synapses(trained, network).items():
        if count != own:
            raise HyprError(
                f"training.initial: {name} of {config.training.initial} has {count} synapses, this configuration "
                f"{own}; use the same density"
            )
    if trained.input_delays != network.input_delays:
        raise HyprError(
            f"training.initial: {config.training.initial} has other network.input_delays than this configuration; use "
            "the same"
        )
    network.load_state_dict(trained.to(network.dtype).state_dict())
    return network


def starting_network(config: Config, dataset: SequenceDataset, folder: Path) -> Network:
    """:func:`initial_network`, or the structure that the run in the folder has written down: a neuron's defaults may
    have changed since it began.
    """
    if not (folder / runs.RESUME).exists():
        return initial_network(config, dataset)
    return runs.rebuild(checkpoint.read(folder / runs.LAST)).to(getattr(torch, config.dtype))


def _synapses(trained: Network, network: Network) -> dict[str, tuple[int, int]]:
    """Number of synapses of each masked matrix in both."""
    pairs = zip(network.layer_names(), trained.layers, network.layers, strict=True)
    return {
        f"{name}.{key}": (int(mask.sum()), int(one.masks()[key].sum()))
        for name, other, one in pairs
        for key, mask in other.masks().items()
    }


def build_stage(
    config: QuantizationConfig, network: Network, dataset: SequenceDataset, engine: Any = None
) -> IntegerStage:
    """Integer S-stage of a network in training, its formats measured on the first sequences where they are left open.

    Args:
        engine: what runs it, None for the emulator (:class:`hypr.IntegerStage`).

    Raises:
        ExportError: a neuron without integer form, or a format out of range.
    """
    from export.quantization.formats import OF_VERSION_01, QuantizationSettings
    from hypr.integer.stage import IntegerStage

    values: dict[str, Any] = {**OF_VERSION_01, **config.model_dump(exclude={"stage"})}
    values.update({key: tuple(value) for key, value in values.items() if isinstance(value, list)})
    return IntegerStage(network, QuantizationSettings(**values), dataset.dense(slice(0, 64)), engine)


def _layer(
    where: str,
    layer: LayerConfig | ReadoutConfig,
    sizes: tuple[int, int],
    generator: torch.Generator,
    masks: torch.Generator,
) -> Neuron:
    """A layer of ``sizes`` (inputs, neurons)."""
    if layer.neuron not in KINDS:
        raise HyprError(
            f"{where}.neuron: unknown neuron '{layer.neuron}'; "
            f"{nearest(layer.neuron, [kind for kind in KINDS if kind])}"
        )
    kind = KINDS[layer.neuron]
    accepted = inspect.signature(kind.__init__).parameters
    known = [name for name in accepted if name not in _NOT_OPTIONS]
    for name in layer.options:
        if name not in known:
            raise HyprError(f"{where}.options: unknown key '{name}' of neuron '{layer.neuron}'; {nearest(name, known)}")
    options: dict[str, Any] = dict(layer.options)
    for key, name, sources in (
        ("density", "mask", sizes[0]),
        ("recurrent_density", "recurrent_mask", sizes[1]),
    ):
        density = getattr(layer, key)
        if density is None:
            continue
        if name not in accepted:
            raise HyprError(f"{where}.{key}: neuron '{layer.neuron}' takes no {name}; leave the key out")
        options[name] = random_mask(sizes[1], sources, density, masks)
    try:
        return kind(*sizes, generator=generator, **options)
    except HyprError as error:
        raise HyprError(f"{where}.options: {error}") from None
    except TypeError as error:
        raise HyprError(f"{where}.options: a value has the wrong type ({error})") from None


def _decision(config: Config, dataset: SequenceDataset, output: Neuron) -> str:
    rule = config.loss.decision
    chosen = NAMED.get(config.loss.kind)
    if dataset.regression:
        if chosen is not None and chosen.classes:
            raise HyprError(
                f"loss.kind: '{config.loss.kind}' is for classes, '{dataset.name}' has real targets; use mse"
            )
        return "per_step"
    if rule == "auto":
        rule = "per_step" if dataset.per_step else "spike_count" if output.spiking else "sum"
    if dataset.per_step and rule != "per_step":
        raise HyprError(
            f"loss.decision: '{rule}' needs one label per sequence, but '{dataset.name}' has one per step; use per_step"
        )
    return rule


def _ignored(config: Config, dataset: SequenceDataset) -> int:
    """First steps that count in no sequence, by the configuration or by the mask of the data."""
    ignored = config.loss.ignore_first
    if ignored >= dataset.steps:
        raise HyprError(
            f"loss.ignore_first: {ignored} leaves none of the {dataset.steps} steps of '{dataset.name}'; lower it"
        )
    counted = dataset.mask.any(axis=0)
    return max(ignored, int(np.argmax(counted)))


def build_rule(config: RuleConfig, network: Network, loss: str) -> Rule:
    """The learning rule, bound to the network.

    Raises:
        HyprError: for an unknown loss.
    """
    if loss not in NAMED:
        raise HyprError(f"loss.kind: unknown loss '{loss}'; {nearest(loss, list(NAMED))}")
    if config.name == "hypr":
        own = None if config.own_spike == "auto" else bool(config.own_spike)
        return HYPR(network, loss, window=config.window, readout_memory=bool(config.readout_memory), own_spike=own)
    if config.name == "hypr-window":
        return HYPRWindow(
            network,
            loss,
            window=config.window,
            carry=config.carry is not False,
            boundary_spike=config.boundary_spike,
            readout_memory=config.readout_memory,
            own_spike=None if config.own_spike == "auto" else config.own_spike,
        )
    return BPTT(network, loss) if config.name == "bptt" else EProp(network, loss)


def rule_of(config: Config, network: Network) -> Rule:
    """The rule of a run, with its loss and the price on spikes."""
    rule = build_rule(config.rule, network, config.loss.kind)
    _price_spikes(rule, config.loss, network)
    return rule


def _price_spikes(rule: Rule, config: LossConfig, network: Network) -> None:
    """Give the rule the penalties on firing rates that the loss asks for.

    Raises:
        HyprError: a list of another length than the hidden layers, or a value out of range.
    """
    hidden = network.layer_names()[:-1]
    columns = []
    for key in ("rate_weight", "rate_target"):
        value = getattr(config, key)
        values = value if isinstance(value, list) else [value] * len(hidden)
        if len(values) != len(hidden):
            raise HyprError(
                f"loss.{key}: {len(values)} numbers for {len(hidden)} hidden layers; give one for each, or one"
            )
        columns.append(values)
    for name, weight, target in zip(hidden, *columns, strict=True):
        if weight > 0:
            rule.penalise_rate(weight, target, name)


def build_optimiser(
    config: OptimiserConfig, network: Network, factors: Mapping[str, float] | None = None
) -> tuple[torch.optim.Optimizer, list[str]]:
    """The optimiser with one group of all parameters, and their names in its order.

    Args:
        factors: parameter name -> factor of its learning rate; one group for each factor, the others' first.
    """
    by_factor: dict[float, dict[str, torch.nn.Parameter]] = {1.0: {}}
    for name, parameter in network.named_parameters():
        by_factor.setdefault((factors or {}).get(name, 1.0), {})[name] = parameter
    parameters = [{"params": list(held.values()), "factor": factor} for factor, held in by_factor.items() if held]
    named = [name for held in by_factor.values() for name in held]
    betas = (config.betas[0], config.betas[1])
    optimiser: torch.optim.Optimizer
    if config.kind == "sgd":
        optimiser = torch.optim.SGD(parameters, lr=config.lr, weight_decay=config.weight_decay)
    elif config.kind == "adamw":
        optimiser = torch.optim.AdamW(parameters, lr=config.lr, betas=betas, weight_decay=config.weight_decay)
    else:
        optimiser = torch.optim.Adam(parameters, lr=config.lr, betas=betas, weight_decay=config.weight_decay)
    return optimiser, named


def scaled_rate(config: OptimiserConfig, lr: float, factor: float) -> float:
    """Learning rate of parameters whose rate has a factor, kept at ``follow_cap`` at most but never below ``lr``."""
    return max(lr, min(lr * factor, config.follow_cap))


def learning_rate(config: OptimiserConfig, update: int, updates: int) -> float:
    """Learning rate of an update, counted from 0, out of ``updates`` in the whole run: a function of the two alone."""
    done = update / updates
    if config.schedule == "linear":
        return config.lr * (1 - done)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * done))
    return config.lr
