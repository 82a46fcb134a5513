"""Free Spoken Digit Dataset: spoken digits at 8 kHz through a mel filter bank into spikes or graded levels."""

from __future__ import annotations

import io
import re
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np

from hypr.data import storage
from hypr.data.dataset import SequenceDataset
from hypr.data.encodings import integrate_and_fire, level_crossing, thermometer
from hypr.data.registry import DatasetSpec, register
from hypr.data.splits import select
from hypr.errors import HyprError

RATE_HZ = 8000
MOST_BYTES = 2**22
VALIDATION_FRACTION = 0.1
TEST_INDICES = range(5)  # official split: recordings 0 to 4 of each digit and speaker are the test part
_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
FILES = (
    storage.RemoteFile(
        "recordings/",
        "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/heads/master.zip",
        archive="zip",
        members=3000,
    ),
)
GRADED_HIGH = 15
FLOOR_DB = -60.0
"""Levels are cut this far below the loudest moment of the recording: quieter is background."""


def _load(
    split: str, encoding: str, seed: int, channels: int, step_ms: float, steps: int, levels: int
) -> SequenceDataset:
    for name, value, low, high in (
        ("channels", channels, 4, 128),
        ("step_ms", step_ms, 1, 50),
        ("steps", steps, 10, 2000),
        ("levels", levels, 1, 15),
    ):
        if not low <= value <= high:
            raise HyprError(f"data set 'fsdd': option '{name}' is {value}; choose {low} to {high}")
    (folder,) = storage.require("fsdd", "recordings")
    if not storage.is_whole(folder.parent, FILES[0]):
        raise HyprError(
            f"data set 'fsdd': {folder} is not whole, it holds fewer than {FILES[0].members:,} recordings; run "
            "'hypr data fetch fsdd'"
        )
    names = _official(folder, "test" if split == "test" else "train")
    labels = np.array([int(name[0]) for name in names], np.int64)
    if split != "test":
        index = select(labels, split, VALIDATION_FRACTION, seed)
        names, labels = [names[i] for i in index], labels[index]
    level = np.zeros((len(names), steps, channels))
    for row, name in enumerate(names):
        sound = mel_levels(read_wav(folder / name), channels, step_ms)[:steps]
        level[row, steps - len(sound) :] = sound  # silence first: every sequence ends with its word
    inputs, high, scale = _encode(level, encoding, levels)
    return SequenceDataset(
        name="fsdd",
        split=split,
        inputs=inputs,
        labels=labels,
        mask=np.ones(inputs.shape[:2], bool),
        classes=10,
        input_low=0,
        input_high=high,
        input_scale=scale,
        encoding=encoding,
        description=f"spoken digits, {channels} mel bands in steps of {step_ms:g} ms, silence before the word",
    )


def _official(folder: Path, part: str) -> list[str]:
    """Names of the recordings of one part, sorted."""
    names = []
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and (int(match[3]) in TEST_INDICES) == (part == "test"):
            names.append(path.name)
    if not names:
        raise HyprError(f"{folder}: holds no recordings named DIGIT_SPEAKER_INDEX.wav; run 'hypr data fetch fsdd'")
    return names


def read_wav(path: Path) -> np.ndarray:
    """Read one recording.

    Returns:
        float64 (samples,) in [-1, 1).

    Raises:
        HyprError: where the file is damaged, or not mono 16-bit sound at 8 kHz.
    """
    import scipy.io.wavfile  # only needed here

    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path.stat().st_size:,} bytes, the limit is {MOST_BYTES:,}")
        with warnings.catch_warnings():
            warnings.simplefilter("error", scipy.io.wavfile.WavFileWarning)  # a file cut short is no more than that
            rate, sound = scipy.io.wavfile.read(io.BytesIO(path.read_bytes()))
    except Exception as error:  # scipy raises many kinds for a damaged file
        raise HyprError(
            f"{path}: not a readable wav file ({' '.join(str(error).split())[:80]}); run 'hypr data fetch fsdd'"
        ) from None
    if rate != RATE_HZ or sound.dtype != np.int16 or sound.ndim != 1 or not len(sound):
        raise HyprError(
            f"{path}: must be mono 16-bit sound at {RATE_HZ} Hz, got {rate} Hz, {sound.dtype}, shape {sound.shape}"
        )
    return sound / 32768.0


def mel_levels(sound: np.ndarray, channels: int, step_ms: float) -> np.ndarray:
    """Loudness per mel band and time step.

    Args:
        sound: float (samples,) at 8 kHz.
        channels: number of mel bands from 60 Hz to 4 kHz.
        step_ms: length of a step; the analysis window is 32 ms long.

    Returns:
        float (T, channels) in [0, 1]: 0 at 60 dB below the loudest value of the recording, 1 at that value.
    """
    window, hop = 256, max(1, round(step_ms * RATE_HZ / 1000))
    padded = np.concatenate([np.zeros(window // 2), sound, np.zeros(window)])
    starts = np.arange(0, len(sound), hop)
    frames = padded[starts[:, None] + np.arange(window)] * np.hanning(window)
    power = np.abs(np.fft.rfft(frames, axis=-1)) ** 2
    energy = power @ mel_filters(channels, window).T
    decibel = 10 * np.log10(np.maximum(energy, 1e-12))
    return np.clip((decibel - decibel.max()) / -FLOOR_DB + 1, 0, 1)


@lru_cache(maxsize=8)
def mel_filters(channels: int, window: int) -> np.ndarray:
    """Triangular filters, equally spaced in mel: float (channels, window // 2 + 1)."""
    frequency = np.fft.rfftfreq(window, 1 / RATE_HZ)
    bottom, top = (2595 * float(np.log10(1 + hertz / 700)) for hertz in (60.0, RATE_HZ / 2))
    mel = np.linspace(bottom, top, channels + 2)
    edge = 700 * (10 ** (mel / 2595) - 1)
    low, centre, high = edge[:-2, None], edge[1:-1, None], edge[2:, None]
    rise, fall = (frequency - low) / (centre - low), (high - frequency) / (high - centre)
    filters = np.maximum(0, np.minimum(rise, fall))
    nearest = np.abs(frequency - centre).argmin(axis=1)  # bands narrower than the frequency grid keep their nearest bin
    filters[np.arange(channels), nearest] = np.maximum(filters[np.arange(channels), nearest], 0.1)
    return filters / filters.sum(axis=1, keepdims=True)


def _encode(level: np.ndarray, encoding: str, levels: int) -> tuple[np.ndarray, int, float]:
    if encoding == "graded":
        return np.floor(level * (GRADED_HIGH + 0.999)).astype(np.uint8), GRADED_HIGH, 1 / 16
    if encoding == "rate":
        return integrate_and_fire(np.maximum(level - 0.3, 0), 0.5), 1, 1.0
    steps = np.floor(level * 16).astype(np.int64)
    thresholds = 16 - np.floor((np.arange(levels, 0, -1)) * 12 / (levels + 1)).astype(np.int64)
    if encoding == "spikes":
        return thermometer(steps, thresholds), 1, 1.0
    return level_crossing(steps, thresholds), 1, 1.0


register(
    DatasetSpec(
        name="fsdd",
        description=(
            "3000 spoken digits of six speakers through a mel filter bank; official test part (recordings 0 to 4)"
        ),
        origin="Free Spoken Digit Dataset (Jakobovski/free-spoken-digit-dataset), CC BY-SA 4.0",
        loader=_load,
        encodings=("spikes", "graded", "crossings", "rate"),
        options={"channels": 32, "step_ms": 10.0, "steps": 100, "levels": 3},
        files=FILES,
    )
)
