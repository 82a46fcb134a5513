"""``hypr run``: one engine on a file of inputs."""

from __future__ import annotations

import time
from pathlib import Path

import click

from hypr.cli.output import json_option, seconds, show, show_outcome, table, with_option


@click.command("run")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("inputs", type=click.Path(path_type=Path), required=False)
@click.option(
    "--data",
    "data_name",
    metavar="NAME|FILE.npz|MODULE:FUNCTION",
    help="Run the test part of a data set instead of INPUTS.",
)
@click.option("--samples", type=click.IntRange(min=1), help="Run the first N sequences only.")
@click.option("--engine", required=True, help="float, reference, emulator, onnx or lava.")
@click.option(
    "--record",
    default="",
    help="States to keep, separated by commas: u (of every population that has it), u/hidden0, or all.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="OUT.npz: output, spikes/NAME, STATE/NAME.")
@with_option
@json_option
def run_verb(
    bundle: Path,
    inputs: Path | None,
    data_name: str | None,
    samples: int | None,
    engine: str,
    record: str,
    out: Path,
    as_json: bool,
) -> None:
    """Run the network of BUNDLE on the file INPUTS on one engine.

    INPUTS is an .npz file with input_spikes: integers or bool, steps x samples x channels (for a network with several
    inputs an array input_spikes/NAME for each); perhaps with labels and mask (steps x samples): then the accuracy is
    told. OUT.npz also holds the predicted classes.

    \b
    Examples:
      hypr run bundles/ecg inputs.npz --engine emulator --record u,v --out out.npz
      hypr run bundles/ecg inputs.npz --engine lava --record all --out lava.npz
      hypr run bundles/ecg inputs.npz --engine float --out float.npz
    """
    from export.bundle.bundle import Bundle
    from hypr.deployment import outcome
    from hypr.deployment.arrays import read_sequences, sequences_of, write_trace
    from hypr.deployment.deploy import run_engine
    from hypr.deployment.sources import bundle_data

    if (inputs is None) == (data_name is None):
        raise click.UsageError("give a file INPUTS or --data, one of them")

    opened = Bundle.open(bundle)
    names: str | list[str] = [name.strip() for name in record.split(",") if name.strip()]
    if inputs is not None:
        data = read_sequences(inputs).first(samples)
    else:
        whole = bundle_data(opened, name=data_name)
        data = sequences_of(whole if samples is None else whole.subset(slice(0, samples)))
    started = time.perf_counter()
    trace = run_engine(opened, engine, data.values, "all" if names == ["all"] else names)
    elapsed = time.perf_counter() - started
    if engine == "float":
        found = outcome.of_floats(opened.float_network().decision, trace.output, data)
    else:
        found = outcome.of_integers(opened.program, trace.output, data)
    write_trace(trace, out, found.predicted)
    arrays = trace.arrays()
    answer = {
        "engine": trace.engine,
        "out": out,
        "seconds": elapsed,
        "accuracy": found.accuracy,
        "confusion": None if found.confusion is None else found.confusion.tolist(),
        "program_sha256": opened.manifest["program_sha256"],
        "arrays": {key: {"shape": value.shape, "dtype": str(value.dtype)} for key, value in arrays.items()},
    }

    def render() -> None:
        rows = [(key, " x ".join(map(str, value.shape)), str(value.dtype)) for key, value in arrays.items()]
        table(f"{out} from engine {trace.engine} in {seconds(elapsed)}", ("array", "shape", "type"), rows)

        show_outcome(found)

    show(answer, as_json, render)
