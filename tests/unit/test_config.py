"""Configuration: what is valid is kept exactly, what is not is named with the nearest valid key."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypr.errors import HyprError
from hypr.training import config

MINIMAL = {"name": "x", "data": {"name": "digits"}, "network": {"layers": [{"neuron": "brf", "width": 4}]}}


@pytest.mark.parametrize("recipe", sorted(config.recipes()))
def test_every_recipe_is_valid_and_survives_a_round_trip(recipe):
    settings = config.load(recipe)
    assert settings.name == recipe
    assert settings.description
    assert config.from_dict(tomllib.loads(config.dump(settings))) == settings


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=80),
    st.floats(min_value=1e-300, max_value=1e6),
    st.dictionaries(
        st.text(min_size=1, max_size=5), st.one_of(st.booleans(), st.integers(), st.text(max_size=5)), max_size=3
    ),
)
def test_any_text_and_number_survives_a_round_trip(name, lr, options):
    content = {**MINIMAL, "name": name, "optimiser": {"lr": lr}, "data": {"name": "digits", "options": options}}
    settings = config.from_dict(content)
    assert config.from_dict(tomllib.loads(config.dump(settings))) == settings


def test_overrides_reach_nested_keys_lists_and_unique_last_parts():
    settings = config.load(
        "digits-brf",
        ["rule=bptt", "epochs=3", "network.layers.0.width=7", "optimiser.lr=1", "data.options.padding=2", "device=cpu"],
    )
    assert settings.rule.name == "bptt"
    assert settings.training.epochs == 3
    assert settings.network.layers[0].width == 7
    assert settings.optimiser.lr == 1.0
    assert settings.data.options["padding"] == 2
    assert settings.device == "cpu"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epoch=5", "nearest valid name is 'epochs'"),
        ("training.epoch=5", "unknown key 'training.epoch'; nearest valid name is 'epochs'"),
        ("network.layers.0.widht=5", "nearest valid name is 'width'"),
        ("network.layers.9.width=5", "must be a number from 0 to"),
        ("name.x=1", "is a value"),
        ("kind=adam", "could be loss.kind or optimiser.kind"),
        ("lr=-1", "'optimiser.lr'.*greater than 0"),
        ("lr=nan", "'optimiser.lr'.*finite"),
        ("epochs=2.5", "'training.epochs'.*integer"),
        ("epochs=true", "'training.epochs'.*integer"),
        ("rule=bpt", "'rule.name'.*'bptt'"),
        ("device=gpu", "'device'"),
        ("optimiser.betas=[0.9, 1.0]", "below 1"),
        ("epochs", "must be key=value"),
        ("network.layers.0.density=0", "'network.layers.0.density'.*greater than 0"),
        ("network.layers.0.density=1.5", "'network.layers.0.density'.*less than or equal to 1"),
        ("network.layers.0.recurrent_densty=0.1", "nearest valid name is 'recurrent_density'"),
        ("network.input_delay=[1]", "nearest valid name is 'input_delays'"),
        ("input_delays=[0.5]", "'network.input_delays.0'.*integer"),
    ],
)
def test_a_wrong_override_is_explained_in_one_line(override, words):
    with pytest.raises(HyprError, match=words) as error:
        config.load("digits-brf", [override])
    assert "\n" not in str(error.value)


def test_an_unknown_key_names_file_key_and_nearest(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(config.dump(config.from_dict(MINIMAL)) + "\n[optimizer]\nlr = 1.0\n")
    with pytest.raises(HyprError, match=r"mine\.toml: unknown key 'optimizer'; nearest valid name is 'optimiser'"):
        config.load(path)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"[a]\n[a]"])
def test_a_file_that_is_not_toml_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(HyprError, match=r"bad\.toml") as error:
        config.load(tmp_path / "bad.toml")
    assert "\n" not in str(error.value)


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(HyprError, match="nearest valid name is 'digits-brf'"):
        config.load("digit-brf")


def test_a_missing_key_is_named():
    with pytest.raises(HyprError, match="'network' is missing"):
        config.from_dict({"name": "x", "data": {"name": "digits"}})


def test_a_configuration_cannot_be_changed():
    settings = config.from_dict(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        settings.training.epochs = 3


# ---- options of rules


def test_options_of_the_recipe_that_another_rule_does_not_have_are_left_out_with_a_line():
    lines: list[str] = []
    settings = config.load("qtdb-alif", ["rule=bptt"], lines.append)
    assert settings.rule == config.RuleConfig(name="bptt")
    assert lines == ["recipe qtdb-alif: rule bptt has no window; left out"]
    lines.clear()
    assert config.load("qtdb-alif", ["rule=hypr"], lines.append).rule.window == 325 and lines == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["rule=bptt", "readout_memory=true"], "rule.readout_memory is given, but rule 'bptt' has no such option"),
        (["rule=eprop", "rule.window=3"], "use rule=hypr or rule=hypr-window"),
        (["carry=false"], "rule 'hypr' has no such option; leave it out or use rule=hypr-window"),
        (['rule={name="bptt", window=3}'], "rule.window is given"),
    ],
)
def test_options_given_for_a_rule_that_does_not_have_them_are_refused(overrides, words):
    with pytest.raises(HyprError, match=words) as error:
        config.load("digits-brf", overrides)
    assert "\n" not in str(error.value)


def test_a_configuration_in_code_is_refused_likewise():
    with pytest.raises(HyprError, match="rule 'bptt' has no option 'carry'"):
        config.from_dict({**MINIMAL, "rule": {"name": "bptt", "carry": True}})


def test_none_clears_optional_keys_only():
    assert config.load("qtdb-alif", ["rule.window=none"]).rule.window is None
    assert config.load("qtdb-se-adlif", ["optimiser.clip=none"]).optimiser.clip is None
    assert config.load("digits-brf", ["quantization=4", "quantization=none"]).quantization is None
    with pytest.raises(HyprError, match=r"training\.epochs.*integer"):
        config.load("digits-brf", ["epochs=none"])


def test_a_settled_rule_says_all_its_options_and_stays_as_it_is():
    windows = config.RuleConfig(name="hypr-window", window=5).settled()
    assert windows.model_dump() == {
        "name": "hypr-window", "window": 5, "carry": True, "boundary_spike": True, "readout_memory": True,
        "own_spike": "auto",
    }  # fmt: skip
    truncated = config.RuleConfig(name="hypr-window", carry=False).settled()
    assert (truncated.boundary_spike, truncated.readout_memory, truncated.own_spike) == (False, False, False)
    plain = config.RuleConfig(name="hypr").settled()
    assert (plain.readout_memory, plain.own_spike, plain.carry) == (False, False, None)
    for rule in (windows, truncated, plain, config.RuleConfig(name="bptt").settled()):
        assert rule.settled() == rule
        assert config.from_dict({**MINIMAL, "rule": rule.model_dump(exclude_none=True)}).rule == rule


def test_what_version_0_1_wrote_down_means_what_it_did_then():
    from hypr.training.recorded import from_recorded, settled

    before = {"name": "hypr-window", "window": 130, "readout_memory": False, "carry": True, "boundary_spike": False}
    recorded = from_recorded({**MINIMAL, "rule": before}, "old")
    assert recorded.rule.settled().model_dump() == {**before, "own_spike": False}
    now = config.from_dict({**MINIMAL, "rule": {"name": "hypr-window", "window": 130}})
    assert settled(now, recorded).rule == recorded.rule.settled()
    assert settled(now, None).rule.boundary_spike is True
    bptt = from_recorded({**MINIMAL, "rule": {**before, "name": "bptt"}}, "old")
    assert bptt.rule == config.RuleConfig(name="bptt")
