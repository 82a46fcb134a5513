"""The picture of a plan: what it shows of the chip, and the traffic between its tiles."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.mapping import make_plan
from hardware.mapping.placement import hops, in_order, links
from hypr.mapping import load_target
from hypr.mapping.picture import caption, draw, utilisation, visible
from hypr.report.pictures import themed_svg
from tests.mapping_networks import ecg, recurrent_chain, two_layers


@pytest.mark.parametrize("seed", range(20))
def test_the_links_of_a_mesh_carry_exactly_the_hops(seed):
    rng = np.random.default_rng(seed)
    target = load_target("loihi1", [f"cores_per_chip={int(rng.integers(5, 129))}"])
    cores = int(rng.integers(2, 150))
    between = rng.random((cores, cores)) * (rng.random((cores, cores)) < 0.3)
    entering = rng.random(cores)
    made = in_order(target, cores)
    carried = [links(target, made, between, entering, chip) for chip in range(made.chips)]
    east, north, _ = hops(made, between, entering)
    assert sum(each[0].sum() for each in carried) == pytest.approx(east)
    assert sum(each[1].sum() for each in carried) == pytest.approx(north)
    assert all(loads.min() > -1e-9 for each in carried for loads in each)


@pytest.mark.parametrize("seed", range(10))
def test_what_stays_on_its_tile_loads_no_link(seed):
    """Neither do the sums and differences in which loads are counted leave a rest."""
    rng = np.random.default_rng(seed)
    target = load_target("loihi2")
    made = in_order(target, 4)
    assert len(set(zip(made.x.tolist(), made.y.tolist(), strict=True))) == 1
    for loads in links(target, made, rng.random((4, 4)), rng.random(4), 0):
        assert not loads.any()


def test_a_message_goes_along_x_first():
    target = load_target("loihi1")
    made = in_order(target, 128)
    between = np.zeros((128, 128))
    start, end = (int(np.flatnonzero((made.x == x) & (made.y == y))[0]) for x, y in ((1, 2), (3, 1)))
    between[start, end] = 5
    east, south = links(target, made, between, np.zeros(128), 0)
    assert sorted(map(tuple, np.argwhere(east == 5).tolist())) == [(0, 1, 2), (0, 2, 2)]
    assert np.argwhere(south == 5).tolist() == [[1, 3, 1]]
    assert east.sum() == 10 and south.sum() == 5


def test_a_small_network_is_shown_with_its_neighbours_and_the_whole_chip_where_it_is_asked_for():
    plan = make_plan(ecg(), load_target("loihi2"))
    assert visible(plan) == (0, 0, 2, 2) and visible(plan, whole=True) == (0, 0, 8, 4)
    assert "4 of the 32 tiles" in caption(plan) and "All 32 tiles" in caption(plan, whole=True)
    assert draw(plan).get_figwidth() < 4 < draw(plan, whole=True).get_figwidth()


def test_every_core_in_use_is_drawn_and_named():
    plan = make_plan(two_layers(), load_target("loihi1"))
    text = themed_svg(draw(plan, title=False))
    assert len(plan.cores) == 27
    left, top, right, bottom = visible(plan)
    assert ((plan.placed.x >= left) & (plan.placed.x < right)).all()
    assert ((plan.placed.y >= top) & (plan.placed.y < bottom)).all()
    labels = text.count(" %")
    assert labels == len(plan.cores) == len(utilisation(plan))
    assert text.count("var(--float)") >= 2 * len(plan.cores), "colours are the page's, light and dark"


def test_chips_beyond_the_first_are_said_to_be_left_out():
    plan = make_plan(recurrent_chain([60, 700, 700, 20]), load_target("loihi1", ["cores_per_chip=4"]))
    assert plan.placed.chips > 2
    assert "of the first 2 of" in caption(plan, 2)
    assert len(draw(plan, 2).axes) == 2
