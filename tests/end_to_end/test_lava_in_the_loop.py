"""Training with Lava in the loop: the gradients are those of the emulator, bit for bit, also where a sequence is run in
windows, each from the states that the one before left.
"""

from __future__ import annotations

import pytest

from export.quantization.formats import QuantizationSettings
from hardware.lava import runtime
from hypr.integer.stage import IntegerStage
from tests.end_to_end.lava_support import runtime_python
from tests.unit.hypr_cases import batch, network
from tests.unit.test_engine_in_the_loop import MODELS, RULES, STEPS, learned, same


@pytest.fixture(scope="module", autouse=True)
def python():
    return runtime_python()


def check_in_the_loop(name: str, rule: str, layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(*[name] * layers, seed=3).float()
    data = batch(net, steps=STEPS, size=3)
    stage = IntegerStage(net, QuantizationSettings(), data[0].numpy())
    expected = learned(net, stage, rule, data)
    starts, run = [], runtime.run

    def watched(*arguments, **options):
        starts.append(options["initial_state"])
        return run(*arguments, **options)

    monkeypatch.setattr(runtime, "run", watched)
    assert same(learned(net, IntegerStage(net, stage.settings, engine="lava"), rule, data), expected)
    assert len(starts) == {"bptt": 1, "hypr in windows": 3, "hypr-window": 3}[rule]
    late = [state.states["u/hidden0"].any() for state in starts[1:]]
    assert all(late), "windows after the first one start from states of their own"
    assert float(expected["layers.0.weight"].abs().max()) > 0


@pytest.mark.parametrize("name", MODELS)
def test_windows_on_lava_give_the_gradients_of_the_emulator(name, monkeypatch):
    check_in_the_loop(name, "hypr-window", 1, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", [*MODELS, "se_adlif_current", "lif_subtract", "cuba_lif_zero"])
def test_every_rule_on_lava_gives_the_gradients_of_the_emulator(name, rule, layers, monkeypatch):
    check_in_the_loop(name, rule, layers, monkeypatch)
