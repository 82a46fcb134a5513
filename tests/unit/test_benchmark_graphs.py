"""The benchmark of graphs: both forms give the same integers, child processes measure, another tree is compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the benchmarks describe the machine with it")

from benchmarks import graphs
from benchmarks.emulator import ecg_shaped
from benchmarks.versions import HERE, compare_trees
from hardware import emulate


@pytest.mark.parametrize("network", graphs.NETWORKS)
def test_both_forms_of_a_network_are_one_matrix(network: str) -> None:
    event, dense = (graphs.NETWORKS[network][0](form) for form in graphs.FORMS)
    assert event != dense
    for one, other in zip(event.projections, dense.projections, strict=True):
        assert np.array_equal(one.synapses.matrix(), other.synapses.matrix())


def test_a_small_run_prints_a_row_per_form_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    sizes = ["--networks=recurrent", "--rounds=1", "--repeats=1", "--steps=6", "--samples=7"]
    assert graphs.main([*sizes, f"--json={path}"]) == 0
    event, dense = json.loads(path.read_text())["rows"]
    assert (event["synapses"], dense["synapses"]) == graphs.FORMS
    assert event["sha256"] == dense["sha256"] and event["stored_mib"] < dense["stored_mib"] / 2
    assert event["integers"] == 6 * 7 * 10 + 6 * 5 * (2 * 1024 + 2 * 10)
    assert capsys.readouterr().out.count("| recurrent |") == 2


def test_a_tree_against_itself_computes_the_same_and_is_timed_in_turn() -> None:
    program, inputs = ecg_shaped()
    inputs = np.ascontiguousarray(inputs[:20, :3])
    found = compare_trees(program, inputs, HERE, rounds=3)
    assert found.integers == sum(value.size for value in emulate(program, inputs, "all").arrays().values())
    assert len(found.theirs) == len(found.ours) == 3 and found.ratio(0) > 0


def test_another_tree_with_other_integers_and_a_folder_that_is_none_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, inputs = ecg_shaped()
    (tmp_path / "hardware").mkdir()
    (tmp_path / "hardware" / "__init__.py").write_text(
        "import numpy as np\n"
        "load = str\n"
        "class Trace:\n"
        "    def arrays(self): return {'output': np.zeros((20, 3, 6), np.int32)}\n"
        "def emulate(program, inputs, record=(), threads=1): return Trace()\n"
    )
    with pytest.raises(SystemExit, match="computes other integers"):
        compare_trees(program, np.ascontiguousarray(inputs[:20, :3]), tmp_path, rounds=1)
    with pytest.raises(SystemExit):
        graphs.main([f"--against={tmp_path / 'hardware'}"])
    assert "has no folder hardware" in capsys.readouterr().err
