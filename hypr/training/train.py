"""Training by a configuration: epochs, metrics, checkpoints, and going on after a kill as if nothing had happened.

Nothing random carries over from one epoch to the next: the order of samples and every generator are functions of the
seed and the number of the epoch. So the state of a run is its weights, the optimiser's moments and the number of epochs
done, and one file holds all three.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hypr.cli.progress import Silent, TrainingProgress
from hypr.data import Batch
from hypr.errors import HyprError
from hypr.network import Network
from hypr.training import checkpoint, distributed, runs
from hypr.training.activity import FILE as START
from hypr.training.activity import Watch, fit_start_, gradient_size, learning_factors, read_start
from hypr.training.build import (
    build_optimiser,
    derived_seed,
    learning_rate,
    rule_of,
    scaled_rate,
    starting_network,
)
from hypr.training.config import Config, dump
from hypr.training.curves import draw_curves
from hypr.training.data import load_data
from hypr.training.distributed import Group, GroupError
from hypr.training.folder import prepare_folder
from hypr.training.metrics import Evaluation, MetricsFile, activity, correct, evaluate, read_metrics
from hypr.training.recorded import settled, written
from hypr.training.stage import cost_line, engine_of, kept, stage_of


class TrainingDiverged(HyprError):
    """The loss or the gradient is no longer finite."""


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run reached.

    Attributes:
        path: folder of the run.
        epochs: that were trained.
        stopped_early: True where patience ended the run.
        best_epoch: last epoch with the highest validation accuracy, or one within ``training.tolerance`` of it.
        best, last: accuracies of the two networks: ``validation``, ``test`` and, where steps without a label exist,
            ``test_labelled``.
        seconds: of training and validation over all sessions of the run.
    """

    path: Path
    epochs: int
    stopped_early: bool
    best_epoch: int
    best: dict[str, float]
    last: dict[str, float]
    seconds: float


@dataclass
class _State:
    """What changes from epoch to epoch."""

    epoch: int = 0
    best_epoch: int = 0
    highest_epoch: int = 0
    highest_accuracy: float = -math.inf
    seconds: float = 0.0


def train(
    config: Config, out: str | Path, resume: bool = False, progress: TrainingProgress | None = None
) -> TrainingResult:
    """Train a network and write the folder of the run; under torchrun as one of several processes that share each
    batch (:mod:`hypr.training.distributed`), of which the first writes and reports.

    Args:
        config: of the run.
        out: folder, made where missing.
        resume: continue what is in the folder; on a CPU the weights become those of an uninterrupted run of as many
            processes, bit for bit.
        progress: is told of every update and epoch.

    Raises:
        HyprError: for a folder that holds a run (without ``resume``) or another one (with it), for damaged files and
            missing data.
        TrainingDiverged: where the loss is no longer finite.
    """
    folder = Path(out)
    config = settled(config, written(folder / runs.CONFIG) if resume else None)
    finished = resume and (folder / runs.RESULT).exists()
    engine = None if config.quantization is None or finished else engine_of(config)
    with distributed.joined(config.device) as (group, device), contextlib.ExitStack() as held:
        group.check_same("configuration and folder", text=f"{dump(config)}{folder.absolute()}{resume}")
        group.leader_first(lambda: prepare_folder(config, folder, resume, held))
        if not (folder / runs.CONFIG).exists():
            raise GroupError(f"{folder}: process {group.rank} does not see it; use a folder that all processes share")
        if finished:
            return _read_result(folder)
        progress = Silent() if progress is None or not group.leader else progress
        with _reproducible(config), kept(engine):
            trainer = _Trainer(config, folder, progress, group, device, engine)
            try:
                trainer.run()
            finally:
                progress.end()
            return trainer.finish()


