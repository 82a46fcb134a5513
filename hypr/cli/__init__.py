"""The command line ``hypr``. Verbs are imported when they are called, so that ``hypr --help`` starts at once.

Exit codes: 0 fine; 1 a mismatch or a failed check; 2 usage or bad input; 3 a missing or broken optional part (the
message has the line that repairs it); 4 Lava failed while it ran; 128 and the number of a signal that ended it.
"""

# a pathlib.py of the working folder could still be taken for pathlib here
# ruff: noqa: PTH100, PTH109, PTH120

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of the console script and of ``python -m hypr``."""
    search_working_folder_last()
    from hypr.cli.app import run

    sys.exit(run(sys.argv[1:]))


def search_working_folder_last() -> None:
    """No file in the working folder takes the place of a package: ``python -m`` puts that folder first on the path, and
    so does every Python that is started from here, unless it is told not to.

    The folder that this package itself lies in keeps its place.
    """
    here = os.getcwd()
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if here == home:
        return
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    named = {entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    first = [entry for entry in sys.path if entry in ("", ".", here) and entry not in named]
    if first:
        sys.path[:] = [entry for entry in sys.path if entry not in first] + [here]
