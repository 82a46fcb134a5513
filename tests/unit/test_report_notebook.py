"""Tables and pictures for notebooks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hypr.errors import HyprError
from hypr.report import FLOAT, panels, picture, table


def test_a_table_is_html_in_a_notebook_and_text_in_a_terminal():
    shown = table(["engine", "accuracy"], [("a<b", 0.91234), ("lava", None)])
    assert "<th>engine</th>" in shown._repr_html_()
    assert "<td>a&lt;b</td><td>0.9123</td>" in shown._repr_html_() and "<td>-</td>" in shown._repr_html_()
    assert repr(shown) == "engine  accuracy\na<b     0.9123\nlava    -"


def test_a_row_with_another_number_of_cells_is_refused_by_number():
    with pytest.raises(HyprError, match="row 1 has 1 cells, there are 2 columns"):
        table(["a", "b"], [(1, 2), (3,)])


def test_a_picture_has_the_style_and_is_no_wider_than_a_notebook_shows():
    with panels(1, 2, height=2.0) as (figure, (left, right)):
        left.plot([0, 1], color=FLOAT)
        assert not right.spines["top"].get_visible()
    with Image.open(io.BytesIO(picture(figure)._repr_png_())) as image:
        assert image.size == (846, 188)
        wanted = np.array([int(FLOAT[index : index + 2], 16) for index in (1, 3, 5)])
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    assert np.abs(pixels - wanted).sum(axis=-1).min() < 12
