"""What the commands print while they work."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print a line to standard error: standard output is for the report only."""
    print(text, file=sys.stderr, flush=True)
