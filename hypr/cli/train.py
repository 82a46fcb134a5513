"""``hypr train``: from a recipe to a run folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from hypr.cli.output import json_option, note, percent, seconds, show, table, with_option


def _recipes_and_files(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    from hypr.training import config

    return [CompletionItem(name) for name in config.recipes() if name.startswith(begun)] or [
        CompletionItem(begun, type="file")
    ]


@click.command("train")
@click.argument("recipe", required=False, shell_complete=_recipes_and_files)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run; made where missing.")
@click.option(
    "--resume", is_flag=True, help="Continue the run in that folder; on a CPU bit for bit as if never interrupted."
)
@click.option("--device", help="auto, cpu, cuda or cuda:N; short for the override device=...")
@click.option("--seeds", help="Several runs, one per seed: 0-7 or 0,2,5; each in a folder seed-K of --out.")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs side by side with --seeds (1).")
@click.option("--list", "list_recipes", is_flag=True, help="List the recipes that come with hypr.")
@click.option("--keys", "list_keys", is_flag=True, help="List every key of a recipe and every option of a neuron.")
@with_option
@json_option
def train_verb(
    recipe: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    device: str | None,
    seeds: str | None,
    jobs: int | None,
    list_recipes: bool,
    list_keys: bool,
    as_json: bool,
) -> None:
    """Train a network from a recipe or a TOML file, changed by KEY=VALUE.

    \b
    Examples:
      hypr train --list
      hypr train --keys
      hypr train digits-brf --out runs/digits
      hypr train qtdb-brf rule=bptt epochs=100 seed=3 --out runs/ecg-bptt
      hypr train my.toml network.layers.0.width=64 --out runs/mine
      hypr train qtdb-brf --out runs/ecg --resume
      hypr train qtdb-brf --seeds 0-7 --jobs 2 --out runs/ecg-seeds         (then hypr compare runs/ecg-seeds)
      hypr train digits-brf training.initial=runs/digits stage=lava --out runs/on-lava    (integers, run on Lava)
      torchrun --nproc-per-node 2 -m hypr train qtdb-brf --out runs/ecg     (data parallel)

    stage=ENGINE trains on integers that another engine runs: lava, onnx, reference, or module:object of your own chip.

    Your own data: data.name=mine.npz (inputs, labels, perhaps mask, lengths, split) or data.name=module:function.

    The folder of the run holds config.toml, environment.json (versions, seed, data hashes), metrics.jsonl,
    best.safetensors (on validation), last.safetensors, result.json and curves.png.
    """
    from hypr.training import config

    if list_recipes:
        known = config.recipes()
        show({"recipes": known}, as_json, lambda: _render_recipes(known))
        return
    if list_keys:
        _show_keys(as_json)
        return
    if recipe is None:
        raise click.UsageError("give a recipe or a TOML file; 'hypr train --list' shows the recipes")
    given = [*overrides, *([f"device={device}"] if device else [])]
    settings = config.load(recipe, given, note)
    if out is None:
        raise click.UsageError("give the folder of the run with --out, for example --out runs/mine")
    if seeds is not None:
        _train_seeds(recipe, given, seeds, out, jobs or 1, resume, as_json)
        return
    if jobs is not None:
        raise click.UsageError("--jobs is for several runs; give --seeds too, for example --seeds 0-7")
    from hypr.cli.progress import TrainingBar
    from hypr.training.distributed import from_environment
    from hypr.training.train import train

    result = train(settings, out, resume=resume, progress=TrainingBar(settings.name))
    answer = {
        "run": out,
        "recipe": settings.name,
        "rule": settings.rule.name,
        "epochs": result.epochs,
        "stopped_early": result.stopped_early,
        "best_epoch": result.best_epoch,
        "best": result.best,
        "last": result.last,
        "seconds": result.seconds,
    }
    if from_environment().leader:  # of several processes under torchrun one answers
        show(answer, as_json, lambda: _render(answer))


def _train_seeds(
    recipe: str, overrides: list[str], seeds: str, out: Path, jobs: int, resume: bool, as_json: bool
) -> None:
    from hypr.errors import HyprError
    from hypr.training.seeds import folder_of, parse_seeds, train_seeds

    wanted = parse_seeds(seeds)
    failed = train_seeds(
        recipe, overrides, wanted, out, jobs, resume, lambda seed, what: note(f"{folder_of(out, seed)}: {what}")
    )
    answer = {"run": out, "seeds": wanted, "failed": failed, "runs": [str(folder_of(out, seed)) for seed in wanted]}
    show(answer, as_json, lambda: click.echo(f"{out}: {len(wanted) - len(failed)} of {len(wanted)} runs finished"))
    if failed:
        raise HyprError(f"{out}: seeds {', '.join(map(str, failed))} failed; see their log.txt, then use --resume")
    note(f"next: hypr compare {out}")


def _show_keys(as_json: bool) -> None:
    from hypr.training.keys import neuron_options, recipe_keys

    keys, neurons = recipe_keys(), neuron_options()

    def render() -> None:
        columns = ("key", "type", "default", "meaning")
        table("Keys of a recipe", columns, [(key.name, key.kind, key.default, key.meaning) for key in keys])
        for kind, options in neurons.items():
            rows = [(key.name, key.kind, key.default, key.meaning) for key in options]
            table(f"Options of neuron '{kind}' (network.layers.0.options.NAME=...)", columns, rows)

    answer = {
        "keys": [asdict(key) for key in keys],
        "neurons": {kind: [asdict(key) for key in options] for kind, options in neurons.items()},
    }
    show(answer, as_json, render)


def _render_recipes(known: dict[str, str]) -> None:
    width = max(map(len, known))
    for name, description in known.items():
        click.echo(f"{name:<{width}}  {description}")


def _render(answer: dict[str, Any]) -> None:
    click.echo(f"{answer['run']}: {answer['epochs']} epochs with rule {answer['rule']} in {seconds(answer['seconds'])}")
    for which, epoch in (("best", answer["best_epoch"]), ("last", answer["epochs"])):
        accuracies = ", ".join(f"{split.replace('_', ' ')} {percent(value)}" for split, value in answer[which].items())
        click.echo(f"  {which} (epoch {epoch}): {accuracies}")
    note(f"next: hypr export {answer['run']} --out bundles/{Path(answer['run']).name}")
