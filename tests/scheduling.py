"""Which tests run in one process, and in which order they begin.

Tests of a file stay together, since they share servers and models. Two things are cut smaller, as
they take minutes: the tests of one canvas are a unit, and so is each function of `BY_FUNCTION`.
"""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling

# The parameters of the fixture `canvas`, as they stand in a test's name.
CANVAS = re.compile(r"\[(classic|newer classic|newer Nodes 2\.0)\b")
BY_FUNCTION = ("tests/server/test_templates.py",)
# What takes longest begins first, so that no process is left alone with it at the end.
FIRST = (
    "tests/server/test_templates.py::test_opens_whole_runs",
    "tests/server/test_checkpoints.py",
    "tests/server/test_templates.py",
    "tests/server/test_extension.py",
    "tests/server",
    "tests/engines",
    "tests/evaluation",
)


def unit_of(nodeid: str) -> str:
    """The unit of a test; a process takes a unit as a whole."""
    file, _, test = nodeid.partition("::")
    unit = f"{file}::{test.partition('[')[0]}" if file in BY_FUNCTION else file
    canvas = CANVAS.search(test)
    return f"{unit}[{canvas[1]}]" if canvas else unit


def place_of(nodeid: str) -> int:
    """A test's place in the order: the lower, the earlier."""
    found = (place for place, name in enumerate(FIRST) if nodeid.startswith(name))
    return next(found, len(FIRST))


class UnitScheduling(LoadScopeScheduling):
    """pytest-xdist's `--dist loadscope`, with the units above in the place of modules."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
