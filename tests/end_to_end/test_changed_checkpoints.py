"""A checkpoint is what was written, or refused: no single change loads as other weights; equal ones are equal files."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest


def test_no_single_change_of_a_checkpoint_loads_as_other_weights(tree, tree_run, tmp_path):
    """Opened through a run, as every verb does; 200 places of each of the three files."""
    run = shutil.copytree(tree_run, tmp_path / "run")
    draw = random.Random(0)
    places = {}
    for name in ("best", "last", "resume"):
        content = (run / f"{name}.safetensors").read_bytes()
        places[name] = [(draw.randrange(len(content)), 1 << draw.randrange(8)) for _ in range(200)]
    code = f"""
from pathlib import Path
try:
    from hypr.training import checkpoint
except ImportError:
    from hypr import checkpoint
wrong = []
for name, places in {places!r}.items():
    path = Path({str(run)!r}) / (name + ".safetensors")
    content = path.read_bytes()
    for at, bit in places:
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1:])
        try:
            checkpoint.read(path)
            wrong.append((name, at))
        except ValueError as error:
            assert len(str(error).splitlines()) == 1, error
    path.write_bytes(content)
print(len(wrong), wrong[:5])
"""
    answer = tree.python(code, timeout_s=120)
    assert answer.code == 0 and answer.out.startswith("0 "), answer


@pytest.mark.parametrize("name", ["best", "resume"])
def test_a_changed_weight_is_one_line_for_who_uses_the_checkpoint(tree, tree_run, tmp_path, name):
    run = Path(shutil.copytree(tree_run, tmp_path / "run"))
    path = run / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40  # the upper half of a number's last bytes: finite before and after
    path.write_bytes(bytes(content))
    if name == "best":
        answer = tree.hypr("export", run, "--out", tmp_path / "bundle")
    else:
        (run / "result.json").unlink()
        options = (
            "network.layers.0.width=12",
            "training.batch=512",
            "epochs=2",
            "device=cpu",
            "--resume",
            "--out",
            run,
        )
        answer = tree.hypr("train", "digits-brf", *options)
    assert f"{name}.safetensors" in answer.line


def test_equal_checkpoints_are_equal_files(tree, tree_run, tmp_path):
    """Read and written ten times: safetensors itself writes its metadata in any order."""
    code = f"""
from pathlib import Path
try:
    from hypr.training import checkpoint
except ImportError:
    from hypr import checkpoint
for name in ("best", "resume"):
    path = Path({str(tree_run)!r}) / (name + ".safetensors")
    found = checkpoint.read(path)
    for number in range(10):
        checkpoint.save(Path({str(tmp_path)!r}) / f"{{name}}-{{number}}", found.tensors, found.details)
"""
    answer = tree.python(code)
    assert answer.code == 0, answer
    for name in ("best", "resume"):
        first = (tree_run / f"{name}.safetensors").read_bytes()
        assert {(tmp_path / f"{name}-{number}").read_bytes() for number in range(10)} == {first}
