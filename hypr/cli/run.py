"""``hypr run``: one engine on a file of inputs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hypr.cli.lava_options import COUNT, check_lava, lava_options
from hypr.cli.output import check_out, json_option, note, progress, seconds, show, show_outcome, table, with_option
from hypr.cli.reading_options import Spelled, flags_in_messages, print_conventions, reading_from, reading_options


@click.command("run", cls=Spelled)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("inputs", type=click.Path(path_type=Path), required=False)
@click.option(
    "--data",
    "data_name",
    metavar="NAME|FILE.npz|MODULE:FUNCTION",
    help="Run the test part of a data set instead of INPUTS.",
)
@click.option("--samples", type=click.IntRange(min=1), help="Run the first N sequences only.")
@click.option(
    "--lava-samples",
    type=COUNT,
    metavar="N|all",
    help="The same for engine lava, spelled as for hypr verify.  [default: all]",
)
@click.option("--engine", help="float, reference, emulator, onnx or lava; of a NIR file always float.")
@click.option(
    "--record",
    default="",
    help="States to keep, separated by commas: u (of every population that has it), u/hidden0, or all.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="OUT.npz: output, spikes/NAME, STATE/NAME.")
@lava_options
@reading_options
@with_option
@json_option
def run_verb(
    bundle: Path,
    inputs: Path | None,
    data_name: str | None,
    samples: int | None,
    lava_samples: int | None,
    engine: str | None,
    record: str,
    jobs: int,
    out: Path,
    as_json: bool,
    lava: dict[str, Any],
    conventions: dict[str, Any],
) -> None:
    """Run the network of BUNDLE on the file INPUTS on one engine.

    BUNDLE may be a file FILE.nir: it runs in float, read with the options of hypr import.

    INPUTS is an .npz file with input_spikes: integers or bool, steps x samples x channels (for a network with several
    inputs an array input_spikes/NAME for each); perhaps with labels and mask (steps x samples): then the accuracy is
    told. OUT.npz also holds the predicted classes.

    \b
    Examples:
      hypr run bundles/ecg inputs.npz --engine emulator --record u,v --out out.npz
      hypr run bundles/ecg inputs.npz --engine lava --record all --out lava.npz
      hypr run bundles/ecg inputs.npz --engine lava --connections batched --timeout 60 --out lava.npz
      hypr run bundles/ecg inputs.npz --engine float --out float.npz
      hypr run net.nir inputs.npz --preset norse --out float.npz
    """
    from export.quantization.findings import saturated, saturation_lines
    from hypr.deployment import outcome
    from hypr.deployment.arrays import read_sequences, sequences_of, write_trace

    if (inputs is None) == (data_name is None):
        raise click.UsageError("give a file INPUTS or --data, one of them")
    check_lava(lava, [str(engine)])
    check_out(out)
    if lava_samples is not None:
        if engine != "lava" or lava_samples == 0:
            raise click.UsageError("--lava-samples is for --engine lava, at least 1; other engines take --samples")
        samples = min(lava_samples, lava_samples if samples is None else samples)
    names: str | list[str] = [name.strip() for name in record.split(",") if name.strip()]
    source = _Source(bundle, engine, conventions, "all" if names == ["all"] else names, lava)
    if jobs > 1 and source.program is None:
        raise click.UsageError("engine float runs in one process; leave --jobs out")
    if inputs is not None:
        data = read_sequences(inputs).first(samples)
    else:
        whole = source.data(data_name)
        data = sequences_of(whole if samples is None else whole.subset(slice(0, samples)))
    started = time.perf_counter()
    with progress("running", "sequences") as step:
        trace = source.run(data.values, jobs, step)
    elapsed = time.perf_counter() - started
    if source.program is None:
        found = outcome.of_floats(source.decision, trace.output, data)
    else:
        found = outcome.of_integers(source.program, trace.output, data)
    write_trace(trace, out, found.predicted)
    arrays = trace.arrays()
    full = {} if source.program is None else saturated(source.program, trace)
    answer = {
        "engine": trace.engine,
        "out": out,
        "seconds": elapsed,
        "accuracy": found.accuracy,
        "confusion": None if found.confusion is None else found.confusion.tolist(),
        "program_sha256": source.sha256,
        "saturated": full,
        "arrays": {key: {"shape": value.shape, "dtype": str(value.dtype)} for key, value in arrays.items()},
    }

    def render() -> None:
        rows = [(key, " x ".join(map(str, value.shape)), str(value.dtype)) for key, value in arrays.items()]
        table(f"{out} from engine {trace.engine} in {seconds(elapsed)}", ("array", "shape", "type"), rows)
        for line in saturation_lines(full, {key: value.size for key, value in trace.states.items()}):
            note(f"warning: {line}")

        show_outcome(found)
        if source.taken:
            print_conventions(source.taken["conventions"])

    show({**answer, **source.taken}, as_json, render)


class _Source:
    """A bundle, or a NIR file that runs in float."""

    def __init__(
        self,
        path: Path,
        engine: str | None,
        conventions: Mapping[str, Any],
        record: str | list[str],
        lava: dict[str, Any],
    ) -> None:
        from export.bundle.bundle import Bundle

        self.path, self.record, self.lava = path, record, lava
        preset, given = reading_from(conventions)
        self.reading = (preset, given)
        self.bundle = None if path.suffix == ".nir" and path.is_file() else Bundle.open(path)
        self.engine = engine or "float"
        self.taken: dict[str, Any] = {}
        if self.bundle is None:
            if self.engine != "float":
                raise click.UsageError(f"a NIR file runs on the engine float; import it first to run {engine}")
            self.program = None
            return
        if engine is None:
            raise click.UsageError("Missing option '--engine'.")
        if preset is not None or given:
            raise click.UsageError("a bundle knows how it was read; the options of a reading are for a file FILE.nir")
        self.program = None if engine == "float" else self.bundle.program
        self.decision: Mapping[str, Any] = self.bundle.float_network().decision if engine == "float" else {}

    @property
    def sha256(self) -> str | None:
        return None if self.bundle is None else self.bundle.manifest["program_sha256"]

    def data(self, name: str | None) -> Any:
        from hypr.deployment.sources import bundle_data

        if self.bundle is None:
            raise click.UsageError("a NIR file takes a file INPUTS; --data is for bundles")
        return bundle_data(self.bundle, name=name)

    def run(self, values: Any, jobs: int, step: Any) -> Any:
        from hypr.deployment.deploy import run_engine, run_file

        if self.bundle is not None:
            several = {} if self.engine == "float" else {"jobs": jobs, "progress": step, "lava": self.lava}
            return run_engine(self.bundle, self.engine, values, self.record, **several)
        with flags_in_messages():
            trace, network, conventions = run_file(self.path, *self.reading, values, self.record)
        self.decision, self.taken = network.decision, {"conventions": conventions}
        return trace
