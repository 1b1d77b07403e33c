"""Benchmarks: one module for each, with a function `run(quick) -> {figure: number}`."""

import sys


def say(text: str) -> None:
    """Print progress to the error stream, apart from the figures."""
    print(text, file=sys.stderr, flush=True)
