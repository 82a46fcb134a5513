"""A small network, really trained on the digits, exported once for all tests of the command line."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

import pytest

from hypr.cli.app import run
from tests.tree import OTHER, Tree

SMALL = ["network.layers.0.width=12", "training.batch=256", "epochs=3", "device=cpu"]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished training run; tests must not change it."""
    folder = tmp_path_factory.mktemp("small") / "run"
    assert run(["train", "digits-brf", *SMALL, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def small_bundle(small_run: Path) -> Path:
    """Bundle of that run; tests must not change it."""
    folder = small_run.parent / "bundle"
    assert run(["export", str(small_run), "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def hypr(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest):
    """Runs a command line in this process: ``hypr(*arguments) -> (exit code, stdout, stderr)``; by another tree where
    one is under test."""
    if OTHER:
        tree = request.getfixturevalue("tree")
        return lambda *arguments: astuple(tree.hypr(*arguments))[:3]

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


@pytest.fixture
def hypr_json(hypr):
    """The same with ``--json``: ``hypr_json(*arguments) -> (exit code, the one JSON document on stdout)``."""

    def call(*arguments: object) -> tuple[int, dict]:
        code, out, _ = hypr(*arguments, "--json")
        return code, json.loads(out)

    return call


@pytest.fixture(scope="session")
def tree():
    """Command lines by the tree under test, in a process of its own."""
    with Tree() as found:
        yield found


@pytest.fixture(scope="session")
def tree_run(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of that tree; tests must not change it."""
    folder = tmp_path_factory.mktemp("tree") / "run"
    options = ("network.layers.0.width=12", "training.batch=512", "epochs=2", "device=cpu")
    answer = tree.hypr("train", "digits-brf", *options, "--out", folder, timeout_s=240)
    assert answer.code == 0, answer
    return folder


@pytest.fixture(scope="session")
def tree_bundle(tree: Tree, tree_run: Path) -> Path:
    """Its bundle; tests must not change it."""
    folder = tree_run.parent / "bundle"
    answer = tree.hypr("export", tree_run, "--out", folder, timeout_s=240)
    assert answer.code == 0, answer
    return folder
