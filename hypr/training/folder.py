"""The folder of a run before its first epoch: new, to be continued, or in the way."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from hardware.aside import sweep_folder
from hypr.data.storage import write_atomically
from hypr.errors import HyprError
from hypr.training import runs
from hypr.training.config import Config, dump
from hypr.training.lock import LOCK, only_one
from hypr.training.recorded import load_recorded


def prepare_folder(config: Config, folder: Path, resume: bool, held: ExitStack) -> None:
    """Write the configuration into a new folder, or compare it with that of the run to be continued.

    A folder with nothing but a configuration is new: the run in it failed before it began, for want of data perhaps.
    How initial weights were made does not matter to a run that has them.

    Args:
        held: keeps the folder locked for this training until it is closed.

    Raises:
        HyprError: another training runs in it, a run that is not to be continued, one with
            another configuration, or no place to write.
    """
    if not (resume and (folder / runs.RESULT).exists()):  # a finished run is only looked at
        held.enter_context(only_one(folder))
    sweep_folder(folder)  # what a run that was killed had not written to its end
    path = folder / runs.CONFIG
    begun = path.exists() and any(file.name not in (runs.CONFIG, LOCK) for file in folder.iterdir())
    if begun and not resume:
        raise HyprError(f"{folder}: holds a run already; continue it with --resume, or give another folder")
    if begun:
        before, now = _continued(load_recorded(path)), _continued(config)
        if before != now:
            raise HyprError(
                f"{folder}: holds a run with another configuration ({_first_difference(before, now)}); give "
                "another folder"
            )
        return
    try:
        write_atomically(path, dump(config).encode())
    except OSError as error:
        raise HyprError(f"{folder}: cannot be written ({error.strerror}); give another folder") from None


def _first_difference(before: Config, now: Config) -> str:
    one, two = before.to_dict(), now.to_dict()
    for section in sorted(set(one) | set(two)):
        a, b = one.get(section), two.get(section)
        if a != b and isinstance(a, dict) and isinstance(b, dict):
            key = next(key for key in sorted(set(a) | set(b)) if a.get(key) != b.get(key))
            return f"{section}.{key} was {a.get(key)}, now {b.get(key)}"
        if a != b:
            return f"{section} was {a}, now {b}"
    return "values differ"


def _continued(config: Config) -> Config:
    return config.model_copy(update={"network": config.network.model_copy(update={"initial": "random"})})
