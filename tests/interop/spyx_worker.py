"""Worker of Spyx 1.0.0, which reads here; see :mod:`tests.interop.worker`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import nir
import numpy as np
from spyx.nir import from_nir

from tests.interop.worker import main


def run(path: Path, given: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    _, output = from_nir(nir.read(path), jnp.asarray(given), dt=float(options["dt"]))
    return np.asarray(output)


if __name__ == "__main__":
    main(None, run)
