"""Makes the thumbnails of the workflow templates: python docs/make_thumbnails.py [WORKFLOW ...]

Each workflow runs as it is shipped on a private ComfyUI server; its thumbnail shows what went in on
the left and what came out large on the right. Needs ComfyUI.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont
from visage.engines.comfyui_location import find_comfyui
from visage.headless.client import ComfyServer
from visage.headless.server import comfy_server
from visage.headless.workflow import node_titled

PACK = Path(__file__).resolve().parents[1]
WORKFLOWS = PACK / "workflows"
SAMPLES = PACK / "web" / "samples"
HEIGHT = 480  # pixels
QUALITY = 85
BACKGROUND = "#1a1a1a"
FONT = ImageFont.load_default(15)
TIMEOUT = 1800  # seconds


class Thumbnail(NamedTuple):
    """Titles of the nodes whose pictures are shown, small and large, and the workflow that runs."""

    small: tuple[str, ...]
    large: str
    runs: str | None = None


THUMBNAILS = {
    "face_edit": Thumbnail(("Picture", "Mask overlay"), "Result"),
    # Up to the mask it is the same with any checkpoint, and none is at hand here.
    "face_edit_sd15": Thumbnail(("Picture",), "Mask overlay", runs="face_edit"),
    "style_adapter": Thumbnail(("Picture", "Style picture", "Result"), "Whole picture"),
    "style_keep_identity": Thumbnail(("Picture", "Style picture", "Mosaic"), "Result"),
    "style_many": Thumbnail(("Picture", "Style picture one", "Style picture two"), "Result"),
    "style_region": Thumbnail(("Picture", "Style picture", "Mask overlay"), "Result"),
    "style_then_identity": Thumbnail(("Picture", "Style picture", "Free result"), "Result"),
    "style_whole": Thumbnail(("Picture", "Style picture"), "Result"),
    "tradeoff_curve": Thumbnail(("Picture", "Style picture"), "Curve"),
}


def main() -> None:
    """Make the thumbnails that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workflows", nargs="*", default=list(THUMBNAILS), metavar="WORKFLOW")
    parser.add_argument("--out", type=Path, default=WORKFLOWS, help="folder to write")
    given = parser.parse_args()
    comfyui = find_comfyui()
    if comfyui is None:
        raise SystemExit("This needs ComfyUI: `make comfyui` gets it.")
    given.out.mkdir(parents=True, exist_ok=True)
    with comfy_server(comfyui) as server:
        for name in given.workflows:
            thumbnail = THUMBNAILS[name]
            pictures = run(server, thumbnail.runs or name)
            small = [(title, pictures[title]) for title in thumbnail.small]
            page = compose(small, (thumbnail.large, pictures[thumbnail.large]))
            page.save(given.out / f"{name}.jpg", quality=QUALITY, optimize=True)


def run(server: ComfyServer, name: str) -> dict[str, Image.Image]:
    """Every picture that a shipped workflow loads, previews or saves, by its node's title."""
    prompt = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    titles = {node["_meta"]["title"] for node in prompt.values()}
    pictures = {}
    for node in prompt.values():
        if node["class_type"] == "LoadImage":
            sample = SAMPLES / node["inputs"]["image"]
            node["inputs"]["image"] = server.upload(sample)
            pictures[node["_meta"]["title"]] = Image.open(sample)
    outputs = server.run(prompt, timeout=TIMEOUT)
    for title in titles - pictures.keys():
        for saved in outputs.get(node_titled(prompt, title)[0], {}).get("images", [])[:1]:
            pictures[title] = Image.open(io.BytesIO(server.download(saved)))
    return pictures


def compose(small: list[tuple[str, Image.Image]], large: tuple[str, Image.Image]) -> Image.Image:
    """Labelled pictures: the small ones in a column of squares, the large one beside it."""
    side = min(HEIGHT // len(small), HEIGHT // 2)
    page = Image.new("RGB", (side + HEIGHT, HEIGHT), BACKGROUND)
    for index, (label, picture) in enumerate(small):
        page.paste(_square(picture, side, label), (0, index * side))
    page.paste(_square(large[1], HEIGHT, large[0]), (side, 0))
    return page


def _square(picture: Image.Image, side: int, label: str) -> Image.Image:
    """The whole picture in the middle of a square, under its label."""
    cell = Image.new("RGB", (side, side), BACKGROUND)
    scale = side / max(picture.size)
    size = [max(1, round(length * scale)) for length in picture.size]
    shown = picture.convert("RGB").resize(size, Image.LANCZOS)
    cell.paste(shown, tuple((side - length) // 2 for length in size))
    draw = ImageDraw.Draw(cell, "RGBA")
    left, top, right, bottom = draw.textbbox((8, 8), label, font=FONT)
    draw.rectangle((left - 5, top - 4, right + 5, bottom + 4), fill=(0, 0, 0, 150))
    draw.text((8, 8), label, font=FONT, fill="white")
    return cell


if __name__ == "__main__":
    main()
