"""Data sets: deterministic integers, disjoint splits, clear refusals."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.io.wavfile

from hypr import data
from hypr.data import fsdd, storage
from hypr.data.encodings import integrate_and_fire, level_crossing, thermometer
from hypr.data.mnist import read_idx
from hypr.data.qtdb import read_mat
from hypr.errors import HyprError
from tests.paths import data_folder

SPLITS = ("train", "validation", "test")


def rows(dataset: data.SequenceDataset) -> set[bytes]:
    return {sample.tobytes() for sample in dataset.dense()}


@pytest.mark.parametrize("encoding", ["graded", "spikes", "crossings"])
def test_digits_are_the_same_integers_every_time(encoding):
    first, second = (data.load("digits", "train", encoding=encoding, seed=3) for _ in range(2))
    assert first.sha256 == second.sha256
    assert np.array_equal(first.inputs, second.inputs)
    assert first.inputs.dtype == np.uint8 and first.steps == 64
    assert first.inputs.max() <= first.input_high and first.inputs.min() >= first.input_low


def test_digits_splits_partition_the_images_and_keep_class_shares():
    parts = {split: data.load("digits", split, seed=5) for split in SPLITS}
    assert sum(len(part) for part in parts.values()) == 1797
    assert rows(parts["train"]) | rows(parts["validation"]) | rows(parts["test"]) == {
        np.ascontiguousarray(image, np.uint8).tobytes()
        for image in __import__("sklearn.datasets").datasets.load_digits().images
    }
    for part in parts.values():
        shares = np.bincount(part.labels, minlength=10) / len(part)
        assert np.abs(shares - 0.1).max() < 0.02  # classes hold 174 to 183 of the 1797 images


def test_digits_test_part_is_the_same_for_every_seed_and_the_rest_is_not():
    assert data.load("digits", "test", seed=1).sha256 == data.load("digits", "test", seed=2).sha256
    assert data.load("digits", "train", seed=1).sha256 != data.load("digits", "train", seed=2).sha256


def test_graded_digits_hold_the_pixels_themselves():
    from sklearn.datasets import load_digits

    dataset = data.load("digits", "test", encoding="graded")
    pixels = {image.astype(np.uint8).tobytes() for image in load_digits().images}
    assert rows(dataset) <= pixels
    assert (dataset.input_high, dataset.input_scale) == (16, 1 / 16)


def test_thermometer_counts_the_thresholds_below_a_level():
    levels = np.arange(17).reshape(1, 17, 1)
    thresholds = np.array([0, 4, 8, 12])
    assert thermometer(levels, thresholds).sum(-1)[0].tolist() == [sum(x > t for t in thresholds) for x in range(17)]


def test_level_crossings_sum_to_the_thermometer():
    generator = np.random.default_rng(11)
    levels, thresholds = generator.integers(0, 17, (5, 30, 2)), np.array([0, 5, 10])
    crossings = level_crossing(levels, thresholds).astype(int)
    up, down = np.split(crossings, 2, axis=-1)
    assert np.array_equal(np.cumsum(up - down, axis=1), thermometer(levels, thresholds))


def test_integrate_and_fire_gives_one_spike_per_threshold_of_drive():
    spikes = integrate_and_fire(np.full((1, 100, 1), 0.25), 1.0)
    assert spikes.sum() == 25


def test_qtdb_drops_the_padding_step_and_marks_steps_without_label(monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(data_folder("qtdb").parent))
    parts = {split: data.load("qtdb", split, seed=0) for split in SPLITS}
    assert [len(parts[split]) for split in SPLITS] == [556, 62, 141]
    assert not rows(parts["train"]) & rows(parts["validation"])
    for part in parts.values():
        assert part.inputs.shape[1:] == (1300, 4) and part.inputs.dtype == np.uint8
        assert part.labelled is not None
        assert (part.labels[~part.labelled] == 0).all()
        assert part.mask.all()
    labelled = parts["test"].labelled
    assert labelled is not None
    assert 0.08 < 1 - labelled.mean() < 0.11


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [("mnist", {"limit": 20}, (20, 784, 1)), ("braille", {}, (231, 256, 12)), ("fsdd", {}, (300, 100, 96))],
)
def test_real_files_load_as_integers(name, options, shape, monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(data_folder(name).parent))
    part = data.load(name, "test", **options)
    assert part.inputs.shape == shape
    assert part.dense().any() and len(np.unique(part.labels)) >= 5


def test_permuted_mnist_reorders_the_same_pixels(monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(data_folder("mnist").parent))
    plain, permuted = (data.load("mnist", "test", limit=5, permuted=choice) for choice in (False, True))
    assert np.array_equal(np.sort(plain.inputs, axis=1), np.sort(permuted.inputs, axis=1))
    assert not np.array_equal(plain.inputs, permuted.inputs)


def test_cue_asks_only_after_the_delay_and_shows_the_cue_only_before():
    part = data.load("cue", "train", delay=50, cue_steps=10, recall_steps=5, samples=40)
    assert part.steps == 65 and part.mask.sum() == 40 * 5 and part.mask[:, 60:].all()
    assert not part.inputs[:, 10:60].any()
    shown = part.inputs[:, :10].reshape(40, 10, 3, 5).sum((1, 3)).argmax(-1)
    assert np.array_equal(shown, part.labels)
    assert np.bincount(part.labels).tolist() == [20, 20]


def heidelberg_file(path: Path, units: list[np.ndarray], times: list[np.ndarray], labels: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        spikes = file.create_group("spikes")
        for name, values, kind in (("units", units, np.uint16), ("times", times, np.float16)):
            column = spikes.create_dataset(name, (len(values),), h5py.vlen_dtype(kind))
            for row, value in enumerate(values):
                column[row] = value.astype(kind)
        file["labels"] = np.array(labels, np.uint16)


def test_shd_bins_spikes_by_time_and_channel_group(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(tmp_path))
    times, units = [np.array([0.0, 0.005, 0.0051, 9.0])] * 20, [np.array([0, 4, 699, 10])] * 20
    heidelberg_file(tmp_path / "shd" / "shd_test.h5", units, times, list(range(20)))
    part = data.load("shd", "test", encoding="counts")
    assert part.inputs.shape == (20, 250, 140)
    assert np.argwhere(part.inputs[0]).tolist() == [[0, 0], [1, 0], [1, 139]]  # 9 s is past the last step


@pytest.mark.parametrize(
    ("units", "times", "labels", "words"),
    [
        ([np.array([700])], [np.array([0.1])], [0], "outside"),
        ([np.array([1])], [np.array([np.nan])], [0], "outside"),
        ([np.array([1, 2])], [np.array([0.1])], [0], "as many times"),
        ([np.array([1])], [np.array([0.1])], [20], "labels must be"),
    ],
)
def test_shd_refuses_values_out_of_range(units, times, labels, words, tmp_path, monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(tmp_path))
    heidelberg_file(tmp_path / "shd" / "shd_test.h5", units, times, labels)
    with pytest.raises(HyprError, match=words) as error:
        data.load("shd", "test")
    assert "\n" not in str(error.value)


def test_ssc_has_its_own_validation_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(tmp_path))
    heidelberg_file(tmp_path / "ssc" / "ssc_valid.h5", [np.array([3])] * 2, [np.array([0.1])] * 2, [0, 34])
    assert data.load("ssc", "validation").labels.tolist() == [0, 34]


def qtdb_arrays() -> tuple[np.ndarray, np.ndarray]:
    x, y = np.zeros((2, 1301, 4), np.int16), np.zeros((2, 1301, 6), np.uint8)
    x[:, -1] = -1
    y[..., 0] = 1
    return x, y


def test_a_whole_qtdb_file_is_read(tmp_path):
    x, y = qtdb_arrays()
    scipy.io.savemat(tmp_path / "q.mat", {"x": x, "y": y}, do_compression=True)
    inputs, labels, labelled = read_mat(tmp_path / "q.mat")
    assert inputs.shape == (2, 1300, 4) and not labels.any() and labelled.all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: {"x": x[:, :1300], "y": y}, "must have shape"),
        (lambda x, y: {"x": x}, "not a readable"),
        (lambda x, y: {"x": np.where(x == 0, np.nan, x), "y": y}, "0 and 1 only"),
        (lambda x, y: {"x": x + 2, "y": y}, "0 and 1 only"),
        (lambda x, y: {"x": x, "y": np.ones_like(y)}, "one-hot"),
        (lambda x, y: {"x": x[:1], "y": y}, "must agree"),
    ],
)
def test_a_wrong_qtdb_file_is_refused_in_one_line(change, words, tmp_path):
    scipy.io.savemat(tmp_path / "q.mat", change(*qtdb_arrays()), do_compression=True)
    with pytest.raises(HyprError, match=words) as error:
        read_mat(tmp_path / "q.mat")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", [0, 50, 127, 128, 140, 300])
def test_a_truncated_qtdb_file_is_refused_in_one_line(length, tmp_path):
    x, y = qtdb_arrays()
    scipy.io.savemat(tmp_path / "q.mat", {"x": x, "y": y}, do_compression=True)
    whole = (tmp_path / "q.mat").read_bytes()
    assert length < len(whole)
    (tmp_path / "q.mat").write_bytes(whole[:length])
    with pytest.raises(HyprError) as error:
        read_mat(tmp_path / "q.mat")
    assert "\n" not in str(error.value)


def idx(shape: tuple[int, ...], extra: bytes = b"") -> bytes:
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    return header + bytes(int(np.prod(shape))) + extra


def test_idx_files_are_read_and_damaged_ones_refused(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx((2, 3, 4))))
    assert read_idx(path, 3).shape == (2, 3, 4)
    for damaged in (
        gzip.compress(idx((2, 3, 4)))[:-5],
        gzip.compress(idx((2, 3, 4), b"x")),
        gzip.compress(b"no"),
        b"no",
    ):
        path.write_bytes(damaged)
        with pytest.raises(HyprError, match=r"images\.gz"):
            read_idx(path, 3)


def test_mnist_of_other_content_is_refused(tmp_path):
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx((10_000,))))
    with pytest.raises(HyprError, match="content is not that of MNIST"):
        read_idx(path, 1)


def test_a_recording_of_another_rate_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(tmp_path))
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    scipy.io.wavfile.write(folder / "0_anna_0.wav", 16_000, np.zeros(100, np.int16))
    with pytest.raises(HyprError, match="8000 Hz"):
        fsdd.read_wav(folder / "0_anna_0.wav")
    with pytest.raises(HyprError, match="fewer than 3,000 recordings; run 'hypr data fetch fsdd'"):
        data.load("fsdd", "test")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: data.load("digit"), "nearest is 'digits'"),
        (lambda: data.load("digits", "tests"), "nearest is 'test'"),
        (lambda: data.load("digits", encoding="spike"), "nearest is 'spikes'"),
        (lambda: data.load("digits", paddings=1), "nearest is 'padding'"),
        (lambda: data.load("digits", padding="1"), "must be int"),
        (lambda: data.load("digits", padding=-1), "choose 0 to"),
        (lambda: data.load("cue", delay=-5), "choose 0 to"),
    ],
)
def test_wrong_names_and_options_name_the_right_ones(call, words):
    with pytest.raises(HyprError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["qtdb", "mnist", "braille", "fsdd", "shd", "ssc"])
def test_missing_files_say_how_to_get_them(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HYPR_DATA", str(tmp_path))
    with pytest.raises(HyprError, match=f"hypr data fetch {name}"):
        data.load(name)
    assert not {entry.name: entry.present for entry in data.catalogue()}[name]


def served(tmp_path: Path, content: bytes, **fields: Any) -> storage.RemoteFile:
    source = tmp_path / "source"
    source.write_bytes(content)
    return storage.RemoteFile("file.bin", source.as_uri(), **fields)


def test_a_download_is_checked_and_whole(tmp_path):
    good = served(tmp_path, b"content", sha256=hashlib.sha256(b"content").hexdigest())
    storage.download(tmp_path / "set", good)
    assert (tmp_path / "set" / "file.bin").read_bytes() == b"content"
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["file.bin"]


def test_a_download_with_another_hash_leaves_nothing(tmp_path):
    with pytest.raises(HyprError, match="sha256 is"):
        storage.download(tmp_path / "set", served(tmp_path, b"content", sha256="0" * 64))
    assert not (tmp_path / "set").exists()


def test_an_address_that_does_not_answer_says_where_to_copy_the_file(tmp_path):
    nowhere = storage.RemoteFile("file.bin", "http://127.0.0.1:9/file.bin")  # the discard port: nothing listens
    with pytest.raises(HyprError, match=r"without network, copy the file to .*file\.bin"):
        storage.download(tmp_path / "set", nowhere)


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/recordings/../../../evil.wav", b"1")
        archive.writestr("x/recordings/good.wav", b"2")
    file = storage.RemoteFile("recordings/", (tmp_path / "a.zip").as_uri(), archive="zip")
    storage.download(tmp_path / "deep" / "set", file)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.wav")}
    assert written == {"deep/set/recordings/evil.wav", "deep/set/recordings/good.wav"}


def test_a_data_set_with_values_outside_its_format_is_refused():
    good = data.load("cue", "train", delay=5, samples=4)
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__ if name != "sha256"}
    for change, words in (
        ({"inputs": good.dense() + np.uint8(2)}, "outside the declared"),
        ({"inputs": good.dense().astype(np.float32)}, "uint8 or int16"),
        ({"labels": good.labels + 2}, "outside 0 to 1"),
        ({"mask": good.mask[:, 1:]}, "mask must be bool"),
    ):
        with pytest.raises(HyprError, match=words):
            data.SequenceDataset(**{**fields, **change})
