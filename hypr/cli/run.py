"""``hypr run``: one engine on a file of inputs."""

from __future__ import annotations

import time
from pathlib import Path

import click

from hypr.cli.output import json_option, note, seconds, show, table


@click.command("run")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("inputs", type=click.Path(path_type=Path))
@click.option("--engine", required=True, help="float, reference, emulator, onnx or lava.")
@click.option(
    "--record",
    default="",
    help="States to keep, separated by commas: u (of every population that has it), u/hidden0, or all.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="OUT.npz: output, spikes/NAME, STATE/NAME.")
@json_option
def run_verb(bundle: Path, inputs: Path, engine: str, record: str, out: Path, as_json: bool) -> None:
    """Run the network of BUNDLE on the file INPUTS on one engine.

    INPUTS is an .npz file with input_spikes: integers or bool, steps x samples x channels; for a network with several
    inputs an array input_spikes/NAME for each.

    \b
    Examples:
      hypr run bundles/ecg inputs.npz --engine emulator --record u,v --out out.npz
      hypr run bundles/ecg inputs.npz --engine lava --record all --out lava.npz
      hypr run bundles/ecg inputs.npz --engine float --out float.npz
    """
    from export.bundle.bundle import Bundle
    from export.quantization.findings import saturated, saturation_lines
    from hypr.deployment.arrays import read_inputs, write_trace
    from hypr.deployment.deploy import run_engine

    opened = Bundle.open(bundle)
    names: str | list[str] = [name.strip() for name in record.split(",") if name.strip()]
    values = read_inputs(inputs)
    started = time.perf_counter()
    trace = run_engine(opened, engine, values, "all" if names == ["all"] else names)
    elapsed = time.perf_counter() - started
    write_trace(trace, out)
    arrays = trace.arrays()
    full = {} if engine == "float" else saturated(opened.program, trace)
    answer = {
        "engine": trace.engine,
        "out": out,
        "seconds": elapsed,
        "program_sha256": opened.manifest["program_sha256"],
        "saturated": full,
        "arrays": {key: {"shape": value.shape, "dtype": str(value.dtype)} for key, value in arrays.items()},
    }

    def render() -> None:
        rows = [(key, " x ".join(map(str, value.shape)), str(value.dtype)) for key, value in arrays.items()]
        table(f"{out} from engine {trace.engine} in {seconds(elapsed)}", ("array", "shape", "type"), rows)
        for line in saturation_lines(full, {key: value.size for key, value in trace.states.items()}):
            note(f"warning: {line}")

    show(answer, as_json, render)
