"""``hypr map``: where a network fits on a chip, and what it costs there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hypr.cli.map_text import render
from hypr.cli.output import Between, check_out_folder, inputs_option, json_option, note, plain, show, with_option

if TYPE_CHECKING:
    from export.bundle.bundle import Bundle
    from hypr.deployment.arrays import Sequences
    from hypr.mapping import ChipMap

MAP, PICTURE = "map.json", "chip.svg"


@click.command("map")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--target",
    default="loihi2",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="A chip: loihi2, loihi1, or a file of your own.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="LIMIT=VALUE",
    help="Another value for a limit of the target, or none; may be repeated.",
)
@click.option("--cores", type=click.IntRange(min=1), help="Spread over N cores; default: as few as are found.")
@click.option("--chips", type=click.IntRange(min=1), help="Chips there are; default: the target's largest system.")
@click.option(
    "--way",
    type=click.Choice(["fewest", "merged", "layers"]),
    default="fewest",
    show_default=True,
    help="Fill cores; or equal slices that share cores; or equal slices, one on each core.",
)
@click.option("--data", "data_name", metavar="NAME|FILE.npz|MODULE:FUNCTION", help="Data whose test part is run.")
@inputs_option
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Sequences that activity is taken from.",
)
@click.option(
    "--rate",
    type=Between(0, 1),
    help="Assume so many spikes per step of every input and neuron, instead of running data.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Steps of a sample, with --rate; default: 100.")
@click.option(
    "--step-ms",
    type=Between(min=0, min_open=True),
    help="Time step of the network in the world, for idle energy; default: the network's, else 1.",
)
@click.option("--out", type=click.Path(path_type=Path), help=f"Folder for {MAP} and {PICTURE}, a picture of the chip.")
@click.option("--whole-chip", is_flag=True, help=f"All tiles in {PICTURE}; default: those in use and their neighbours.")
@click.option(
    "--sanafe",
    type=click.Path(path_type=Path),
    metavar="PYTHON",
    help="An interpreter that has SANA-FE (GPL, a program of its own): its estimate beside ours, on Loihi 1.",
)
@with_option
@json_option
def map_verb(
    bundle: Path,
    target: str,
    changes: tuple[str, ...],
    cores: int | None,
    chips: int | None,
    way: str,
    data_name: str | None,
    inputs: Path | None,
    samples: int,
    rate: float | None,
    steps: int | None,
    step_ms: float | None,
    out: Path | None,
    whole_chip: bool,
    sanafe: Path | None,
    as_json: bool,
) -> int:
    """Fit the network of BUNDLE on a chip, and estimate what it costs there.

    Populations are cut into slices and put onto cores within every limit of the target; all that does not fit is told
    at once, with a fix. Cores are placed so that spikes travel little. Energy and time come from what the network does
    on samples of its data, by published figures, each with its source, its confidence (A the maker's own, A* software
    of others, B transcribed, C secondary, D assumed, user) and what it leaves out.

    Exit code 1 where the network does not fit.

    \b
    Examples:
      hypr map bundles/ecg
      hypr map bundles/ecg --target loihi1 --out maps/ecg
      hypr map bundles/shd --target mine.toml --cores 8 --inputs mine.npz
      hypr map bundles/shd --target loihi2 --set input_axons_per_core=2048 --rate 0.05 --steps 250
    """
    _agree(data_name, inputs, rate, steps)
    if whole_chip and out is None:
        raise click.UsageError("--whole-chip belongs to --out, which the picture is written to")
    check_out_folder(out, (MAP, PICTURE))
    from export.bundle.bundle import Bundle
    from hypr.mapping import chip_map, load_target

    chip = load_target(target, changes)
    opened = Bundle.open(bundle)
    found = chip_map(
        opened.program,
        chip,
        None if rate is not None else _sequences(opened, data_name, inputs, samples),
        cores=cores,
        chips=chips,
        way=way,
        rate=rate,
        steps=steps,
        step_ms=step_ms,
    )
    if cores is not None and len(found.plan.cores) < cores:
        note(f"{len(found.plan.cores):,} of {cores:,} cores are used: there are no more neurons to spread")
    answer = {**found.data, "program_sha256": opened.manifest["program_sha256"]}
    if sanafe is not None:
        from hypr.mapping.sanafe import compare

        answer["sanafe"] = compare(found, sanafe)
    if out is not None:
        answer["files"] = write(found, answer, out, whole_chip)
    show(answer, as_json, lambda: render(found, answer))
    return 0 if found.plan.fits else 1


def _agree(data_name: str | None, inputs: Path | None, rate: float | None, steps: int | None) -> None:
    if sum(value is not None for value in (data_name, inputs, rate)) > 1:
        raise click.UsageError("give one of --data, --inputs and --rate")
    if steps is not None and rate is None:
        raise click.UsageError("--steps belongs to --rate; samples have their own")


def _sequences(bundle: Bundle, data_name: str | None, inputs: Path | None, samples: int) -> Sequences | None:
    """What is run; None, and a note, where the bundle's own data are not here and none are named."""
    from hypr.deployment.arrays import read_sequences, sequences_of
    from hypr.deployment.sources import bundle_data
    from hypr.errors import HyprError

    if inputs is not None:
        return read_sequences(inputs).first(samples)
    try:
        data = bundle_data(bundle, name=data_name)
    except HyprError as error:
        if data_name is not None:
            raise
        note(f"warning: activity is assumed, not recorded: {error}")
        return None
    return sequences_of(data.subset(slice(0, samples)))


def write(found: ChipMap, answer: dict[str, Any], folder: Path, whole_chip: bool = False) -> dict[str, str]:
    """The map as JSON and as a picture, each whole or not at all; what was written where."""
    from export.files import write_atomically
    from hypr.mapping.picture import draw
    from hypr.report.pictures import image

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(answer), indent=2, allow_nan=False) + "\n"
    for name, content in ((PICTURE, image(draw(found.plan, whole=whole_chip), "svg")), (MAP, text.encode("utf-8"))):

        def fill(part: Path, content: bytes = content) -> None:
            part.write_bytes(content)

        write_atomically(folder / name, fill)
    return {"map": str(folder / MAP), "picture": str(folder / PICTURE)}
