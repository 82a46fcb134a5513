"""Data of one's own: files, functions, arrays, events; swapped axes are named, nothing is imported because a file "
"says so."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pytest

from hypr import data, extensions
from hypr.data import own
from hypr.deployment.arrays import read_sequences
from hypr.errors import HyprError

N, T, C = 40, 20, 6


@pytest.fixture
def arrays():
    draw = np.random.default_rng(3)
    return (draw.random((N, T, C)) < 0.2).astype(np.uint8), np.arange(N) % 4


def test_arrays_become_integers_and_divide_into_parts_without_overlap(arrays):
    x, y = arrays
    whole = data.from_arrays(x.astype(np.float32), y, lengths=np.full(N, 15))
    parts = [whole.part(split, seed=1) for split in ("train", "validation", "test")]
    assert sum(map(len, parts)) == N
    assert len({sample.tobytes() for part in parts for sample in part.dense()}) == len({s.tobytes() for s in x})
    assert parts[0].dense().dtype == np.uint8
    assert all(part.mask[:, :15].all() and not part.mask[:, 15:].any() for part in parts)
    assert (whole.part("test", seed=1).dense() == whole.part("test", seed=2).dense()).all()
    assert not np.array_equal(whole.part("train", seed=1).dense(), whole.part("train", seed=2).dense())


def test_given_split_is_kept_and_only_the_validation_part_is_drawn(arrays):
    x, y = arrays
    split = np.array(["train"] * 30 + ["test"] * 10)
    whole = data.from_arrays(x, y, split=split)
    assert (whole.part("test").dense() == x[30:]).all()
    assert len(whole.part("train")) + len(whole.part("validation")) == 30


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": lambda x: x.transpose(1, 0, 2)}, "samples and steps look swapped; give x.transpose"),
        ({"mask": lambda x: np.ones((T, N))}, r"looks like \(steps, samples\): transpose it"),
        ({"mask": lambda x: np.ones((N, C))}, "steps and channels of the inputs look swapped"),
        ({"x": lambda x: x.transpose(0, 2, 1), "lengths": lambda x: np.full(N, T)}, "steps and channels look swapped"),
        ({"x": lambda x: x * 0.37}, "must be whole numbers.*input_scale=1/16"),
        ({"x": lambda x: x[..., 0]}, r"must be \(samples, steps, channels\)"),
        ({"mask": lambda x: np.zeros((N, T))}, "leaves no step"),
        ({"split": lambda x: np.full(N, "trian")}, "split holds 'trian'"),
        ({"lengths": lambda x: np.full(N, T + 1)}, f"allowed: 1 to {T}"),
        ({"classes": lambda x: 2}, "labels go up to 3, but classes is 2"),
    ],
)
def test_what_does_not_fit_is_named(arrays, change, words):
    x, y = arrays
    given = {name: make(x) for name, make in change.items()}
    with pytest.raises(HyprError, match=words):
        data.from_arrays(given.pop("x", x), y, **given)


def test_targets_of_a_regression_keep_their_values(arrays):
    x, _ = arrays
    targets = np.linspace(-1, 1, N, dtype=np.float32)
    part = data.from_arrays(x, targets).part("test")
    assert part.regression and not part.per_step and part.classes == 1
    assert set(part.labels[:, 0].tolist()) <= set(targets.tolist())
    per_step = data.from_arrays(x, np.zeros((N, T, 2), np.float32))
    assert per_step.per_step and per_step.classes == 2
    with pytest.raises(HyprError, match="add the last axis"):
        data.from_arrays(x, np.zeros((N, T), np.float32))


def test_events_give_the_same_integers_as_the_dense_array(arrays):
    x, y = arrays
    times, units = zip(*(np.nonzero(sample) for sample in x), strict=True)
    events = data.from_events([t * 2.0 for t in times], units, y, step=2.0, steps=T, channels=C)
    assert isinstance(events.inputs, data.EventArray)
    assert (events.dense() == x).all()
    order = np.random.default_rng(0).permutation(N)
    dense = data.from_arrays(x, y, input_range=(0, 1))
    for one, other in zip(events.batches(7, order), dense.batches(7, order), strict=True):
        assert (one.inputs == other.inputs).all() and (one.labels == other.labels).all()
    assert (events.part("test").dense() == dense.part("test").dense()).all()
    assert isinstance(events.part("test").inputs, data.EventArray)


def test_several_events_in_a_step_count_up_to_the_limit():
    found = data.from_events([[0, 0, 0, 1], [3]], [[1, 1, 1, 0], [0]], [0, 1], steps=3, most_per_step=2)
    assert found.dense()[0].tolist() == [[0, 2], [1, 0], [0, 0]]
    assert not found.dense()[1].any()  # after the last step: dropped
    assert found.input_high == 2


@pytest.mark.parametrize(
    ("times", "units", "words"),
    [
        ([[0.0]], [[0], [1]], "1 lists of times and 2 of units"),
        ([[-1.0]], [[0]], "at least 0"),
        ([[0.0]], [[0.5]], "units as whole numbers"),
        ([[0.0]], [[9]], "do not fit 2 channels"),
    ],
)
def test_events_that_do_not_fit_are_refused(times, units, words):
    with pytest.raises(HyprError, match=words):
        data.from_events(times, units, [0], channels=2)


class LikeTonic:
    """A data set with the interface of the package tonic: two pixels by one row, two polarities."""

    sensor_size = (2, 1, 2)
    kind = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        return np.array([(0, 0, 0, 0), (1, 0, 1500, 1), (1, 0, 2500, 0)], self.kind), index % 2


def test_a_data_set_of_tonics_interface_is_read_event_by_event():
    found = data.from_tonic(LikeTonic(10), LikeTonic(4), step_us=1000)
    assert found.dense(slice(0, 1))[0].tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    assert len(found.part("test")) == 4 and found.name == "LikeTonic"
    with pytest.raises(HyprError, match="has no sensor_size"):
        data.from_tonic([1, 2])


def test_a_file_loads_by_its_name_and_an_unknown_array_is_refused(arrays, tmp_path):
    x, y = arrays
    path = tmp_path / "mine.npz"
    np.savez(path, inputs=x, labels=y, input_range=[0, 3])
    part = data.load(str(path), "train", seed=4)
    assert part.input_high == 3 and part.split == "train"
    assert data.load(str(path), "train", seed=4, validation=0.5).sha256 != part.sha256
    np.savez(path, inputs=x, labels=y, lables=y)
    with pytest.raises(HyprError, match="unknown array 'lables'"):
        data.load(str(path))
    np.savez(path, input_spikes=x)
    with pytest.raises(HyprError, match="what an engine runs"):
        data.load(str(path))
    np.savez(path, inputs=np.array([{}], dtype=object), labels=y)
    with pytest.raises(HyprError, match=r"damaged or no array of numbers"):
        data.load(str(path))


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_letters.py").write_text(
        textwrap.dedent(
            """
            import numpy as np
            import hypr.data

            def letters(count=40):
                return hypr.data.from_arrays(np.ones((count, 20, 6), np.uint8), np.arange(count) % 4)

            def nothing():
                return 3
            """
        )
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "own_letters"
    sys.modules.pop("own_letters", None)


def test_a_function_gives_data_and_its_arguments_are_options(module):
    assert len(data.load(f"{module}:letters", "test", count=80)) == 16
    with pytest.raises(HyprError, match="unknown option 'cuont'; nearest is 'count'"):
        data.load(f"{module}:letters", "test", cuont=80)
    with pytest.raises(HyprError, match=r"returned a int; return hypr\.data\.from_arrays"):
        data.load(f"{module}:nothing", "test")


def test_code_that_only_a_file_names_is_not_imported(module):
    place = f"{module}:letters"
    with pytest.raises(HyprError, match=f"add --data {place}"):
        data.load(place, "test", trusted=False)
    assert module not in sys.modules
    extensions.permit(place)
    try:
        assert data.load(place, "test", trusted=False).classes == 4
    finally:
        extensions._permitted.discard(place)


def test_an_unknown_name_says_how_own_data_are_named():
    with pytest.raises(HyprError, match=r"unknown data set 'mine'.*a file NAME.npz, or module:function"):
        data.load("mine")


def test_a_data_file_is_found_beside_its_run_and_missed_aloud(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "mine.npz").touch()
    monkeypatch.chdir(tmp_path / "runs")
    recorded = own.relative(tmp_path / "mine.npz", tmp_path / "runs" / "one")
    assert recorded == "../../mine.npz"
    assert own.locate("mine.npz", tmp_path / "runs" / "one", recorded) == tmp_path / "mine.npz"
    with pytest.raises(HyprError, match=r"has moved or is gone.*--data PATH\.npz"):
        own.locate("gone.npz", tmp_path, "gone.npz")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"labels": np.zeros(T, int)}, "steps and samples look swapped"),
        ({"mask": np.ones((N, T))}, "steps and samples look swapped"),
        ({"labels": np.full(N, -1)}, "classes count from 0"),
        ({"label": np.zeros(N, int)}, "unknown array 'label'"),
    ],
)
def test_inputs_of_an_engine_are_checked_with_their_labels_and_mask(arrays, tmp_path, extra, words):
    x = arrays[0].transpose(1, 0, 2)
    np.savez(tmp_path / "inputs.npz", input_spikes=x, **extra)
    with pytest.raises(HyprError, match=words):
        read_sequences(tmp_path / "inputs.npz")
    np.savez(tmp_path / "inputs.npz", input_spikes=x, labels=arrays[1], mask=np.ones((T, N)))
    found = read_sequences(tmp_path / "inputs.npz").first(3)
    assert np.shape(np.asarray(found.values)) == (T, 3, C) and found.mask is not None and found.mask.shape == (T, 3)
