"""Runs a workflow with every combination of some settings (dials) and reads the scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from .batch import Item, Listener, Settings, run_batch
from .manifest import Entry
from .workflow import set_input, title_of

SCORED_BY = "VisageTradeoff"


@dataclass(frozen=True)
class Sweep:
    """One combination as a run's label, and the tables (CSV) that its finished items showed."""

    label: str
    tables: list[list[str]]


def parse_dials(texts: Sequence[str]) -> dict[str, list[str]]:
    """Read the values of each dial from `title.input=a,b,c`; they must be numbers.

    Raises ValueError for another form, values that are no numbers, and a dial given twice.
    """
    dials: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.rpartition("=")
        found = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or "." not in name or not found or not all(map(_is_number, found)):
            raise ValueError(
                f'"{text}" is not of the form title.input=a,b,c with numbers, as in '
                "Sampler.denoise=0.3,0.5,0.7"
            )
        if name in dials:
            raise ValueError(f'The dial "{name}" is given twice: put all values behind one.')
        dials[name] = found
    return dials


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def combinations(dials: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """All combinations of one value for each dial."""
    return [dict(zip(dials, values, strict=True)) for values in product(*dials.values())]


def label_of(choice: Mapping[str, str]) -> str:
    """The label of a combination, from which its settings can be read."""
    return ", ".join(f"{name}={value}" for name, value in choice.items())


def sweep(
    prompt: dict,
    items: Sequence[Item],
    dials: Mapping[str, Sequence[str]],
    known: Mapping[str, dict],
    out: Path,
    settings: Settings,
    listener: Listener,
    say: Callable[[str], None],
) -> tuple[list[Sweep], list[Entry]]:
    """Run a workflow in API form for every combination of its dials and for every item.

    `known` holds each server's description of its nodes. Returns the tables of each combination,
    and all entries. The files of each run are in a folder of their own in `out`; a sweep that was
    stopped is continued. Raises ValueError for a workflow without a Trade-off node and for a dial
    that it does not have.
    """
    object_info = next(iter(known.values()))
    if not _scorers(prompt):
        raise ValueError(
            "the workflow has no node Trade-off, which takes the scores: connect Style Score and "
            "Identity Score to one"
        )
    turned = []
    for choice in combinations(dials):
        one = deepcopy(prompt)
        for node in _scorers(one):
            # Otherwise runs of other sweeps would be in this one's curve.
            one[node]["inputs"]["keep"] = ""
        for name, value in choice.items():
            set_input(one, f"{name}={value}", object_info)
        turned.append((label_of(choice), one))
    shown: list[Sweep] = []
    entries: list[Entry] = []
    for number, (label, one) in enumerate(turned, start=1):
        say(f"{label or 'the workflow as it is'} ({number} of {len(turned)})")
        folder = out / (re.sub(r"[^\w.=-]+", "_", label) or "run")
        copies = [replace(item) for item in items]
        done = run_batch(one, copies, list(known), folder, settings, listener)
        entries += done
        shown.append(Sweep(label, [tables_of(one, e) for e in done if e.state == "done"]))
    return shown, entries


def _scorers(prompt: dict) -> list[str]:
    return [key for key, node in prompt.items() if node["class_type"] == SCORED_BY]


def tables_of(prompt: dict, entry: Entry) -> list[str]:
    """The tables (CSV) that an item's Trade-off nodes showed."""
    return [
        text for node in _scorers(prompt) for text in entry.texts.get(title_of(prompt, node), [])
    ]
