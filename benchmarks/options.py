"""argparse types of the benchmarks: a mistake is named before anything runs for minutes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from pathlib import Path


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """A comma-separated list of known names."""

    def parse(text: str) -> list[str]:
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"'{name}' is unknown; choose from {', '.join(known)}")
        return text.split(",")

    return parse


def numbers_from(least: int) -> Callable[[str], list[int]]:
    """A comma-separated list of whole numbers, none below ``least``."""

    def parse(text: str) -> list[int]:
        for number in text.split(","):
            if not number.isdigit() or int(number) < least:
                raise argparse.ArgumentTypeError(f"'{number}' is no whole number of at least {least}")
        return [int(number) for number in text.split(",")]

    return parse


def png_file(text: str) -> Path:
    """argparse type: a .png file in a folder that exists."""
    return _file(text, ".png")


def json_file(text: str) -> Path:
    """argparse type: a .json file in a folder that exists."""
    return _file(text, ".json")


def _file(text: str, suffix: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != suffix or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: must be a {suffix} file in a folder that exists")
    return path
