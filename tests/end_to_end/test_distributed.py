"""Data parallel training with two processes that exchange gradients through gloo, against one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.distributed

from hypr.training import checkpoint, config, runs
from hypr.training.distributed import Group, GroupError, choose_device, from_environment, joined
from hypr.training.train import train
from tests.distributed_worker import cases, gradients
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")

SMALL = ["network.layers.0.width=12", "training.batch=301", "device=cpu", "epochs=2"]  # the last batch is a part
WORKER = str(ROOT / "tests" / "distributed_worker.py")


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine, on a free port."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def one_process(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("one") / "run"
    train(config.load("digits-brf", SMALL), folder)
    return folder


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("two") / "run"
    return folder, torchrun("-m", "hypr", "train", "digits-brf", *SMALL, "--out", folder)


def test_the_gradient_of_two_processes_is_that_of_one(tmp_path):
    done = torchrun(WORKER, "gradients", tmp_path / "found")
    assert done.returncode == 0, done.stderr
    found = safetensors.torch.load_file(tmp_path / "found")
    compared = 0
    for rule, batch, dtype in cases():
        one = gradients(Group(), rule, batch, dtype)
        two = {name: found[f"{rule}/{batch}/{dtype}/{name}"] for name in one}
        compared += len(one)
        # Only the order of sums over the batch differs: a few roundings of float32 or float64. In float32 the whole
        # gradient is compared: a single entry can be a small difference of large terms.
        parts = [(one, two)] if dtype == torch.float32 else [({name: one[name]}, {name: two[name]}) for name in one]
        for a, b in parts:
            expected, other = (torch.cat([value.flatten() for value in part.values()]) for part in (a, b))
            limit = (1e-6 if dtype == torch.float32 else 1e-12) * float(expected.norm())
            assert float((other - expected).norm()) <= limit, (rule, batch, dtype, list(a))
    assert compared == len(found)


def test_two_processes_train_to_the_weights_of_one(one_process, two_processes):
    folder, done = two_processes
    assert done.returncode == 0, done.stderr
    one, two = (checkpoint.read(path / "last.safetensors").tensors for path in (one_process, folder))
    assert one.keys() == two.keys()
    start = checkpoint_of_start()
    for name, value in one.items():
        moved = float((value - start[name]).abs().max())
        # Adam divides by the size of the gradient, so rounding of small gradients moves a weight visibly, but by far
        # less than training did.
        assert float((value - two[name]).abs().max()) <= 0.02 * moved, name
    accuracies = [runs.read_json(path / runs.RESULT)["last"]["test"] for path in (one_process, folder)]
    assert abs(accuracies[0] - accuracies[1]) < 0.03  # ten images of 360 near a boundary


def checkpoint_of_start() -> dict[str, torch.Tensor]:
    from hypr.training.build import initial_network
    from hypr.training.data import load_data

    settings = config.load("digits-brf", SMALL)
    return initial_network(settings, load_data(settings, "train")).state_dict()


def test_one_of_the_processes_answers_and_writes(one_process, two_processes):
    folder, done = two_processes
    assert done.stdout.count("2 epochs with rule hypr") == 1
    assert {path.name for path in folder.iterdir()} == {path.name for path in one_process.iterdir()}
    assert runs.open_run(folder).environment["processes"] == 2
    one, two = runs.open_run(one_process).metrics, runs.open_run(folder).metrics
    assert [line["epoch"] for line in two] == [1, 2]
    # Before any update differs by rounding, the first epoch's loss is the same sum in another order.
    assert two[0]["loss"] == pytest.approx(one[0]["loss"], rel=1e-3)
    rates = [line[0]["activity"]["hidden0"]["rate"] for line in (one, two)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-2)  # rates of all sequences, not of one part


@pytest.mark.slow
def test_a_killed_process_leaves_a_run_that_continues_with_the_same_bits(two_processes, tmp_path):
    folder = tmp_path / "run"
    assert torchrun(WORKER, "train", folder, 7, *SMALL).returncode != 0  # five updates per epoch: in the second
    assert (folder / "resume.safetensors").exists() and not (folder / "result.json").exists()
    done = torchrun(WORKER, "train", folder, 0, *SMALL)
    assert done.returncode == 0, done.stderr
    for name in ("last.safetensors", "best.safetensors", "resume.safetensors"):
        whole, killed = (checkpoint.read(path / name).tensors for path in (two_processes[0], folder))
        assert whole.keys() == killed.keys()
        assert all(torch.equal(whole[key], killed[key]) for key in whole), name


def test_different_weights_are_found_in_every_process(tmp_path):
    done = torchrun(WORKER, "apart", tmp_path / "error")
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        assert "weights of process 1 of 2 differ" in (tmp_path / f"error.{rank}").read_text()


def test_a_refusal_is_one_line_per_process(two_processes):
    done = torchrun("-m", "hypr", "train", "digits-brf", *SMALL, "--out", two_processes[0])
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("hypr: ")]
    assert len(lines) == 2 and all("holds a run already; continue it with --resume" in line for line in lines)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK is not set; start with 'torchrun"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', must be a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is '2', must be a whole number from 0 to 1"),
        ({"WORLD_SIZE": "2", "MASTER_PORT": "99999"}, "MASTER_PORT is '99999'"),
    ],
)
def test_a_broken_set_up_is_one_line(variables, words, monkeypatch):
    complete = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999"}
    for name in (*complete, "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({} if variables == {"WORLD_SIZE": "2"} else complete | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WORLD_SIZE", variables["WORLD_SIZE"])
    with pytest.raises(GroupError, match=words) as error:
        from_environment()
    assert "\n" not in str(error.value)


def test_a_process_that_waits_in_vain_says_so_in_one_line(monkeypatch):
    from datetime import timedelta

    variables = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(GroupError, match=r"process 1 of 2 found no others at 127\.0\.0\.1:9") as error,
        joined("cpu", timeout=timedelta(seconds=2)),
    ):
        pass
    assert "\n" not in str(error.value)


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert from_environment() == Group()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert from_environment() == Group()


def test_parts_cover_every_batch_once():
    for size in (1, 2, 3, 7):
        for count in range(12):
            covered = [i for rank in range(size) for i in range(count)[Group(rank, size).part(count)]]
            assert covered == list(range(count))


def test_several_processes_do_not_share_a_named_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda", Group(1, 2, 1)) == torch.device("cuda", 1)
    with pytest.raises(GroupError, match="one GPU for 2 processes"):
        choose_device("cuda:0", Group(1, 2, 1))
    with pytest.raises(GroupError, match="has no GPU, there are 2"):
        choose_device("cuda", Group(2, 3, 2))