class _Trainer:
    """The loop over epochs."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        progress: TrainingProgress,
        group: Group,
        device: torch.device,
        engine: Any,
    ) -> None:
        self.config, self.folder, self.progress = config, folder, progress
        self.group, self.device = group, device
        self.warn: Callable[[str], None] = getattr(progress, "warn", lambda text: None)  # others' objects may lack it
        self.note: Callable[[str], None] = getattr(progress, "note", lambda text: None)
        self.place = runs.data_place(config, folder)
        self.data = {split: load_data(config, split, self.place) for split in ("train", "validation")}
        self.network = starting_network(config, self.data["train"], folder).to(self.device)
        self.watch = Watch.of(self.network, config.training.stop_dead)
        factors = self._start_activity()
        self.rule = rule_of(config, self.network)
        self.optimiser, self.names = build_optimiser(config.optimiser, self.network, factors)
        self.stage = stage_of(config, self.network, self.data["train"], folder, group, engine)
        self.updates = math.ceil(len(self.data["train"]) / config.training.batch)
        self.state = _State()
        self.metrics = MetricsFile(folder / runs.METRICS)
        resumed = (folder / runs.RESUME).exists()
        if resumed:
            self._restore()
            before = read_metrics(self.metrics.path) if self.metrics.path.exists() else []
            for line in before:  # warnings count epochs from the first on
                if line["epoch"] <= self.state.epoch and "first_gradient" in line:
                    self.watch.epoch(line["activity"], line["first_gradient"])
        hashes = {split: data.sha256 for split, data in self.data.items()}
        self._check_weights(f"{hashes}{self.state.epoch}")  # before the first process writes what others still read
        self.lines: list[dict[str, Any]] = []
        if group.leader:
            if not resumed:
                known = runs.environment(config, self.data, self.network, device, folder, group.size)
                runs.write_json(folder / runs.ENVIRONMENT, known)
            self.lines = self.metrics.start(self.state.epoch)

    def run(self) -> None:
        """All epochs that are left."""
        if self.stage is not None and self.stage.engine is not None:
            left = self.updates * (self.config.training.epochs - self.state.epoch)
            batch = -(-self.config.training.batch // self.group.size)
            self.note(cost_line(self.stage, self.rule, self.data["train"], batch, left))
        self.progress.begin(self.config.training.epochs, self.updates, self.state.epoch)
        while self.state.epoch < self.config.training.epochs and not self._out_of_patience():
            started = time.perf_counter()
            line = self._epoch(self.state.epoch + 1)
            warnings = self.watch.epoch(line["activity"], line["first_gradient"])
            validation = self._evaluate(self.network, "validation")
            self.state.epoch += 1
            line |= {"validation_accuracy": validation.accuracy}
            if validation.labelled_accuracy is not None:
                line["validation_labelled_accuracy"] = validation.labelled_accuracy
            line["seconds"] = time.perf_counter() - started
            self.state.seconds += line["seconds"]
            if warnings:
                line["warnings"] = warnings
            self._check_weights()
            self._commit(line)
            self.progress.epoch(line)
            for text in warnings:
                self.warn(f"epoch {line['epoch']}: {text}")

    def finish(self) -> TrainingResult:
        """Test accuracies, the picture and the result file."""
        self.data["test"] = load_data(self.config, "test", self.place)
        if self.group.leader:
            draw_curves(self.folder / runs.CURVES, self.lines, self.config.name)
            known = runs.read_json(self.folder / runs.ENVIRONMENT)
            known["data"]["test"] = self.data["test"].sha256
            runs.write_json(self.folder / runs.ENVIRONMENT, known)
        # The sum over processes inside evaluate() of the last epoch does not say that the file of its weights is
        # written: wait for the first process.
        self.group.check_same("test data", text=self.data["test"].sha256)
        best = runs.rebuild(checkpoint.read(self.folder / runs.BEST)).to(self.device)
        result = TrainingResult(
            path=self.folder,
            epochs=self.state.epoch,
            stopped_early=self.state.epoch < self.config.training.epochs,
            best_epoch=self.state.best_epoch,
            best=self._accuracies(best),
            last=self._accuracies(self.network),
            seconds=self.state.seconds,
        )
        if self.group.leader:
            self._write_result(result)
        return result

    def _write_result(self, result: TrainingResult) -> None:
        content = asdict(result) | {"path": None, "parameters": sum(p.numel() for p in self.network.parameters())}
        content |= {"name": self.config.name, "rule": self.config.rule.name, "seed": self.config.training.seed}
        content |= {
            "decision": dict(self.network.decision),
            "metric": "r2" if self.data["test"].regression else "accuracy",
        }
        runs.write_json(self.folder / runs.RESULT, {key: value for key, value in content.items() if value is not None})

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """One pass over the training part; returns its part of the metrics line."""
        training = self.config.training
        torch.manual_seed(derived_seed(training.seed, epoch))
        order = np.random.default_rng([training.seed, epoch]).permutation(len(self.data["train"]))
        loss = norm = self.first_gradient = 0.0
        right, decisions = 0.0, 0
        rates = {
            name: np.zeros(layer.n) for name, layer in zip(self.network.layer_names(), self.network.layers, strict=True)
        }
        lr = 0.0
        for number, batch in enumerate(self.data["train"].batches(training.batch, order)):
            lr = learning_rate(
                self.config.optimiser, (epoch - 1) * self.updates + number, training.epochs * self.updates
            )
            value, gradient_norm, hits, count = self._update(batch, lr, epoch, number)
            share = len(batch.labels) / len(order)
            loss, norm = loss + value * share, norm + gradient_norm * share
            right, decisions = right + hits, decisions + count
            part = self.group.part(len(batch.labels))
            own = (part.stop - part.start) / len(order)
            for name, rate in self.rule.rates.items() if own else ():
                rates[name] += rate.double().cpu().numpy() * own
            self.progress.update(epoch, value)
        right_of_all, all_decisions = self.group.sum([right, decisions])
        spiking = dict(zip(self.network.layer_names(), (layer.spiking for layer in self.network.layers), strict=True))
        return {
            "epoch": epoch,
            "loss": loss,
            "train_accuracy": right_of_all / max(all_decisions, 1),
            "lr": lr,
            "gradient_norm": norm,
            "first_gradient": self.first_gradient,
            "activity": activity(self._over_all(rates), spiking),
        }

    def _update(self, batch: Batch, lr: float, epoch: int, number: int) -> tuple[float, float, float, int]:
        """One update; returns loss, gradient norm, right decisions and all decisions."""
        counts = batch.mask.copy()
        counts[:, : self.network.decision["ignore_first"]] = False
        inputs, labels, mask = torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels), torch.from_numpy(counts)
        self.optimiser.zero_grad(set_to_none=True)
        with self._dynamics(self.network):
            loss = self.group.backward(self.rule, inputs.to(self.device), labels.to(self.device), mask.to(self.device))
        clip = self.config.optimiser.clip
        gradient = gradient_size(self.network)
        self.first_gradient = max(self.first_gradient, gradient)
        if epoch == 1 and number == 0:
            self._look_at_first_batch(gradient)
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), math.inf if clip is None else clip))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise TrainingDiverged(
                f"{self.folder}: epoch {epoch}, update {number + 1}: loss is {loss}, gradient norm {norm}; lower "
                f"optimiser.lr (now {lr:.3g}) "
                f"or set optimiser.clip=1; weights of the epoch before are in {runs.LAST}"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = scaled_rate(self.config.optimiser, lr, group.get("factor", 1.0))
        self.optimiser.step()
        self.network.constrain_()
        part = self.group.part(len(labels))
        hits, count = 0.0, 0
        if part.stop > part.start:
            assert self.rule.output is not None  # set by backward
            decision = str(self.network.decision["rule"])
            hits, count = correct(self.rule.output.cpu(), labels[part], mask[part], decision)
        return loss, norm, hits, count

    def _start_activity(self) -> dict[str, float]:
        """Make the layers of a fresh network fire where the configuration says so; factors of learning rates."""
        settings = self.config
        done = self.group.sum([(self.folder / runs.RESUME).exists() and self.group.leader])[0]  # as the first one sees
        if settings.network.initial == "data" and settings.training.initial is None and not done:
            found, warnings = fit_start_(self.network, self.data["train"], settings.training.seed)
            growth = torch.tensor([one.growth for one in found], dtype=torch.float64)
            self.group.share_([*self.network.state_dict().values(), growth])
            layers = [asdict(one) | {"growth": float(value)} for one, value in zip(found, growth, strict=True)]
            self.group.leader_first(lambda: runs.write_json(self.folder / START, {"layers": layers}))
            for text in warnings:
                self.warn(text)
        return learning_factors(self.network, read_start(self.folder)) if settings.optimiser.follow_initial else {}

    def _look_at_first_batch(self, gradient: float) -> None:
        names = self.network.layer_names()
        rates = self._over_all({name: rate.double().cpu().numpy() for name, rate in self.rule.rates.items()})
        for text in self.watch.first_batch(
            {name: float(rates[name].mean()) for name in names if name in rates}, gradient
        ):
            self.warn(text)

    def _check_weights(self, text: str = "") -> None:
        """Every process must have come to the same weights, bit for bit."""
        self.group.check_same("weights or data", dict(self.network.state_dict()), text)

    def _over_all(self, rates: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        sums = self.group.sum_vectors({name: torch.from_numpy(rate) for name, rate in rates.items()})
        return {name: value.numpy() for name, value in sums.items()}

    def _commit(self, line: dict[str, Any]) -> None:
        """Make the epoch count: everything else first, the file to resume from last."""
        accuracy = line["validation_accuracy"]
        details = {"epoch": self.state.epoch, "validation_accuracy": accuracy}
        if accuracy > self.state.highest_accuracy:
            self.state.highest_epoch, self.state.highest_accuracy = self.state.epoch, accuracy
        if accuracy >= self.state.highest_accuracy - self.config.training.tolerance:
            self.state.best_epoch = self.state.epoch
            if self.group.leader:
                runs.save_weights(self.folder / runs.BEST, self.network, details)
        if not self.group.leader:
            return
        runs.save_weights(self.folder / runs.LAST, self.network, details)
        self.metrics.append(line)
        self.lines.append(line)
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        tensors |= checkpoint.optimiser_tensors(self.optimiser, self.names)
        checkpoint.save(self.folder / runs.RESUME, tensors, asdict(self.state))

    def _restore(self) -> None:
        saved = checkpoint.read(self.folder / runs.RESUME)
        try:
            fields = {name: type(value)(saved.details[name]) for name, value in asdict(self.state).items()}
        except (KeyError, TypeError, ValueError):
            raise HyprError(f"{saved.path}: details are incomplete; delete the folder and train again") from None
        checkpoint.load_weights(self.network, saved, "network/")
        checkpoint.restore_optimiser(self.optimiser, self.names, saved)
        self.state = _State(**fields)

    def _out_of_patience(self) -> bool:
        patience = self.config.training.patience
        return patience is not None and self.state.epoch - self.state.highest_epoch >= patience

    def _evaluate(self, network: Network, split: str) -> Evaluation:
        with self._dynamics(network):
            return evaluate(network, self.data[split], self.config.training.evaluation_batch, self.group)

    def _dynamics(self, network: Network) -> contextlib.AbstractContextManager[Any]:
        """Integers inside the ``with`` block where the run trains on them, else nothing."""
        if self.stage is None:
            return contextlib.nullcontext()
        return self.stage.of(network).active()

    def _accuracies(self, network: Network) -> dict[str, float]:
        found = {split: self._evaluate(network, split) for split in ("validation", "test")}
        accuracies = {split: value.accuracy for split, value in found.items()}
        labelled = {f"{split}_labelled": value.labelled_accuracy for split, value in found.items()}
        return accuracies | {name: value for name, value in labelled.items() if value is not None}


@contextlib.contextmanager
def _reproducible(config: Config) -> Iterator[None]:
    """Deterministic operations where asked for; restores what was set before."""
    state = torch.get_rng_state()
    change = config.deterministic and not torch.are_deterministic_algorithms_enabled()
    if change:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if change:
            torch.use_deterministic_algorithms(False)


def _read_result(folder: Path) -> TrainingResult:
    content = runs.read_json(folder / runs.RESULT)
    try:
        names = ("epochs", "stopped_early", "best_epoch", "best", "last", "seconds")
        return TrainingResult(path=folder, **{name: content[name] for name in names})
    except KeyError as error:
        raise HyprError(f"{folder / runs.RESULT}: has no {error}; delete it and use --resume") from None
