"""`visage locales`: the texts of all nodes for ComfyUI's interface, in every language.

English comes from the nodes themselves. locales/korean.json maps each English text to its Korean
translation, so that a changed text counts as a missing one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

LOCALES = Path(__file__).resolve().parent.parent / "locales"
TABLES = {"ko": LOCALES / "korean.json"}
PREFIX = "Visage"


def add_locales_command(subparsers: argparse._SubParsersAction) -> None:
    """Add `visage locales` to the command line."""
    parser = subparsers.add_parser(
        "locales",
        help="write the nodes' texts for ComfyUI's interface",
        description="Start ComfyUI, ask it for the texts of all nodes, and write locales/. Exit "
        "code 1 if a translation is missing; the tables then hold an empty text for it.",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from ..engines.comfyui.location import find_comfyui
    from ..headless.server import comfy_server

    comfyui = find_comfyui()
    if comfyui is None:
        raise FileNotFoundError("There is no ComfyUI to ask: `make comfyui` installs it.")
    with comfy_server(comfyui) as server:
        english = definitions(server.get("/object_info"))
    missing = write(english)
    for language, texts in missing.items():
        for text in texts:
            print(f"{language}: {text}")
    return 1 if any(missing.values()) else 0


def definitions(object_info: dict) -> dict:
    """The texts of our nodes in the form of ComfyUI's nodeDefs.json, from the server's answer."""
    return {
        name: _definition(info)
        for name, info in sorted(object_info.items())
        if name.startswith(PREFIX)
    }


def texts_of(nodes: dict) -> list[str]:
    """All texts without repetitions, in order."""
    found = []
    for value in nodes.values():
        found += texts_of(value) if isinstance(value, dict) else [value]
    return list(dict.fromkeys(found))


def translated(nodes: dict, table: dict[str, str]) -> dict:
    """Translate every text by `table`; a text that is not in it stays English."""
    return {
        key: translated(value, table) if isinstance(value, dict) else table.get(value) or value
        for key, value in nodes.items()
    }


def write(english: dict) -> dict[str, list[str]]:
    """Write the files of every language; return the untranslated texts by language.

    Each table is updated: texts that no node has are removed, new ones are added empty.
    """
    _write(LOCALES / "en" / "nodeDefs.json", english)
    missing = {}
    for language, path in TABLES.items():
        known = json.loads(path.read_text(encoding="utf-8"))
        table = {text: known.get(text, "") for text in texts_of(english)}
        _write(path, table)
        _write(LOCALES / language / "nodeDefs.json", translated(english, table))
        missing[language] = [text for text, translation in table.items() if not translation]
    return missing


def _definition(info: dict) -> dict:
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    texts = {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {name: _input(name, declared) for name, declared in inputs.items()},
        "outputs": {
            str(number): {"name": name, "tooltip": tooltip}
            for number, (name, tooltip) in enumerate(
                zip(info["output_name"], info["output_tooltips"], strict=True)
            )
        },
    }
    return {key: value for key, value in texts.items() if value}


def _input(name: str, declared: list) -> dict[str, str]:
    settings = declared[1]
    return {"name": settings.get("display_name") or name, "tooltip": settings["tooltip"]}


def _write(path: Path, content: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    path.write_text(text, encoding="utf-8")
