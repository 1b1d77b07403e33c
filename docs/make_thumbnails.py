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
from visage.engines.comfyui.location import find_comfyui
from visage.headless.client import ComfyServer
from visage.headless.server import comfy_server
from visage.headless.workflow import node_titled
from visage.workflows.builder.stamp import stamp
from visage.workflows.builder.write import described

PACK = Path(__file__).resolve().parents[1]
WORKFLOWS = PACK / "workflows"
SAMPLES = PACK / "web" / "samples"
HEIGHT = 480  # pixels
QUALITY = 85
BACKGROUND = "#1a1a1a"
FONT = ImageFont.load_default(15)
LARGE_FONT = ImageFont.load_default(26)
BAR, NEEDS = 64, "#e0b040"  # height in pixels, and colour
TIMEOUT = 1800  # seconds


class Thumbnail(NamedTuple):
    """Titles of the nodes whose pictures are shown, small and large, and the part of the large one
    (left, top, right, bottom) in fractions of its sides.
    """

    small: tuple[str, ...]
    large: str
    part: tuple[float, float, float, float] = (0, 0, 1, 1)


# The workflows for people's own checkpoints, and those of the starter whose pictures they show.
SAME_JOB = {
    "add_object_sd15": "add_object",
    "control_style": "style_adapter",
    "control_style_sdxl": "style_adapter",
    "face_edit_flux_fill": "face_edit",
    "face_edit_kontext": "face_edit",
    "face_edit_plain": "face_edit",
    "face_edit_qwen": "face_edit",
    "face_edit_sd15": "face_edit",
    "face_edit_sdxl": "face_edit",
    "remove_object_sd15": "remove_object",
    "style_adapter_sd15": "style_adapter",
    "style_adapter_sdxl": "style_adapter",
    "style_keep_identity_sd15": "style_keep_identity",
    "style_keep_identity_sdxl": "style_keep_identity",
    "style_many_sd15": "style_many",
    "style_many_sdxl": "style_many",
    "style_region_sd15": "style_region",
    "style_region_sdxl": "style_region",
    "style_then_identity_sd15": "style_then_identity",
    "style_then_identity_sdxl": "style_then_identity",
    "style_whole_sd15": "style_whole",
    "style_whole_sdxl": "style_whole",
}
SHOWN_JOB = "shown: the same job by the built-in starter"
# No starter does these: their input alone is shown, by its node's title.
ALONE = {"face_id_sd15": "Person", "face_id_sdxl": "Person"}
SHOWN_INPUT = "shown: the photograph it starts from"
# This one makes no picture but its curve: a part of its canvas after the run is shown.
CANVASES = {"train_face_edit": (0.5, 0, 1, 1)}
SAMPLE = SAMPLES / "visage_astronaut.png"
# The astronaut's head and shoulders in it.
HEAD = (0.2, 0, 0.68, 0.48)
THUMBNAILS = {
    "add_object": Thumbnail(("Picture", "Raw result"), "Result"),
    "bring_face": Thumbnail(("Picture", "Person"), "Result"),
    "change_background": Thumbnail(("Picture", "New background"), "Result"),
    "change_garment": Thumbnail(("Picture", "Material"), "Result"),
    "edit_by_layers": Thumbnail(("Picture", "Style"), "Result"),
    "edit_faces": Thumbnail(("Picture", "All versions"), "Result", HEAD),
    "face_edit": Thumbnail(("Picture", "Mask overlay"), "Result", HEAD),
    "paint_adain": Thumbnail(("Picture", "Style picture", "Mask overlay"), "Result"),
    "paint_background": Thumbnail(("Picture", "Style picture", "Mask overlay"), "Result"),
    "paint_clip": Thumbnail(("Clip", "Style picture", "Mask overlay"), "Frames"),
    "paint_fast": Thumbnail(("Picture", "Mask overlay"), "Result"),
    "paint_picture": Thumbnail(("Picture", "Style picture", "Mask overlay"), "Result"),
    "recolour": Thumbnail(("Picture", "Hair overlay", "Lips overlay"), "Result", HEAD),
    "recolour_hair": Thumbnail(("Picture", "Mask overlay"), "Result", HEAD),
    "remove_object": Thumbnail(("Picture", "What goes"), "Result"),
    "style_adapter": Thumbnail(("Picture", "Style picture", "Result"), "Whole picture"),
    "style_keep_identity": Thumbnail(("Picture", "Style picture", "Mosaic"), "Result"),
    "style_many": Thumbnail(("Picture", "Style picture one", "Style picture two"), "Result"),
    "style_region": Thumbnail(("Picture", "Style picture", "Mask overlay"), "Result"),
    "style_then_identity": Thumbnail(("Picture", "Style picture", "Free result"), "Result"),
    "style_whole": Thumbnail(("Picture", "Style picture"), "Result"),
    "styles_compared": Thumbnail(("Picture", "Style picture"), "Result"),
    "train_fast_style": Thumbnail(("Picture", "Style picture", "Loss curve"), "Result"),
    "tradeoff_curve": Thumbnail(("Picture", "Style picture"), "Curve"),
}


