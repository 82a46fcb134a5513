"""Decisions, learning-rate schedules and the metrics file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hypr.errors import HyprError
from hypr.training.build import learning_rate
from hypr.training.config import OptimiserConfig
from hypr.training.metrics import MetricsFile, activity, correct, decide, read_metrics


def test_per_step_takes_the_lowest_index_of_a_tie():
    output = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]]])
    assert decide(output, torch.ones(1, 2, dtype=torch.bool), "per_step").tolist() == [[0, 1]]


def test_sum_reads_only_the_steps_that_count():
    output = torch.tensor([[[9.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    counts = torch.tensor([[False, True, True]])
    assert decide(output, counts, "sum").tolist() == [1]
    assert decide(output, torch.ones_like(counts), "sum").tolist() == [0]


def test_correct_counts_steps_or_sequences():
    output = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
    counts = torch.tensor([[True, True], [True, False]])
    assert correct(output, torch.tensor([[0, 0], [0, 0]]), counts, "per_step") == (2, 3)
    assert correct(output, torch.tensor([0, 0]), counts, "per_step") == (2, 3)
    assert correct(output, torch.tensor([0, 1]), counts, "sum") == (1, 2)


@pytest.mark.parametrize(("schedule", "middle"), [("constant", 0.2), ("linear", 0.1), ("cosine", 0.1)])
def test_schedules_start_at_the_rate_and_are_half_way_in_the_middle(schedule, middle):
    config = OptimiserConfig(lr=0.2, schedule=schedule)
    assert learning_rate(config, 0, 100) == 0.2
    assert learning_rate(config, 50, 100) == pytest.approx(middle, rel=1e-12)  # one rounding of the cosine
    rates = [learning_rate(config, update, 100) for update in range(100)]
    assert rates == sorted(rates, reverse=True) and rates[-1] > 0


def test_activity_counts_dead_and_saturated_neurons():
    found = activity({"a": np.array([0.0, 0.6, 0.3]), "r": np.array([-1.0])}, {"a": True, "r": False})
    assert found == {"a": {"rate": pytest.approx(0.3), "dead": 1, "saturated": 1}}


def test_metrics_after_the_last_checkpoint_are_dropped_on_resume(tmp_path):
    file = MetricsFile(tmp_path / "m.jsonl")
    assert file.start(0) == []
    for epoch in (1, 2, 3):
        file.append({"epoch": epoch, "loss": 0.5})
    with file.path.open("a") as stream:
        stream.write('{"epoch": 4, "lo')  # a crash while writing
    assert [line["epoch"] for line in file.start(2)] == [1, 2]
    assert [json.loads(line)["epoch"] for line in file.path.read_text().splitlines()] == [1, 2]


def test_a_damaged_line_in_the_middle_is_refused(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"epoch": 1}\nrubbish\n{"epoch": 2}\n')
    with pytest.raises(HyprError, match="line 2"):
        read_metrics(tmp_path / "m.jsonl")
