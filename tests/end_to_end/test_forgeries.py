"""Forged bundles, certificates and engines: each is caught, with a line that names what is forged."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from export.bundle.bundle import Bundle
from tests.forged_bundle import digits_bundle
from tests.forged_certificates import DAMAGED, FALSE_PROOFS, FalseProof, edit
from tests.forgeries import FORGERIES, Forgery, manifest
from tests.hostile_engines import DIFFERENT, HARMLESS, REFUSED
from tests.tree import OTHER, Tree

QUICK = ("--engines", "emulator,reference", "--samples", "3")
MINE = "tests.hostile_engines"


@pytest.fixture(scope="module")
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with everything in it; tests must not change it. Another tree under test makes its own."""
    if OTHER:
        path = request.getfixturevalue("tree_bundle")
        return Bundle(path, json.loads((path / "manifest.json").read_text()))
    return digits_bundle(tmp_path_factory.mktemp("sound") / "bundle")


@pytest.fixture(scope="module")
def certified(sound: Bundle, tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it with its certificate; tests must not change it."""
    copy = tmp_path_factory.mktemp("certified") / "bundle"
    shutil.copytree(sound.path, copy)
    assert tree.hypr("verify", copy, "--engines", "emulator,onnx", "--samples", "20").code == 0
    return copy


def one_line(error: str) -> str:
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    return lines[0]


# ---- bundles


def test_the_bundle_that_is_forged_here_is_sound(hypr, sound, tmp_path):
    code, out, _ = hypr("verify", sound.path, "--engines", "emulator,onnx", "--out", tmp_path / "proof.json")
    assert code == 0 and "EQUAL: all" in out
    assert "NOT SO" not in out and "not compared" not in out
    proof = json.loads((tmp_path / "proof.json").read_text())
    assert all(entry["spikes"] > 0 for entry in proof["comparisons"])
    named = [line for line in proof["checks"] if proof["checks"][line]]
    assert all(any(line.startswith(name) for line in named) for name in (*sound.manifest["files"], "manifest.json"))


def test_there_are_many_forgeries_and_no_two_are_called_the_same():
    assert len(FORGERIES) >= 40 and len({item.name for item in FORGERIES}) == len(FORGERIES)


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda item: item.name)
def test_a_forged_bundle_is_caught_with_a_line_that_names_the_file(hypr, sound, tmp_path, forgery: Forgery):
    shutil.copytree(sound.path, tmp_path / "bundle")
    forgery.change(tmp_path / "bundle")
    proof = tmp_path / "proof.json"
    code, out, error = hypr("verify", tmp_path / "bundle", *QUICK, "--out", proof)
    assert code in (1, 2), out
    if code == 2:
        assert forgery.file in one_line(error)
        return
    wrong = [line for line in out.splitlines() if line.startswith("  NOT SO  ")]
    assert wrong and any(forgery.file in line for line in wrong), out
    assert "NOT THIS PROGRAM: no integer differs" in out and "DIFFERENT" not in out
    content = json.loads(proof.read_text())
    assert content["equal"] is False and "not every file is what the program gives" in content["statement"]
    assert sum(entry["integers_differing"] for entry in content["comparisons"]) == 0


def test_a_float_graph_without_its_network_is_said_to_be_unknown(hypr, sound, tmp_path):
    shutil.copytree(sound.path, tmp_path / "bundle")
    (tmp_path / "bundle" / "network.nir").unlink()
    manifest(lambda content: content["files"].pop("network.nir"))(tmp_path / "bundle")
    code, out, _ = hypr("verify", tmp_path / "bundle", *QUICK, "--out", tmp_path / "proof.json")
    assert code == 0
    assert "not compared  float_scan.onnx" in out and "not compared  float_step.onnx" in out
    assert set(json.loads((tmp_path / "proof.json").read_text())["not_compared"]) >= {"float_scan.onnx"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda content: content.update(dataset=None), "names no data set"),
        (lambda content: content["dataset"].update(name="mine.npz"), "mine.npz"),
        (lambda content: content["dataset"].update(test_sha256="0" * 64), "sha256"),
        (lambda content: content["metrics"].update(other_accuracy=0.5), "nothing says how it is computed"),
    ],
    ids=["no data", "data that have moved", "other data", "a figure of one's own"],
)
def test_accuracies_that_cannot_be_computed_again_are_said_to_be_unknown(hypr, sound, tmp_path, change, why):
    shutil.copytree(sound.path, tmp_path / "bundle")
    manifest(change)(tmp_path / "bundle")
    np.savez(tmp_path / "in.npz", input_spikes=np.ones((4, 2, sound.program.input.size), np.uint8))
    options = (*QUICK[:2], "--inputs", tmp_path / "in.npz", "--out", tmp_path / "proof.json")
    code, out, error = hypr("verify", tmp_path / "bundle", *options)
    assert code == 0, error
    (line,) = (line for line in out.splitlines() if line.startswith("  not compared  manifest.json: metrics"))
    assert why in line
    about = json.loads((tmp_path / "proof.json").read_text())["not_compared"]
    assert [text for name, text in about.items() if name.startswith("manifest.json: metrics")] != []


def test_plain_files_in_a_bundle_are_named_and_do_no_harm(hypr, sound, tmp_path):
    shutil.copytree(sound.path, tmp_path / "bundle")
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    code, out, _ = hypr("verify", tmp_path / "bundle", *QUICK, "--out", tmp_path / "proof.json")
    assert code == 0 and "not compared  notes.txt: manifest.json does not list it" in out


# ---- engines


@pytest.mark.parametrize("name", REFUSED)
def test_an_engine_that_gives_no_arrays_of_integers_is_refused_in_one_line(hypr, sound, tmp_path, name):
    code, _, error = hypr(
        "verify", sound.path, "--engines", f"{MINE}:{name},onnx", "--samples", "3", "--out", tmp_path / "proof.json"
    )
    assert code == 2 and f"{MINE}:{name}" in one_line(error)
    assert not (tmp_path / "proof.json").exists()


@pytest.mark.parametrize("name", DIFFERENT)
def test_an_engine_takes_no_other_ones_name(hypr_json, sound, tmp_path, name):
    place = f"{MINE}:{name}"
    code, answer = hypr_json(
        "verify", sound.path, "--engines", f"emulator,onnx,{place}", "--samples", "3", "--out", tmp_path / "proof.json"
    )
    assert code == 1
    found = {entry["engine"]: entry for entry in answer["comparisons"]}
    assert set(found) == {"onnx", "reference", place}  # the oracle ran
    assert found[place]["integers_differing"] > 0 and found[place]["ran_as"] == place
    assert found["onnx"]["integers_differing"] == found["reference"]["integers_differing"] == 0
    about = answer["own_engines"][place]
    assert about["place"] == place
    source = Path(__file__).parents[1] / "hostile_engines.py"
    assert about["sources"][MINE] == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.parametrize(("name", "jobs"), [*((name, 1) for name in HARMLESS), ("Sound", 2)])
def test_what_an_engine_writes_into_reaches_no_other(hypr_json, sound, tmp_path, name, jobs):
    place = f"{MINE}:{name}"
    engines = ("--engines", f"{place},onnx,emulator", "--samples", "4", "--jobs", jobs)
    code, answer = hypr_json("verify", sound.path, *engines, "--out", tmp_path / "proof.json")
    assert code == 0 and answer["equal"]
    assert {entry["engine"] for entry in answer["comparisons"]} == {place, "onnx", "reference"}


def test_a_signal_while_an_engine_of_ones_own_runs_ends_the_verification(hypr, sound, tmp_path):
    code, _, error = hypr("verify", sound.path, "--engines", f"emulator,{MINE}:terminated", "--samples", "2")
    assert code == 143 and "SIGTERM" in one_line(error)


COUNTS = (
    *(("--samples", "-1"), ("--samples", "0"), ("--samples", "9" * 5000)),
    *(("--lava-samples", "-1"), ("--lava-samples", "9" * 5000), ("--reference-samples", "-2"), ("--jobs", "0")),
)


@pytest.mark.parametrize("options", COUNTS, ids=lambda options: f"{options[0]} {options[1][:5]}")
def test_counts_below_what_makes_sense_are_refused(hypr, sound, options):
    code, _, error = hypr("verify", sound.path, "--engines", "emulator", *options)
    assert code == 2 and options[0] in one_line(error)


@pytest.mark.parametrize("engines", ["", ",", " , "])
def test_an_empty_list_of_engines_is_refused(hypr, sound, engines):
    code, _, error = hypr("verify", sound.path, "--engines", engines)
    assert code == 2 and "--engines" in one_line(error)


# ---- certificates


def test_a_certificate_is_about_the_bundle_that_was_verified(hypr, certified):
    for options in ((), ("--rerun",)):
        code, out, _ = hypr("certificate", "check", certified, *options)
        assert code == 0, out
        assert "NOT" not in out and "ok      manifest.json" in out and "EQUAL: all" in out
    assert "onnx: run again: 0 of" in out and "reference: run again: 0 of" in out


@pytest.mark.parametrize("proof", FALSE_PROOFS, ids=lambda item: item.name)
def test_a_false_certificate_is_caught_and_not_reported(hypr, certified, tmp_path, proof: FalseProof):
    shutil.copytree(certified, tmp_path / "bundle")
    proof.change(tmp_path / "bundle")
    code, out, _ = hypr("certificate", "check", tmp_path / "bundle")
    assert code == 1, out
    wrong = [line for line in out.splitlines() if line.startswith("  NOT SO")]
    about = "certificate" if proof.about == "certificate.json" else proof.about
    assert any(line.removeprefix("  NOT SO").strip().startswith(about) for line in wrong), out


@pytest.mark.parametrize(
    "proof",
    [p for p in FALSE_PROOFS if p.name != "other inputs"],  # a report does not look for the inputs
    ids=lambda item: item.name,
)
def test_a_report_does_not_believe_a_false_certificate(certified, tmp_path, proof: FalseProof):
    from hypr.report.proof import headline, proofs

    shutil.copytree(certified, tmp_path / "bundle")
    proof.change(tmp_path / "bundle")
    found = headline(proofs(Bundle.open(tmp_path / "bundle")))
    assert found is not None and found[2] == "bad" and found[0] != "Bit-exact", found


def test_the_page_of_a_false_certificate_says_so(hypr, certified, tmp_path):
    page = tmp_path / "page.html"
    assert hypr("report", certified, "--out", page)[0] == 0 and "<b>Bit-exact</b>" in page.read_text()
    shutil.copytree(certified, tmp_path / "bundle")
    edit(lambda proof: proof["comparisons"][0].update(integers_differing=7))(tmp_path / "bundle")
    assert hypr("report", tmp_path / "bundle", "--out", page)[0] == 0
    assert "Bit-exact" not in page.read_text() and "contradicts itself" in page.read_text()


@pytest.mark.parametrize(("entry", "change"), DAMAGED, ids=[entry for entry, _ in DAMAGED])
def test_a_damaged_certificate_is_one_line_that_names_the_entry(hypr, certified, tmp_path, entry, change):
    shutil.copytree(certified, tmp_path / "bundle")
    edit(change)(tmp_path / "bundle")
    code, _, error = hypr("certificate", "check", tmp_path / "bundle")
    assert code == 2 and "certificate.json" in one_line(error) and entry in error
    code, _, error = hypr("report", tmp_path / "bundle", "--out", tmp_path / "page.html")
    assert code == 0 and "certificate.json" in error and "Bit-exact" not in (tmp_path / "page.html").read_text()


def test_a_certificate_with_an_engine_of_ones_own_is_rerun_only_when_that_is_named(hypr, sound, tmp_path):
    shutil.copytree(sound.path, tmp_path / "bundle")
    place = f"{MINE}:Sound"
    assert hypr("verify", tmp_path / "bundle", "--engines", f"{place},onnx", "--samples", "3")[0] == 0
    code, out, _ = hypr("certificate", "check", tmp_path / "bundle")
    assert code == 0 and f"?       {place}: an engine of the user's own" in out
    code, _, error = hypr("certificate", "check", tmp_path / "bundle", "--rerun")
    assert code == 2 and place in one_line(error)
    assert hypr("certificate", "check", tmp_path / "bundle", "--rerun", "--engines", place)[0] == 0


def test_a_quick_verification_leaves_the_full_certificate_alone(hypr, certified, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(certified, bundle)
    full = (bundle / "certificate.json").read_bytes()
    for options in (("--samples", "3"), ("--engines", "reference"), ("--engines", "onnx", "--teacher-forced")):
        more = () if "--engines" in options else ("--engines", "emulator,onnx")
        code, _, error = hypr("verify", bundle, *more, *options)
        assert code == 0 and "certificate-partial.json" in error
        assert (bundle / "certificate.json").read_bytes() == full
    code, out, _ = hypr("certificate", "check", bundle, "--certificate", bundle / "certificate-partial.json")
    assert code == 0, out
    assert hypr("verify", bundle, "--engines", "emulator,onnx")[0] == 0  # all sequences: more than before
    proof = json.loads((bundle / "certificate.json").read_text())
    assert proof["inputs"]["shape"][1] > 20


def test_a_quick_verification_that_fails_is_not_hidden_by_the_full_certificate(hypr, certified, tmp_path):
    from hypr.report.proof import headline, proofs

    bundle = tmp_path / "bundle"
    shutil.copytree(certified, bundle)
    engines = f"emulator,onnx,{MINE}:called_lava"
    assert hypr("verify", bundle, "--engines", engines, "--samples", "3")[0] == 1
    found = headline(proofs(Bundle.open(bundle)))
    assert found is not None and found[0] == "Different" and "certificate-partial.json" in found[1]


# ---- silence


def test_equality_of_a_silent_network_is_said_to_prove_little(hypr, tmp_path):
    bundle = digits_bundle(tmp_path / "bundle", scale=1e-3)
    code, out, _ = hypr("verify", bundle.path, "--engines", "emulator,onnx", "--samples", "10")
    assert code == 0
    assert "hidden0 fired no spike on these inputs, so equality proves little there" in out
    proof = json.loads((bundle.path / "certificate.json").read_text())
    assert proof["silent"] == ["hidden0"] and "proves little" in proof["statement"]
    assert {entry["spikes_by_layer"]["hidden0"] for entry in proof["comparisons"]} == {0}
    assert hypr("report", bundle.path, "--out", tmp_path / "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text()
    assert "Bit-exact, but silent" in page and "hidden0 fired no spike" in page


# ---- what ran


def test_what_ran_is_counted_over_all_parts_of_a_run():
    from export.verification.result import PairResult, ran_as

    def part(text: str, samples: int) -> PairResult:
        return PairResult("lava", "emulator", tuple(range(samples)), 1, 1, 0, 0.0, 0.0, None, 1, text)

    assert ran_as([part("lava[dense 18]", 18)] * 3) == "lava[dense 54]"
    assert ran_as([part("lava[dense 18, sparse 2]", 20), part("lava[sparse]", 5)]) == "lava[dense 18, sparse 7]"
    assert ran_as([part("lava[dense]", 16)] * 2) == "lava[dense]"
    assert ran_as([part("emulator", 4), part("emulator-numpy", 4)]) == "emulator and emulator-numpy"


def test_a_run_in_parts_says_what_all_of_it_ran_as(sound):
    import dataclasses

    from export.verification.engines import ENGINES
    from export.verification.verify import verify

    def counted(program, inputs, record):
        trace = ENGINES["emulator"].run(program, inputs, record)
        return dataclasses.replace(trace, engine=f"onnx[dense {inputs.shape[1]}]")

    engine = dataclasses.replace(ENGINES["onnx"], run=counted)
    inputs = np.random.default_rng(0).integers(0, 17, (8, 12, 8))
    for memory in (2**29, 1):
        found = verify(sound.program, inputs, [engine], memory_bytes=memory, sample_limits={"onnx": 12}).pairs
        assert {pair.engine: pair.ran_as for pair in found}["onnx"] == "onnx[dense 12]"
