"""Compiles the GPU kernels to machine code for a compute capability, with no GPU at hand.

``python -m tests.unit.hypr_triton_compile 90 [all]`` prints one line of JSON per kernel: bytes of shared memory, and
barriers in the machine-independent assembly. A process of its own, because the tests beside it define the same kernels
for Triton's interpreter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

Case = tuple[str, Any, dict[str, str], dict[str, Any], int]

_MODELS = {0: (3, 2, 2), 1: (3, 3, 2), 2: (2, 4, 4), 3: (2, 2, 2), 4: (1, 1, 1), 5: (2, 3, 3), 6: (1, 1, 1)}
_LAYOUTS = {
    "alone": ((False, True, 1, 2, 64, 16), 4),
    "resident": ((True, True, 1, 16, 256, 16), 8),
    "tiles": ((True, False, 4, 16, 256, 16), 8),
    "step": ((True, False, 1, 16, 32, 32), 4),
}


def scans(models: tuple[int, ...], dtype: str) -> Iterator[Case]:
    """Forward and credit scan of the models in every layout of :mod:`hypr.kernels.gpu.plan`."""
    from hypr.kernels.gpu.scan import credit_scan, forward_scan

    sizes = {"steps": "i32", "batch": "i32", "n": "i32"}
    for model in models:
        d, c, g = _MODELS[model]
        for name, ((recurrent, resident, tiles, block_b, block_n, block_k), warps) in _LAYOUTS.items():
            if model == 6 and recurrent:
                continue
            if dtype == "fp64":
                block_b, block_n, block_k = 4, min(block_n, 64), 16
            shared: dict[str, Any] = {
                "MODEL": model, "OPTION": int(model in (2, 4, 5)), "D": d, "C": c, "RECURRENT": recurrent,
                "RESIDENT": resident, "DOT": dtype == "fp32", "TILES": tiles, "STAGES": 3,
                "BLOCK_B": block_b, "BLOCK_N": block_n, "BLOCK_K": block_k,
            }  # fmt: skip
            label, pointer = f"{model} {name} {dtype}", "*" + dtype
            read = ("states", "spikes", "current", "coefficients", "constants")
            signature = dict.fromkeys((*read, "outgoing"), pointer) | sizes
            yield f"forward {label}", forward_scan, signature, shared, warps
            more = ("dz", "errors", "recurrent", "synapses", "adjoints", "later", "d_current", "direct", "sums")
            strides = {"scan_stride": "i64", "errors_stride": "i32"}
            extra = {"G": g, "FULL": recurrent, "OWN": not recurrent, "UNIFORM": False, "SURROGATE": model % 2}
            signature = dict.fromkeys((*read, *more), pointer) | strides | sizes
            yield f"credit {label}", credit_scan, signature, shared | extra, warps


def others() -> Iterator[Case]:
    """Eligibilities, and the integer scan of every model."""
    from hypr.kernels.gpu.eligibility import meet, transport
    from hypr.kernels.gpu.integer_scan import integer_scan

    pointers = dict.fromkeys(("onward", "before", "result"), "*fp32")
    sizes = {"batch": "i32", "n": "i32", "inputs": "i32"}
    yield "transport", transport, pointers | sizes, {"S": 4, "BLOCK": 256}, 4
    pointers = dict.fromkeys(("adjoint", "eligibility", "result"), "*fp32")
    yield "meet", meet, pointers | {"rows": "i32", "n": "i32", "inputs": "i32"}, {"BLOCK": 256}, 4
    for model, (d, c) in enumerate([(3, 6), (2, 5), (2, 4), (1, 2), (2, 4), (1, 1)]):
        signature = {
            "states": "*i32", "spikes": "*fp16", "drive": "*i64", "record": "*i32", "coefficients": "*i64",
            "shifts": "*i64", "outgoing": "*fp16", "steps": "i32", "batch": "i32", "n": "i32",
        }  # fmt: skip
        constants = {
            "MODEL": model, "OPTION": model % 2, "D": d, "C": c, "SLOT_0": 0, "SLOT_1": -1, "SLOT_2": -1, "SLOTS": 1,
            "RECURRENT": model != 5, "TILES": 4, "STAGES": 3, "BLOCK_B": 16, "BLOCK_N": 64, "BLOCK_K": 32,
        }  # fmt: skip
        yield f"integer {model}", integer_scan, signature, constants, 4


def main(capability: int, every: bool) -> None:
    """Compile and print."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    cases = [*scans(tuple(_MODELS) if every else (0,), "fp32"), *others()]
    if every:
        cases += scans(tuple(_MODELS), "fp64")
    for name, kernel, types, constants, warps in cases:
        signature = {key: "constexpr" if key in constants else types[key] for key in kernel.arg_names}
        aligned = [key for key, kind in types.items() if kind.startswith("*")] + ["n", "batch"]
        places = {(kernel.arg_names.index(k),): [["tt.divisibility", 16]] for k in aligned if k in kernel.arg_names}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=places)
        options = {"num_warps": warps, "num_stages": 1}
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
        facts = {"name": name, "shared": made.metadata.shared, "barriers": made.asm["ptx"].count("bar.sync")}
        print(json.dumps(facts | {"cubin": len(made.asm["cubin"]), "triton": triton.__version__}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), "all" in sys.argv[2:])
