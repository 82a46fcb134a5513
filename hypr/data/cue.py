"""Cue task, generated: remember which of two cues appeared at the start, over a delay of any length."""

from __future__ import annotations

import numpy as np

from hypr.data.dataset import SPLITS, SequenceDataset
from hypr.data.registry import DatasetSpec, register
from hypr.errors import HyprError

GROUPS = 3  # cue A, cue B, recall
CUE_RATE = 0.5


def _load(
    split: str,
    encoding: str,
    seed: int,
    delay: int,
    cue_steps: int,
    recall_steps: int,
    group: int,
    noise: float,
    samples: int,
) -> SequenceDataset:
    for name, value, low, high in (
        ("delay", delay, 0, 1_000_000),
        ("cue_steps", cue_steps, 1, 10_000),
        ("recall_steps", recall_steps, 1, 10_000),
        ("group", group, 1, 1000),
        ("noise", noise, 0, 0.5),
        ("samples", samples, 2, 1_000_000),
    ):
        if not low <= value <= high:
            raise HyprError(f"data set 'cue': option '{name}' is {value}; choose {low} to {high}")
    count = samples if split == "train" else max(2, samples // 4)
    generator = np.random.default_rng([seed, SPLITS.index(split)])
    inputs, labels, mask = generate(generator, count, delay, cue_steps, recall_steps, group, noise)
    return SequenceDataset(
        name="cue",
        split=split,
        inputs=inputs,
        labels=labels,
        mask=mask,
        classes=2,
        input_low=0,
        input_high=1,
        input_scale=1.0,
        encoding=encoding,
        description=f"cue of {cue_steps} steps, delay of {delay}, answer asked for in the last {recall_steps}",
    )


def generate(
    generator: np.random.Generator, count: int, delay: int, cue_steps: int, recall_steps: int, group: int, noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw cue sequences.

    Args:
        generator: source of randomness.
        count: number of sequences; half of them show either cue.
        delay: steps between the cue and the recall signal.
        cue_steps, recall_steps: lengths of both in steps.
        group: channels per cue and for the recall signal; each spikes with probability 0.5 while its group is active.
        noise: probability of a spike in any channel at any step besides.

    Returns:
        inputs uint8 (count, cue_steps + delay + recall_steps, 3 group), labels int64 (count,), mask bool: True in the
        recall steps.
    """
    steps = cue_steps + delay + recall_steps
    labels = generator.permutation(np.arange(count) % 2).astype(np.int64)
    inputs = np.zeros((count, steps, GROUPS * group), np.uint8)
    cue = (generator.random((count, cue_steps, group)) < CUE_RATE).astype(np.uint8)
    for label in (0, 1):
        shown = labels == label
        inputs[shown, :cue_steps, label * group : (label + 1) * group] = cue[shown]
    recall = generator.random((count, recall_steps, group)) < CUE_RATE
    inputs[:, cue_steps + delay :, 2 * group :] = recall
    if noise > 0:
        inputs |= (generator.random(inputs.shape) < noise).astype(np.uint8)
    mask = np.zeros((count, steps), bool)
    mask[:, cue_steps + delay :] = True
    return inputs, labels, mask


register(
    DatasetSpec(
        name="cue",
        description="remember a cue over a delay of any length; generated",
        origin="generated; after the cue task of Baronig et al., arXiv 2506.14464",
        loader=_load,
        encodings=("spikes",),
        options={"delay": 1000, "cue_steps": 20, "recall_steps": 20, "group": 5, "noise": 0.0, "samples": 256},
    )
)
