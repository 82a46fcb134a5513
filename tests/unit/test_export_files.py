"""JSON from elsewhere, and files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from export import files
from export.errors import ExportError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 200_000, "nested too deep|not readable as JSON"),
        ("{", "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        ("1" * 5000, "not readable as JSON"),
        (" " * (files.MOST_JSON_BYTES + 1), "the limit is"),
    ],
    ids=["deep", "open", "no text", "digits", "long"],
)
def test_json_that_is_none_is_one_line_with_a_fix(text, words):
    with pytest.raises(ExportError, match=words) as caught:
        files.parse_json(text, "here", "export again")
    assert str(caught.value).startswith("here: ") and str(caught.value).endswith("; export again")
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_object(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ExportError, match="cannot be read"):
        files.read_json(path, "export again")
    path.write_text("[1]")
    with pytest.raises(ExportError, match="must hold a JSON object, got a list"):
        files.read_json(path, "export again")
    with path.open("wb") as stream:
        stream.truncate(files.MOST_JSON_BYTES + 1)
    with pytest.raises(ExportError, match="the limit is"):
        files.read_json(path, "export again")
    path.write_text('{"a": 1}')
    assert files.read_json(path, "export again") == {"a": 1}


def whole(place: Path) -> None:
    place.write_text("whole")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    def half(place: Path) -> None:
        place.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match="No space left on device"):
        files.write_atomically(tmp_path / "a", half)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ExportError, match="create the folder or choose another path"):
        files.write_atomically(tmp_path / "none" / "a", whole)
    files.write_atomically(tmp_path / "a", whole)
    assert (tmp_path / "a").read_text() == "whole"
