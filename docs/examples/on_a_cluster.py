"""Verify a bundle on the machines of a cluster: python on_a_cluster.py BUNDLE INPUTS.npz [SCHEDULER].

Without the address of a scheduler dask starts two worker processes on this machine.
"""

import sys

import numpy as np
from distributed import Client

from export.bundle.opened import Bundle
from export.verification.verify import verify

if __name__ == "__main__":  # processes that are started import this file
    bundle, inputs = Bundle.open(sys.argv[1]), np.load(sys.argv[2])["input_spikes"]
    where = {"address": sys.argv[3]} if len(sys.argv) > 3 else {"n_workers": 2, "threads_per_worker": 1}
    with Client(**where) as client:
        workers = len(client.scheduler_info()["workers"])
        result = verify(bundle.program, inputs, ("onnx",), executor=client.get_executor(), jobs=workers)
    for pair in result.pairs:
        print(f"{pair.engine}: {len(pair.samples)} samples, {pair.compared} integers, {pair.differing} differing")
    sys.exit(0 if result.equal else 1)
