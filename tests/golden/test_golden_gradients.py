"""Gradients equal the golden ones, and the command that says so tells good files from bad."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import cast

import numpy as np
import pytest
import torch

from hypr.kernels import dispatch
from tests.golden_gradients import LIMIT, Case, compare, main
from tests.paths import ROOT, golden_folder

CASES = ("brf", "brf_exp", "brf2", "brf_slayer_expomega", "adlif", "alif", "adlif_norec")


@pytest.mark.parametrize("kernels", ["reference", "auto"])
@pytest.mark.parametrize("name", CASES)
def test_every_rule_matches_its_golden_gradient(name, kernels):
    case = Case(golden_folder("hypr") / f"{name}.npz")
    with dispatch.use(kernels):
        differences = list(compare(case))
    assert [d.rule for d in differences] == [
        "hypr window=24", "hypr window=6", "hypr window=1", "eprop", "bptt", "hypr-window window=24"
    ]  # fmt: skip
    for difference in differences:
        assert difference.value <= LIMIT, difference


@pytest.mark.parametrize("name", CASES)
def test_states_outputs_and_loss_equal_the_golden_ones(name):
    case = Case(golden_folder("hypr") / f"{name}.npz")
    net = case.network()
    trajectories = net.trajectory(case.x)
    goldens = [*(f"layers.{i}" for i in range(len(net.layers) - 1)), "output_layer"]
    for layer, golden in zip(trajectories, goldens, strict=True):
        found, expected = trajectories[layer], torch.from_numpy(case.data[f"state/{golden}"])
        d = found.states.shape[2]
        # (T, B, d, N) against (B, T, N, D): the same formulas in another order of operations, 24 steps
        torch.testing.assert_close(found.states[1:].permute(1, 0, 3, 2), expected[..., :d], rtol=1e-11, atol=1e-11)
        if golden != "output_layer":
            assert torch.equal(found.spikes[1:].transpose(0, 1), torch.from_numpy(case.data[f"z/{golden}"]))
    from hypr.learning import HYPR

    assert abs(float(HYPR(net).backward(case.x, case.y, case.mask)) - float(case.data["loss"])) < 1e-12  # float64 sums


@pytest.mark.parametrize("name", CASES)
def test_one_published_adam_step_is_reproduced_from_its_published_gradient(name):
    """Clipping by the global norm, Adam, then the ranges of the hidden layers, fed with the published gradient."""
    case = Case(golden_folder("hypr") / f"{name}.npz")
    net, step = case.network(), case.hyper["after_adam"]
    count = int(case.hyper["layers"])
    optimiser = torch.optim.Adam(net.parameters(), lr=step["lr"], betas=(step["b1"], step["b2"]), eps=step["eps"])
    names = {}
    for index, layer in enumerate(net.layers):
        for raw, parameter in layer.named_parameters():
            golden = f"{case._prefix(index, count)}.{case._golden_name(layer, raw)}"
            parameter.grad = torch.from_numpy(case.data[f"hypr_nc1/{golden}"].T.copy())
            names[golden] = parameter
    norm = torch.linalg.vector_norm(torch.cat([cast(torch.Tensor, p.grad).flatten() for p in net.parameters()]))
    for parameter in net.parameters():
        parameter.grad /= max(1.0, float(norm) / step["grad_clip_val"])
    optimiser.step()
    for layer in net.layers[:-1]:
        layer.constrain_()
    for golden, parameter in names.items():
        expected = torch.from_numpy(case.data[f"after_adam/{golden}"].T.copy())
        torch.testing.assert_close(
            parameter.detach(), expected, rtol=1e-9, atol=1e-9
        )  # g / sqrt(g^2) amplifies rounding


def test_command_fails_on_a_gradient_that_is_off_by_one_part_in_a_billion(tmp_path, capsys):
    source = golden_folder("hypr") / "brf.npz"
    with np.load(source) as archive:
        data = {key: archive[key] for key in archive.files}
    data["bptt/layers.0.linear.kernel"] = data["bptt/layers.0.linear.kernel"] * (1 + 1e-9)
    np.savez(tmp_path / "changed.npz", **data)
    assert main([str(source)]) == 0
    assert main([str(tmp_path / "changed.npz")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0:2] for line in lines if "FAIL" in line] == [["brf", "bptt"], ["brf", "hypr-window"]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("x"), "x"),
        (lambda d: d.pop("hyper_json"), "hyper_json"),
        (lambda d: d.update(hyper_json=np.array("{")), "not a golden gradient file"),
        (lambda d: d.update(hyper_json=np.array("[1]")), "error"),
        (lambda d: d.pop("param/layers.0.linear.kernel"), "param/layers.0.linear.kernel"),
        (lambda d: d.update({"param/layers.0.linear.bias": np.zeros(3)}), "has shape"),
        (
            lambda d: d.update(hyper_json=np.array(json.dumps({**json.loads(str(d["hyper_json"])), "cls": "GRU"}))),
            "known are",
        ),
        (lambda d: [d.pop(k) for k in list(d) if k.startswith("autodiff_z/")], "no reference gradients"),
        (lambda d: d.update(x=d["x"][:, :, :2]), "x has shape"),
        (lambda d: d.update({"bptt/layers.0.linear.bias": np.zeros(3)}), "has shape"),
    ],
)
def test_command_refuses_a_wrong_file_in_one_line(tmp_path, capsys, change, says):
    with np.load(golden_folder("hypr") / "brf.npz") as archive:
        data = {key: archive[key] for key in archive.files}
    change(data)
    np.savez(tmp_path / "wrong.npz", **data)
    assert main([str(tmp_path / "wrong.npz")]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1, error


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 truncated", b"text"])
def test_command_refuses_what_is_no_archive_without_a_traceback(tmp_path, content):
    path = tmp_path / "case.npz"
    if content is not None:
        path.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden_gradients", str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr
