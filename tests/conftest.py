"""Settings that every test shares."""

from __future__ import annotations

import os

# Test processes, Lava's workers and numerical libraries share few cores: one thread each is fastest and keeps sums in
# one order.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
