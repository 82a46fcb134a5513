"""The command line ``hypr``. Verbs are imported when they are called, so that ``hypr --help`` starts at once.

Exit codes: 0 fine; 1 a mismatch or a failed check; 2 usage or bad input; 3 a missing optional part (the message has
the line that installs it).
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script."""
    from hypr.cli.app import run

    sys.exit(run(sys.argv[1:]))
