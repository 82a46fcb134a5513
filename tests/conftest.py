"""Settings that every test shares."""

from __future__ import annotations

import os

# Two cores are shared by test processes, Lava's workers and numerical libraries; one thread each is fastest and keeps sums in one order.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