def main() -> None:
    """Make the thumbnails that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "workflows",
        nargs="*",
        default=[*THUMBNAILS, *CANVASES, *SAME_JOB, *ALONE],
        metavar="WORKFLOW",
    )
    parser.add_argument("--out", type=Path, default=WORKFLOWS, help="folder to write")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    run_ones = [name for name in given.workflows if name in THUMBNAILS]
    if run_ones:
        make_by_running(run_ones, given.out)
    if canvases := [name for name in given.workflows if name in CANVASES]:
        make_of_canvases(canvases, given.out)
    needs = {name: workflow.needs for name, workflow in described().items()}
    for name in given.workflows:
        if name in SAME_JOB:
            page = Image.open(given.out / f"{SAME_JOB[name]}.jpg").convert("RGB")
            shown, source = SHOWN_JOB, SAME_JOB[name]
        elif name in ALONE:
            page = _square(Image.open(SAMPLE), HEIGHT, ALONE[name])
            shown, source = SHOWN_INPUT, name
        else:
            continue
        save(mark(page, needs[name], shown), given.out / f"{name}.jpg", source)


def make_by_running(names: list[str], out: Path) -> None:
    """Run these workflows as they are shipped, and write their thumbnails."""
    comfyui = find_comfyui()
    if comfyui is None:
        raise SystemExit("This needs ComfyUI: `make comfyui` gets it.")
    with comfy_server(comfyui) as server:
        for name in names:
            thumbnail = THUMBNAILS[name]
            pictures = run(server, name)
            small = [(title, pictures[title]) for title in thumbnail.small]
            large = _part(pictures[thumbnail.large], thumbnail.part)
            page = compose(small, (thumbnail.large, large))
            save(page, out / f"{name}.jpg", name)


def make_of_canvases(names: list[str], out: Path) -> None:
    """Run these workflows from ComfyUI's page, and write what a part of it shows then."""
    from make_graphs import empty_canvas, photograph  # the one that needs a browser

    with empty_canvas() as canvas:
        for name in names:
            page = _part(photograph(canvas, name), CANVASES[name])
            size = (round(HEIGHT * page.width / page.height), HEIGHT)
            save(page.resize(size, Image.Resampling.LANCZOS), out / f"{name}.jpg", name)


def save(page: Image.Image, path: Path, workflow: str) -> None:
    """Write a picture that says which workflow made it, and what that ran."""
    page.save(path, quality=QUALITY, optimize=True)
    stamp(path, "docs/make_thumbnails.py", workflow)


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
    page.paste(_square(_in_two_rows(large[1]), HEIGHT, large[0]), (side, 0))
    return page


def mark(page: Image.Image, needs: str, shown: str) -> Image.Image:
    """A picture under a bar that says what a template needs, and what is shown."""
    marked = Image.new("RGB", (page.width, page.height + BAR), BACKGROUND)
    marked.paste(page, (0, BAR))
    draw = ImageDraw.Draw(marked)
    draw.rectangle((0, 0, page.width, BAR), fill=NEEDS)
    draw.text((12, 10), f"needs {needs}", font=LARGE_FONT, fill="black")
    draw.text((12, 40), shown, font=FONT, fill="black")
    return marked


def _part(picture: Image.Image, part: tuple[float, float, float, float]) -> Image.Image:
    """A part of a picture, in fractions of its sides."""
    sides = (picture.width, picture.height) * 2
    return picture.crop([round(at * side) for at, side in zip(part, sides, strict=True)])


def _in_two_rows(picture: Image.Image) -> Image.Image:
    """A strip of pictures with its right half below its left one; other pictures as they are."""
    if picture.width < 2.5 * picture.height:
        return picture
    half = picture.width // 2
    page = Image.new("RGB", (half, 2 * picture.height), BACKGROUND)
    page.paste(picture.crop((0, 0, half, picture.height)), (0, 0))
    page.paste(picture.crop((half, 0, 2 * half, picture.height)), (0, picture.height))
    return page


def _square(picture: Image.Image, side: int, label: str) -> Image.Image:
    """The whole picture in the middle of a square, under its label."""
    cell = Image.new("RGB", (side, side), BACKGROUND)
    scale = side / max(picture.size)
    size = [max(1, round(length * scale)) for length in picture.size]
    shown = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    cell.paste(shown, tuple((side - length) // 2 for length in size))
    draw = ImageDraw.Draw(cell, "RGBA")
    left, top, right, bottom = draw.textbbox((8, 8), label, font=FONT)
    draw.rectangle((left - 5, top - 4, right + 5, bottom + 4), fill=(0, 0, 0, 150))
    draw.text((8, 8), label, font=FONT, fill="white")
    return cell


if __name__ == "__main__":
    main()
