"""`visage bench NAME`: run one benchmark and print its figures."""

import argparse
import contextlib
import importlib
import inspect
import json
import pkgutil
import sys

from .. import benchmarks


def add_bench_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage bench` to the command line."""
    parser = subparsers.add_parser("bench", help="run a benchmark and print its figures")
    parser.add_argument("name", choices=benchmark_names(), help="which benchmark")
    parser.add_argument("--quick", action="store_true", help="a small sample, in under a minute")
    parser.add_argument(
        "--samples",
        type=int,
        help="number of samples, for benchmarks that allow it (identity)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object of the figures")
    parser.set_defaults(run=_run)


def benchmark_names() -> list[str]:
    """Names of all benchmarks, as the command line spells them."""
    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules(benchmarks.__path__)
    )


def _run(options: argparse.Namespace) -> None:
    name = options.name.replace("-", "_")
    benchmark = importlib.import_module(f"{benchmarks.__name__}.{name}")
    chosen = {} if options.samples is None else {"samples": options.samples}
    if chosen and "samples" not in inspect.signature(benchmark.run).parameters:
        raise ValueError(f"The number of samples of {options.name} cannot be chosen.")
    # Libraries print to stdout, too, which is for the figures alone.
    with contextlib.redirect_stdout(sys.stderr):
        figures = benchmark.run(options.quick, **chosen)
    if options.json:
        print(json.dumps(figures))
        return
    for figure, value in figures.items():
        print(f"{figure:<28} {value:.6g}")
