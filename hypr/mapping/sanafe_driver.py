"""A program of its own, for an interpreter that has SANA-FE: two files in, JSON out. Nothing here imports it."""

from __future__ import annotations

import json
import sys
from importlib import import_module, metadata


def main(architecture: str, network: str, steps: str) -> None:
    """Simulate, and print energy (J), time (s) and counts."""
    sanafe = import_module("sanafe")
    described = sanafe.load_arch(architecture)
    chip = sanafe.SpikingChip(described)
    chip.load(sanafe.load_net(network, described))
    found = chip.sim(int(steps), processing_threads=1)
    kept = ("energy", "sim_time", "spikes", "packets_sent", "neurons_fired", "timesteps_executed")
    answer = {name: found[name] for name in kept} | {"version": metadata.version("sanafe")}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
