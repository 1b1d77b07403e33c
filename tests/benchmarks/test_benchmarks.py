"""What `visage bench` offers."""

import importlib

import pytest
from visage.cli.bench import benchmark_names


@pytest.mark.parametrize("name", benchmark_names())
def test_every_name_can_be_run(name):
    module = importlib.import_module(f"visage.benchmarks.{name.replace('-', '_')}")
    assert callable(module.run)
