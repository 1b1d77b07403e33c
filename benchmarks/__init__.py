"""Benchmarks: one module a name, each with `run(quick) -> {figure: number}`."""

import sys


def say(text: str) -> None:
    """Tell what is going on while a benchmark runs: on the error stream, beside the figures."""
    print(text, file=sys.stderr, flush=True)
