"""Seeded semantic mutants of the emulator: each changes one place of the real source and names the check that must
catch it.

A mutant is a textual change of the module that holds the function, so it follows the source; a change that no longer
applies is an error.
"""

# ruff: noqa: E501 (a mutant is one line of the table)

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hardware import emulator, fixed_point, neurons
from hardware.emulator import Emulator
from hardware.populations import Projection
from hardware.program import Program


@dataclass(frozen=True)
class Mutant:
    """One wrong line.

    Attributes:
        name: what is wrong.
        model: model whose programs show it.
        function: ``<module>.<function>`` that is changed.
        old, new: the change; ``old`` must occur exactly once in the function.
        check: key of ``tests.mutation.checks.CHECKS`` that must report a difference.
    """

    name: str
    model: str
    function: str
    old: str
    new: str
    check: str


MUTANTS = (
    # comparison
    Mutant("brf: > becomes >=", "brf", "neurons.brf", "(u_new - q) > n", "(u_new - q) >= n", "threshold tie"),
    Mutant("se_adlif: > becomes >=", "se_adlif", "neurons.se_adlif", "u_new > n", "u_new >= n", "threshold tie"),
    Mutant("alif: > becomes >=", "alif", "neurons.alif", "u_new > threshold", "u_new >= threshold", "threshold tie"),
    Mutant("lif: > becomes >=", "lif", "neurons.fire", "z = tested > edge", "z = tested >= edge", "threshold tie"),
    Mutant("cuba_lif: > becomes >=", "cuba_lif", "neurons.fire", "z = tested > edge", "z = tested >= edge", "threshold tie"),
    Mutant("brf: threshold off by one", "brf", "neurons.brf", "> n[\"TH\"]", "> n[\"TH\"] + 1", "threshold tie"),
    # rounding
    Mutant("mulsh floors", "brf", "fixed_point.mulsh", "np.where(x < 0, -magnitude, magnitude)", "(x * c) >> k", "one step"),
    Mutant(
        "mulsh rounds to nearest", "lif", "fixed_point.mulsh", "(np.abs(x) * c) >> k", "(np.abs(x) * c + ((1 << k) >> 1)) >> k", "one step"
    ),
    Mutant("shz floors", "se_adlif", "fixed_point.shz", "np.where(x < 0, -magnitude, magnitude)", "x >> k", "one step"),
    Mutant("li: rounds before the product", "li", "neurons.li", "mulsh(u, n[\"A\"], n[\"K\"])", "mulsh(mulsh(u, 1, 1), n[\"A\"], n[\"K\"] - 1)", "one step"),
    Mutant("brf: coefficient one lower", "brf", "neurons.brf", "np.maximum(0, n[\"C\"] -", "np.maximum(0, n[\"C\"] - 1 -", "one step"),
    Mutant("lif: product in 32 bits", "lif", "fixed_point.mulsh", "(np.abs(x) * c) >> k", "(np.abs(x) * c).astype(np.int32) >> k", "one step"),
    # saturation
    Mutant(
        "sat wraps", "li", "fixed_point.sat", "np.minimum(np.maximum(x, -STATE_MAX), STATE_MAX)", "(x + 2**23) % 2**24 - 2**23", "saturation"
    ),
    Mutant("sat is asymmetric", "lif", "fixed_point.sat", "np.maximum(x, -STATE_MAX)", "np.maximum(x, -STATE_MAX - 1)", "saturation"),
    Mutant("brf: q does not saturate", "brf", "neurons.brf", "q_new = sat(", "q_new = (", "saturation"),
    Mutant("brf: damping below zero", "brf", "neurons.brf", "np.maximum(0, n[\"C\"] - mulsh(q, n[\"D\"], n[\"Kd\"]))",
           "np.minimum(n[\"C\"], n[\"C\"] - mulsh(q, n[\"D\"], n[\"Kd\"]))", "one step"),
    Mutant("cuba_lif: current clips", "cuba_lif", "neurons.cuba_lif", "wrap_once(", "sat(", "saturation"),
    Mutant("cuba_lif: wraps at 2^23", "cuba_lif", "fixed_point.wrap_once", "x > WRAP", "x >= WRAP", "wrap edge"),
    Mutant("cuba_lif: wraps below -2^23 only", "cuba_lif", "fixed_point.wrap_once", "x <= -WRAP", "x < -WRAP", "wrap edge"),
    # old against new state, order
    Mutant("brf: v uses the new u", "brf", "neurons.brf", "mulsh(u, n[\"S\"], n[\"K\"]) + mulsh(v", "mulsh(u_new, n[\"S\"], n[\"K\"]) + mulsh(v", "one step"),
    Mutant("brf: spike uses the new q", "brf", "neurons.brf", "z = (u_new - q)", "z = (u_new - sat(mulsh(q, n[\"R\"], n[\"KR\"])))", "one step"),
    Mutant("brf: q jumps one step later", "brf", "neurons.brf", "n[\"J\"] * z", "n[\"J\"] * spikes_before", "one step"),
    Mutant("brf: sign of the rotation", "brf", "neurons.brf", "- mulsh(v, n[\"S\"]", "+ mulsh(v, n[\"S\"]", "one step"),
    Mutant("se_adlif: w sees u before the reset", "se_adlif", "neurons.se_adlif", "u_new = np.where(z, 0, u_new)", "u_kept, u_new = np.where(z, 0, u_new), u_new",
           "one step"),
    Mutant("se_adlif: w uses the old u", "se_adlif", "neurons.se_adlif", "mulsh(u_new, n[\"At\"]", "mulsh(u, n[\"At\"]", "one step"),
    Mutant("se_adlif: z* swapped", "se_adlif", "neurons.se_adlif", "== \"current\"", "!= \"current\"", "one step"),
    Mutant("alif: threshold uses the old a", "alif", "neurons.alif", "n[\"B0\"] + a_new", "n[\"B0\"] + a", "one step"),
    Mutant("alif: reset subtracts B0 only", "alif", "neurons.alif", "- threshold * spikes_before", "- n[\"B0\"] * spikes_before", "one step"),
    Mutant("alif: no reset", "alif", "neurons.alif", " - threshold * spikes_before", "", "run from zero"),
    Mutant("lif: resets swapped", "lif", "neurons.fire", "\"zero\": np.zeros_like(x), \"subtract\": sat(x - threshold)", "\"subtract\": np.zeros_like(x), \"zero\": sat(x - threshold)", "one step"),
    Mutant("lif: subtracts before saturation", "lif", "neurons.lif", "n[\"TH\"], u_new, u",
           "n[\"TH\"], np.where(u_new > n[\"TH\"], mulsh(u, n[\"A\"], n[\"K\"]) + drive + n[\"bias\"], u_new), u", "saturation"),
    Mutant("cuba_lif: v uses the old u", "cuba_lif", "neurons.cuba_lif", "+ u_new + n", "+ u + n", "one step"),
    Mutant("cuba_lif: du without its offset", "cuba_lif", "neurons.cuba_lif", "(n[\"du\"] + 1)", "n[\"du\"]", "one step"),
    Mutant("cuba_lif: bias enters the current", "cuba_lif", "neurons.cuba_lif", "(drive << 6)", "((drive + n[\"bias\"]) << 6)", "one step"),
    # current and time
    Mutant("li: bias twice", "li", "neurons.li", "+ n[\"bias\"]", "+ 2 * n[\"bias\"]", "one step"),
    Mutant("recurrent exponent one higher", "lif", "emulator.projection_drive", "<< projection.exponent", "<< projection.exponent + (projection.source == projection.target)", "run from zero"),
    Mutant("recurrent weights transposed", "brf", "emulator.projection_drive", "synapses.weight.T.astype", "(synapses.weight.T if projection.delay == 0 else synapses.weight).astype", "run from zero"),
    Mutant("recurrent synapses missing", "alif", "emulator.projection_drive", "<< projection.exponent", "<< projection.exponent if projection.delay == 0 else 0 * sums.astype(np.int64)", "run from zero"),
    Mutant("bias shifted with the input", "se_adlif", "neurons.se_adlif", "drive + n[\"bias\"]", "drive + (n[\"bias\"] << 1)", "one step"),
    Mutant("payload taken as a spike", "lif", "emulator.projection_drive", "values.astype(carrier) @", "(values != 0).astype(carrier) @", "run from zero"),
)  # fmt: skip

