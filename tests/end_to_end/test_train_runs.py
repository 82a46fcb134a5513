"""Training as a user sees it: folders, refusals, early stop, and going on after a kill with the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hypr.errors import HyprError
from hypr.training import checkpoint, config, runs
from hypr.training.train import TrainingDiverged, train
from tests.paths import ROOT, data_folder

SMALL = ["network.layers.0.width=12", "training.batch=256", "device=cpu", "epochs=4"]


class Recorder:
    """Keeps what training reports."""

    def __init__(self) -> None:
        self.updates = 0
        self.lines: list[dict] = []
        self.ended = 0

    def begin(self, epochs, updates, done):
        self.expected = (epochs - done) * updates

    def update(self, epoch, loss):
        self.updates += 1

    def epoch(self, line):
        self.lines.append(dict(line))

    def end(self):
        self.ended += 1


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(path).tensors


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(config.load("digits-brf", SMALL), folder)
    return folder


def test_a_run_folder_holds_everything_that_was_promised(finished):
    names = {path.name for path in finished.iterdir()}
    assert names - {".lock"} == {
        "config.toml", "environment.json", "metrics.jsonl", "result.json", "curves.png",
        "best.safetensors", "last.safetensors", "resume.safetensors",
    }  # fmt: skip
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert {"loss", "train_accuracy", "validation_accuracy", "lr", "seconds", "activity"} <= set(lines[0])
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["seed"] == 0 and set(environment["data"]) == {"train", "validation", "test"}


def test_a_run_opens_as_the_network_that_was_measured(finished):
    from hypr.training.metrics import evaluate

    result = json.loads((finished / "result.json").read_text())
    for which in ("best", "last"):
        run = runs.open_run(finished, which)
        assert evaluate(run.network, run.load_data("test"), 256).accuracy == result[which]["test"]
    assert runs.open_run(finished).epoch == result["best_epoch"]


@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.9])
def test_best_is_the_last_epoch_within_the_tolerance_of_the_highest_accuracy(tolerance, tmp_path):
    settings = [*SMALL, "epochs=8", "lr=0.3", "optimiser.schedule=constant"]  # goes up and down
    result = train(config.load("digits-brf", [*settings, f"tolerance={tolerance}"]), tmp_path / "run")
    run = runs.open_run(tmp_path / "run")
    accuracies = [line["validation_accuracy"] for line in run.metrics]
    enough = [epoch for epoch, value in enumerate(accuracies, 1) if value >= max(accuracies) - tolerance]
    assert run.epoch == result.best_epoch == enough[-1]
    assert result.best["validation"] == accuracies[result.best_epoch - 1]


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(finished, tmp_path):
    train(config.load("digits-brf", SMALL), tmp_path / "again")
    train(config.load("digits-brf", [*SMALL, "seed=1", "data.split_seed=0"]), tmp_path / "other")
    assert same(weights(finished / "last.safetensors"), weights(tmp_path / "again" / "last.safetensors"))
    assert not same(weights(finished / "last.safetensors"), weights(tmp_path / "other" / "last.safetensors"))


def test_progress_is_told_of_every_update_and_epoch(tmp_path, capsys):
    recorder = Recorder()
    train(config.load("digits-brf", [*SMALL, "epochs=2"]), tmp_path / "run", progress=recorder)
    assert recorder.updates == recorder.expected and len(recorder.lines) == 2 and recorder.ended == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_a_folder_with_a_run_is_not_overwritten(finished):
    with pytest.raises(HyprError, match=r"holds a run already.*--resume"):
        train(config.load("digits-brf", SMALL), finished)


def test_a_folder_whose_run_failed_before_it_began_can_be_used_again(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(tmp_path / "nothing"))
    with pytest.raises(HyprError, match="hypr data fetch qtdb"):
        train(config.load("qtdb-brf"), tmp_path / "run")
    assert train(config.load("digits-brf", [*SMALL, "epochs=1"]), tmp_path / "run").epochs == 1
    with pytest.raises(HyprError, match="holds a run already"):
        train(config.load("digits-brf", SMALL), tmp_path / "run")


def test_resume_with_another_configuration_is_refused(finished):
    with pytest.raises(HyprError, match=r"training\.batch was 256, now 128"):
        train(config.load("digits-brf", [*SMALL, "batch=128"]), finished, resume=True)


def test_resume_of_a_finished_run_returns_its_result(finished):
    before = (finished / "result.json").read_bytes()
    assert train(config.load("digits-brf", SMALL), finished, resume=True).epochs == 4
    assert (finished / "result.json").read_bytes() == before


def test_patience_stops_the_run(tmp_path):
    settings = config.load("digits-brf", [*SMALL, "epochs=30", "patience=1", "lr=1e-12"])
    result = train(settings, tmp_path / "run")
    assert result.stopped_early and result.epochs < 30
    accuracies = [line["validation_accuracy"] for line in runs.open_run(tmp_path / "run").metrics]
    assert result.epochs - (1 + accuracies.index(max(accuracies))) == 1  # an equal accuracy is no better one


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path):
    settings = config.load("digits-brf", [*SMALL, "lr=1e6", "optimiser.kind=sgd"])
    recorder = Recorder()
    with pytest.raises(TrainingDiverged, match=r"epoch \d+, update \d+: .* lower optimiser\.lr") as error:
        train(settings, tmp_path / "run", progress=recorder)
    assert "\n" not in str(error.value)
    assert recorder.ended == 1


def test_damaged_runs_are_refused_in_one_line(finished, tmp_path):
    with pytest.raises(HyprError, match="holds no run"):
        runs.open_run(tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.toml").write_bytes((finished / "config.toml").read_bytes())
    with pytest.raises(HyprError, match=r"has no best\.safetensors yet"):
        runs.open_run(broken)
    (broken / "best.safetensors").write_bytes((finished / "best.safetensors").read_bytes()[:-9])
    with pytest.raises(HyprError, match="damaged or cut short"):
        _ = runs.open_run(broken).network


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("network.layers.0.neuron=brfs", "unknown neuron 'brfs'; nearest is 'brf'"),
        (
            "network.layers.0.options={omega=[1.0, 2.0]}",
            "unknown key 'omega' of neuron 'brf'; nearest is 'omega_range'",
        ),
        ("network.layers.0.options={dt=-1.0}", r"network\.layers\.0\.options: .*positive"),
        ("loss.kind=entropy", "unknown loss"),
        ("loss.ignore_first=64000", "leaves none of the"),
        ("data.options.paddding=3", "nearest is 'padding'"),
    ],
)
def test_a_wrong_value_is_refused_before_training(override, words, tmp_path):
    with pytest.raises(HyprError, match=words):
        train(config.load("digits-brf", [*SMALL, override]), tmp_path / "run")


def test_qtdb_reports_labelled_steps_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(data_folder("qtdb").parent))
    settings = config.load("qtdb-brf", ["network.layers.0.width=4", "epochs=1", "batch=278", "device=cpu"])
    result = train(settings, tmp_path / "run")
    assert {"validation", "test", "validation_labelled", "test_labelled"} == set(result.best)


_SCRIPT = """
import sys
from hypr.training import config
from hypr.training.train import train
train(config.load("digits-brf", sys.argv[2:]), sys.argv[1], resume=True)
"""


def start(folder: Path, settings: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, str(folder), *settings], env=environment, cwd=ROOT)


@pytest.mark.slow
def test_ten_kills_at_random_moments_leave_the_same_bits(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    generator = random.Random(seed)
    settings = ["network.layers.0.width=16", "training.batch=64", "device=cpu", "epochs=40"]
    assert start(tmp_path / "whole", settings).wait() == 0
    kills = 0
    while True:
        process = start(tmp_path / "killed", settings)
        deadline = time.monotonic() + 120
        while not (tmp_path / "killed" / "environment.json").exists() and time.monotonic() < deadline:
            time.sleep(0.02)  # start-up (imports, compiled kernels) is not what is tested
        if kills == 10:
            assert process.wait() == 0
            break
        before = (tmp_path / "killed" / "resume.safetensors").stat().st_mtime_ns if kills else 0
        resume = tmp_path / "killed" / "resume.safetensors"
        while process.poll() is None and (not resume.exists() or resume.stat().st_mtime_ns == before):
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.3))
        if process.poll() is not None:  # it came to its end before all kills: the machine is fast
            assert process.returncode == 0
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 3
    for name in ("last.safetensors", "best.safetensors", "resume.safetensors"):
        assert same(weights(tmp_path / "whole" / name), weights(tmp_path / "killed" / name)), name
    whole, killed = (runs.open_run(tmp_path / name).metrics for name in ("whole", "killed"))
    assert [{**line, "seconds": 0} for line in whole] == [{**line, "seconds": 0} for line in killed]


def test_a_kill_between_two_epochs_leaves_the_same_bits(tmp_path, finished):
    class Stop(Exception):
        pass

    class StopsAfter(Recorder):
        def __init__(self, updates: int) -> None:
            super().__init__()
            self.left = updates

        def update(self, epoch, loss):
            self.left -= 1
            if self.left == 0:
                raise Stop

    settings = config.load("digits-brf", SMALL)
    for updates in (2, 8, 3, 1):  # in the first epoch, in a later one, and again
        with pytest.raises(Stop):
            train(settings, tmp_path / "run", resume=True, progress=StopsAfter(updates))
    train(settings, tmp_path / "run", resume=True)
    for name in ("last.safetensors", "best.safetensors", "resume.safetensors"):
        assert same(weights(finished / name), weights(tmp_path / "run" / name)), name
