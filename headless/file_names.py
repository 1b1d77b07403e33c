"""Fills in `%...%` in the names of saved files, as the page does when it queues a workflow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

PREFIX = "filename_prefix"
FORBIDDEN = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
DATE = re.compile(r"%date:([^%.]+)%")
DATE_PARTS = re.compile(r"d{1,2}|M{1,2}|h{1,2}|m{1,2}|s{1,2}|yyyy|yyy|yy")

Values = Callable[[], dict[str, Any]]


def name_files(prompt: dict, object_info: dict, nodes: Iterable[tuple[dict, Values]]) -> None:
    """Replace `%node.widget%` in the file names of ComfyUI's own nodes by the widget's value.

    `nodes` are the canvas's nodes with functions for their values. A node is found by its name for
    search and replace, or else by its title; names of no node are left unchanged.
    """
    by_name: dict[str, Values] = {}
    by_title: dict[str, Values] = {}
    for node, values in nodes:
        name = (node.get("properties") or {}).get("Node name for S&R", node["type"])
        by_name.setdefault(name, values)
        by_title.setdefault(node.get("title", ""), values)

    def found(match: re.Match) -> str:
        name, dot, widget = match[1].partition(".")
        values = by_name.get(name) or by_title.get(name)
        if not dot or "." in widget or values is None or widget not in values():
            return match[0]
        return FORBIDDEN.sub("_", _as_text(values()[widget]))

    for node in prompt.values():
        if _is_named_by_the_page(node, object_info):
            node["inputs"][PREFIX] = re.sub(r"%([^%]+)%", found, node["inputs"][PREFIX])


def date_files(prompt: dict, now: datetime) -> None:
    """Replace `%date:yyyy-MM-dd%` in the names of files by the time of queueing."""

    def part(match: re.Match) -> str:
        sign = match[0]
        if sign == "yyy":
            return sign
        if sign[0] == "y":
            return str(now.year)[-len(sign) :]
        names = {"d": "day", "M": "month", "h": "hour", "m": "minute", "s": "second"}
        return str(getattr(now, names[sign[0]])).zfill(len(sign))

    for node in prompt.values():
        prefix = node.get("inputs", {}).get(PREFIX)
        if isinstance(prefix, str):
            node["inputs"][PREFIX] = DATE.sub(lambda match: DATE_PARTS.sub(part, match[1]), prefix)


def _is_named_by_the_page(node: dict, object_info: dict) -> bool:
    module = object_info.get(node["class_type"], {}).get("python_module", "custom_nodes")
    own = not module.startswith("custom_nodes")
    return own and isinstance(node["inputs"].get(PREFIX), str)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)
