"""The time table by which Lava's steps and the Program's steps correspond (FP-2.3)."""

from __future__ import annotations

import pytest

from hardware.lava.schedule import Schedule

SHAPES = [(1, 1, 1), (1, 3, 1), (5, 1, 4), (5, 3, 2), (7, 4, 1)]


@pytest.mark.parametrize(("steps", "rounds", "group"), SHAPES)
@pytest.mark.parametrize("start", [0, 1, 3])
@pytest.mark.parametrize(("rest", "lead"), [(1, 0), (4, 0), (4, 4)])
def test_every_step_of_every_round_has_exactly_one_place_in_order(steps, rounds, group, start, rest, lead):
    times = Schedule(start, steps, rounds, group, rest, lead)
    places = [times.place(s) for s in range(1, times.last_step + 20)]
    expected = [(step, group * round_) for round_ in range(rounds) for step in range(steps)]
    assert [p for p in places if p is not None] == expected
    assert places[times.last_step - 1] == expected[-1]
    assert places[times.last_step :] == [None] * 19


@pytest.mark.parametrize(("steps", "rounds", "group"), SHAPES)
def test_each_population_does_a_step_as_much_later_as_it_starts_later(steps, rounds, group):
    below = Schedule(1, steps, rounds, group, rest=3)
    above = below.of(4)
    for s in range(1, above.last_step + 3):
        assert above.place(s + 3) == below.place(s)


@pytest.mark.parametrize(("steps", "rounds", "group"), SHAPES)
def test_a_process_rests_before_its_first_step_and_between_rounds(steps, rounds, group):
    times = Schedule(2, steps, rounds, group, rest=3)
    assert times.place(1) is None and times.place(2) is None
    starts = [s for s in range(1, times.last_step + 1) if (times.place(s) or (-1,))[0] == 0]
    assert len(starts) == rounds
    for s in starts[1:]:
        assert [times.place(s - ago) for ago in (1, 2, 3)] == [None] * 3 and times.place(s - 4) is not None


@pytest.mark.parametrize(("steps", "rounds", "group"), SHAPES)
@pytest.mark.parametrize("lead", [0, 2])
def test_a_resting_process_knows_what_comes_next_and_when(steps, rounds, group, lead):
    times = Schedule(1, steps, rounds, group, rest=3, lead=lead)
    for s in range(1, times.last_step + 9):
        if times.place(s) is None:
            following = [(n - s, place) for n in range(s, times.last_step + 1) if (place := times.place(n))]
            if not following:
                assert times.before(s) is None
            else:
                ago, (step, first) = following[0]
                assert step == 0 and times.before(s) == (ago, first)
