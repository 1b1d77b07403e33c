"""Asks ComfyUI for what `classes.json` keeps: a server for the classes, its page for their sizes.

Needs ComfyUI, Playwright and Chromium.
"""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

from ...engines.comfyui.location import find_comfyui
from ...headless.server import comfy_server
from .classes import CLASSES, reduced

SOURCE = Path(__file__).parents[1] / "source"
OURS = "Visage"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
READY = "window.app?.graph && Object.keys(LiteGraph.registered_node_types).length > 100"
PATIENCE = 240_000  # milliseconds for the page to open
SETTLING = 1500  # milliseconds until panels and text boxes have found their heights
# Each class by itself on an empty canvas, as small as the page lets a user make it.
SIZES = """
    async ([kinds, settling]) => {
        app.graph.clear();
        const nodes = kinds.map((kind) => LiteGraph.createNode(kind));
        nodes.forEach((node) => app.graph.add(node));
        await new Promise((resolve) => setTimeout(resolve, settling));
        return Object.fromEntries(nodes.map((node) => [node.type, [...node.computeSize()]]));
    }
"""


def measure() -> None:
    """Rewrite `classes.json` for all our classes and those that the sources name.

    Raises FileNotFoundError without ComfyUI or a browser.
    """
    comfyui = find_comfyui()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if comfyui is None or browser is None:
        raise FileNotFoundError(
            "Measuring needs ComfyUI (`make comfyui`) and Chromium: one of them is not there."
        )
    named = named_in_sources()
    with comfy_server(comfyui) as server:
        object_info = server.get("/object_info")
        kinds = sorted(kind for kind in object_info if kind.startswith(OURS) or kind in named)
        sizes = _sizes(server.url, browser, kinds)
    classes = {kind: {**reduced(object_info[kind]), "size": sizes[kind]} for kind in kinds}
    CLASSES.write_text(json.dumps(classes, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def named_in_sources() -> set[str]:
    """Every text of the sources; some of them are names of classes."""
    texts = set()
    for path in SOURCE.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        texts |= {value for value in constants if isinstance(value, str)}
    return texts


def _sizes(url: str, browser: str, kinds: list[str]) -> dict[str, list[int]]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = running.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(url, wait_until="networkidle")
        page.wait_for_function(READY)
        sizes = page.evaluate(SIZES, [kinds, SETTLING])
        running.close()
    return {kind: [round(length) for length in size] for kind, size in sizes.items()}
