"""One workflow with many settings: every combination of some dials, and the scores it gives."""

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
    """One combination, as a run's label, and the tables (CSV) that each finished item showed."""

    label: str
    tables: list[list[str]]


def parse_dials(texts: Sequence[str]) -> dict[str, list[str]]:
    """The values of each dial, from `title.input=a,b,c`; they must be numbers.

    Raises ValueError for another form, no number and a dial that is given twice.
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
    """One value of each dial, in every combination."""
    return [dict(zip(dials, values, strict=True)) for values in product(*dials.values())]


def label_of(choice: Mapping[str, str]) -> str:
    """A combination as a run's label, from which its settings are read again."""
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

    `known` holds each server's own description of its nodes. Returns what each combination
    showed, and all entries. What each run made lies in a folder of its own in `out`, and a
    sweep that was stopped goes on where it was. Raises ValueError for a workflow without a
    Trade-off node and for a dial that it does not have.
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
            # Runs of other sweeps have no place in this one's curve.
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
