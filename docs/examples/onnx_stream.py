"""An exported network one step at a time, with onnxruntime alone: python onnx_stream.py integer_step.onnx < STEPS

A line of STEPS is one step: a JSON list of integers, one for each channel, or {"NAME": [...], ...} where the network
has several inputs. A line of output is what the network's output is after that step.
"""

import json
import os
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is loaded
import numpy as np
import onnxruntime

TYPES = {"tensor(uint8)": np.uint8, "tensor(int32)": np.int32}
session = onnxruntime.InferenceSession(sys.argv[1])
initial = json.loads(session.get_modelmeta().custom_metadata_map["hypr.initial"])  # of states that do not start at 0
tensors = {item.name: item for item in session.get_inputs()}
outputs = [item.name for item in session.get_outputs()]
now = {}  # what a step takes from the step before; one sample, so that "B" is 1
for name, item in tensors.items():
    if name.startswith("previous/"):
        start = initial.get(name.removeprefix("previous/"), 0)
        now[name] = np.full([1 if side == "B" else side for side in item.shape], start, TYPES[item.type])
for line in sys.stdin:
    step = json.loads(line)
    given = {f"x/{name}": row for name, row in step.items()} if isinstance(step, dict) else {"x": step}
    feed = {name: np.array([row], TYPES[tensors[name].type]) for name, row in given.items()}
    found = dict(zip(outputs, session.run(outputs, {**now, **feed}), strict=True))
    now = {f"previous/{name}": value for name, value in found.items() if name != "output"}
    print(json.dumps(found["output"][0].tolist()), flush=True)