MODULES = {"neurons": neurons, "fixed_point": fixed_point, "emulator": emulator}


def mutated_function(mutant: Mutant) -> Callable:
    """The function with its one change, in a copy of its module's namespace."""
    module_name, function_name = mutant.function.split(".")
    module = MODULES[module_name]
    source = inspect.getsource(getattr(module, function_name))
    if source.count(mutant.old) != 1:
        raise AssertionError(
            f"mutant '{mutant.name}': {mutant.old!r} occurs {source.count(mutant.old)} times in {mutant.function}"
        )
    changed = source.replace(mutant.old, mutant.new)
    if mutant.name == "se_adlif: w sees u before the reset":
        changed = changed.replace("return (u_new, w_new)", "return (u_kept, w_new)")
    namespace = dict(vars(module))
    exec(compile(changed, f"<mutant {mutant.name}>", "exec", dont_inherit=True, flags=_ANNOTATIONS), namespace)
    return namespace[function_name]


_ANNOTATIONS = 0x1000000  # from __future__ import annotations, as in the modules themselves


def mutated_emulator(mutant: Mutant, program: Program) -> Emulator:
    """An emulator of ``program`` with the mutant in place of the real function."""
    function = mutated_function(mutant)
    module, name = mutant.function.split(".")
    if module == "emulator":
        return Emulator(program, drive=function, engine=mutant.name)
    if module == "neurons" and name in neurons.STEPS:
        return Emulator(program, steps={name: function}, engine=mutant.name)
    namespace = {**vars(neurons), name: function}
    if name != "fire":
        namespace["fire"] = types.FunctionType(neurons.fire.__code__, namespace)
    steps = {model: types.FunctionType(step.__code__, namespace) for model, step in neurons.STEPS.items()}
    return Emulator(program, steps=steps, engine=mutant.name)


class DelayedDrive:
    """Timing mutants: one more step of delay for the layer below (``input``) or for the layer's own spikes
    (``recurrent``)."""

    def __init__(self, which: str) -> None:
        self.which = which
        self.last: dict[str, np.ndarray] = {}

    def __call__(self, projection: Projection, values: np.ndarray) -> np.ndarray:
        if (projection.delay == 0) != (self.which == "input"):
            return emulator.projection_drive(projection, values)
        late = self.last.get(projection.name, np.zeros_like(values))
        self.last[projection.name] = values.copy()
        return emulator.projection_drive(projection, late)
