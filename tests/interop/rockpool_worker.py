"""Worker of Rockpool 3.1.0, which reads here; see :mod:`tests.interop.worker`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from rockpool.nn.modules.torch.nir import from_nir

from tests.interop.worker import main


def run(path: Path, given: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    with torch.no_grad():
        found = from_nir(nir.read(path))(torch.tensor(given.transpose(1, 0, 2)))
    values = found[0] if isinstance(found, tuple) else found
    return values.numpy().transpose(1, 0, 2)


if __name__ == "__main__":
    main(None, run)
