"""Benchmarks: one module a name, each with `run(quick) -> {figure: number}`."""
