"""The GPU kernels compile to machine code for the compute capabilities that they are meant for. No GPU is needed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("triton") is None:
    pytest.skip("triton is not installed; it compiles the GPU kernels", allow_module_level=True)

SMALLEST_SHARED = 99 * 1024
"""Bytes of shared memory that a program may use on every GPU from compute capability 8.0 on (8.6 has least)."""


def _compile(capability: int, *more: str, cache: Path) -> list[dict]:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(cache), "TRITON_DEFAULT_FP_FUSION": "1"}
    command = [sys.executable, "-m", "tests.unit.hypr_triton_compile", str(capability), *more]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _check(facts: list[dict]) -> None:
    assert all(fact["cubin"] > 0 and fact["shared"] <= SMALLEST_SHARED for fact in facts)
    exchanging = [fact for fact in facts if any(word in fact["name"] for word in ("resident", "tiles", "step "))]
    assert exchanging and all(fact["barriers"] > 0 for fact in exchanging)


def test_kernels_compile_and_fit_shared_memory(tmp_path):
    _check(_compile(80, cache=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_of_every_model_and_type_compile_and_fit_shared_memory(capability, tmp_path):
    _check(_compile(capability, "all", cache=tmp_path))
