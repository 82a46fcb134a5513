"""The time table by which Lava's steps and the Program's steps correspond (FP-2.3)."""

from __future__ import annotations

import pytest

from hardware.lava.schedule import Schedule

SHAPES = [(1, 1, 1), (1, 3, 1), (5, 1, 4), (5, 3, 2), (7, 4, 1)]


@pytest.mark.parametrize(("steps", "rounds", "group"), SHAPES)
@pytest.mark.parametrize("delay", [0, 1, 3])
def test_every_step_of_every_round_has_exactly_one_place_in_order(steps, rounds, group, delay):
    times = Schedule(delay, steps, rounds, group)
    places = [times.place(s) for s in range(1, times.last_step + 20)]
    expected = [(step, group * round_) for round_ in range(rounds) for step in range(steps)]
    assert [p for p in places if p is not None] == expected
    assert places[times.last_step - 1] == expected[-1]
    assert places[times.last_step :] == [None] * 19


@pytest.mark.parametrize(("steps", "rounds", "group"), SHAPES)
def test_each_layer_does_a_step_one_lava_step_after_the_layer_below(steps, rounds, group):
    below, above = (Schedule(delay, steps, rounds, group) for delay in (1, 2))
    for s in range(1, above.last_step + 3):
        assert above.place(s + 1) == below.place(s)


@pytest.mark.parametrize(("steps", "rounds", "group"), SHAPES)
def test_a_process_rests_before_its_first_step_and_between_rounds(steps, rounds, group):
    times = Schedule(2, steps, rounds, group)
    assert times.place(1) is None and times.place(2) is None
    starts = [s for s in range(1, times.last_step + 1) if (times.place(s) or (-1,))[0] == 0]
    assert len(starts) == rounds
    assert all(times.place(s - 1) is None for s in starts)
